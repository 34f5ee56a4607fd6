# The table of contents in `__init__.py`, for type checkers and editors.
from magnet_helpers.lab.lessons import start_lesson as start_lesson
from magnet_helpers.lab.lab import (
    Lab as Lab,
    PAPER_ATTACK as PAPER_ATTACK,
)
from magnet_helpers.lab.budget import get_budget as get_budget
from magnet_helpers.data import (
    LabeledImages as LabeledImages,
    ImageData as ImageData,
    load_images as load_images,
)
from magnet_helpers.models import (
    ConvClassifier as ConvClassifier,
    ConvAutoencoder as ConvAutoencoder,
    StackedAutoencoder as StackedAutoencoder,
    ContractiveAutoencoder as ContractiveAutoencoder,
)
from magnet_helpers.losses import (
    ClassificationLoss as ClassificationLoss,
    ReconstructionLoss as ReconstructionLoss,
    DenoisingLoss as DenoisingLoss,
    ContractiveLoss as ContractiveLoss,
    add_noise as add_noise,
    squared_error as squared_error,
)
from magnet_helpers.jacobian import (
    jacobian_frobenius_squared as jacobian_frobenius_squared,
    sigmoid_layer_frobenius_squared as sigmoid_layer_frobenius_squared,
)
from magnet_helpers.seeds import (
    initial_weights_from as initial_weights_from,
    new_generator as new_generator,
)
from magnet_helpers.training import (
    TrainingConfig as TrainingConfig,
    fit as fit,
)
from magnet_helpers.inference import (
    apply_model as apply_model,
    is_constant as is_constant,
    predict as predict,
)
from magnet_helpers.attacks import (
    FGSM as FGSM,
    PGD as PGD,
    Knowledge as Knowledge,
)
from magnet_helpers.defenses import (
    NO_REFORMER as NO_REFORMER,
    VANILLA as VANILLA,
    denoising as denoising,
    stacked as stacked,
    contractive as contractive,
    MAGNETS_OWN as MAGNETS_OWN,
    ReformedClassifier as ReformedClassifier,
)
from magnet_helpers.intervals import (
    Accuracy as Accuracy,
    difference as difference,
    estimate as estimate,
)
from magnet_helpers.evaluation import (
    evaluate_accuracy as evaluate_accuracy,
    evaluate_defense as evaluate_defense,
    suspicions as suspicions,
)
from magnet_helpers.detectors import (
    DivergenceDetector as DivergenceDetector,
    ReconstructionDetector as ReconstructionDetector,
    choose_threshold as choose_threshold,
    roc as roc,
)
from magnet_helpers.magnet import MagNet as MagNet
from magnet_helpers.robustness import check_up as check_up
from magnet_helpers.plotting import (
    show_figure as show_figure,
    plot_image_grid as plot_image_grid,
    plot_tiles as plot_tiles,
    plot_history as plot_history,
    plot_confusion as plot_confusion,
    plot_accuracy_curves as plot_accuracy_curves,
    plot_comparison as plot_comparison,
    plot_differences as plot_differences,
    plot_scores as plot_scores,
    plot_rocs as plot_rocs,
    plot_manifold as plot_manifold,
    plot_workflow as plot_workflow,
)

__all__: list[str]
