# The table of contents in `__init__.py`, for type checkers and editors.
from magnet_helpers.attacks import (
    FGSM as FGSM,
)
from magnet_helpers.attacks import (
    PGD as PGD,
)
from magnet_helpers.data import LabeledImages as LabeledImages
from magnet_helpers.defenses import (
    MAGNETS_OWN as MAGNETS_OWN,
)
from magnet_helpers.defenses import (
    NO_REFORMER as NO_REFORMER,
)
from magnet_helpers.defenses import (
    VANILLA as VANILLA,
)
from magnet_helpers.defenses import (
    ReformedClassifier as ReformedClassifier,
)
from magnet_helpers.defenses import (
    contractive as contractive,
)
from magnet_helpers.defenses import (
    denoising as denoising,
)
from magnet_helpers.defenses import (
    stacked as stacked,
)
from magnet_helpers.detectors import (
    DivergenceDetector as DivergenceDetector,
)
from magnet_helpers.detectors import (
    ReconstructionDetector as ReconstructionDetector,
)
from magnet_helpers.detectors import (
    choose_threshold as choose_threshold,
)
from magnet_helpers.detectors import (
    roc as roc,
)
from magnet_helpers.evaluation import (
    evaluate_accuracy as evaluate_accuracy,
)
from magnet_helpers.evaluation import (
    suspicions as suspicions,
)
from magnet_helpers.inference import (
    apply_model as apply_model,
)
from magnet_helpers.inference import (
    is_constant as is_constant,
)
from magnet_helpers.inference import (
    predict as predict,
)
from magnet_helpers.intervals import (
    Accuracy as Accuracy,
)
from magnet_helpers.intervals import (
    difference as difference,
)
from magnet_helpers.intervals import (
    estimate as estimate,
)
from magnet_helpers.jacobian import (
    jacobian_frobenius_squared as jacobian_frobenius_squared,
)
from magnet_helpers.jacobian import (
    sigmoid_layer_frobenius_squared as sigmoid_layer_frobenius_squared,
)
from magnet_helpers.lab.budget import get_budget as get_budget
from magnet_helpers.lab.lab import PAPER_ATTACK as PAPER_ATTACK
from magnet_helpers.lab.lessons import start_lesson as start_lesson
from magnet_helpers.losses import (
    ClassificationLoss as ClassificationLoss,
)
from magnet_helpers.losses import (
    ContractiveLoss as ContractiveLoss,
)
from magnet_helpers.losses import (
    DenoisingLoss as DenoisingLoss,
)
from magnet_helpers.losses import (
    ReconstructionLoss as ReconstructionLoss,
)
from magnet_helpers.losses import (
    add_noise as add_noise,
)
from magnet_helpers.losses import (
    squared_error as squared_error,
)
from magnet_helpers.magnet import MagNet as MagNet
from magnet_helpers.models import (
    ContractiveAutoencoder as ContractiveAutoencoder,
)
from magnet_helpers.models import (
    ConvAutoencoder as ConvAutoencoder,
)
from magnet_helpers.models import (
    ConvClassifier as ConvClassifier,
)
from magnet_helpers.models import (
    StackedAutoencoder as StackedAutoencoder,
)
from magnet_helpers.plotting import (
    plot_accuracy_curves as plot_accuracy_curves,
)
from magnet_helpers.plotting import (
    plot_comparison as plot_comparison,
)
from magnet_helpers.plotting import (
    plot_confusion as plot_confusion,
)
from magnet_helpers.plotting import (
    plot_differences as plot_differences,
)
from magnet_helpers.plotting import (
    plot_history as plot_history,
)
from magnet_helpers.plotting import (
    plot_image_grid as plot_image_grid,
)
from magnet_helpers.plotting import (
    plot_manifold as plot_manifold,
)
from magnet_helpers.plotting import (
    plot_rocs as plot_rocs,
)
from magnet_helpers.plotting import (
    plot_scores as plot_scores,
)
from magnet_helpers.plotting import (
    plot_tiles as plot_tiles,
)
from magnet_helpers.plotting import (
    plot_workflow as plot_workflow,
)
from magnet_helpers.plotting import (
    show_figure as show_figure,
)
from magnet_helpers.robustness import check_up as check_up
from magnet_helpers.seeds import (
    initial_weights_from as initial_weights_from,
)
from magnet_helpers.seeds import (
    new_generator as new_generator,
)
from magnet_helpers.training import (
    TrainingConfig as TrainingConfig,
)
from magnet_helpers.training import (
    fit as fit,
)

__all__: list[str]
