"""MagNet Lab's helpers: what the lessons share. Names stand in the order in which a lesson meets them."""

from importlib import import_module
from typing import TYPE_CHECKING

from magnet_helpers.lab.lessons import start_lesson
from magnet_helpers.lab.lab import PAPER_ATTACK, Lab
from magnet_helpers.data import ImageData, LabeledImages, load_images
from magnet_helpers.lab.budget import BUDGETS, Budget, get_budget
from magnet_helpers.models import (
    ConvClassifier,
    ConvAutoencoder,
    StackedAutoencoder,
    ContractiveAutoencoder,
    PublishedContractiveAutoencoder,
)
from magnet_helpers.losses import (
    ClassificationLoss,
    ReconstructionLoss,
    DenoisingLoss,
    ContractiveLoss,
    DenseLayerContractiveLoss,
    PublishedContractiveLoss,
    add_noise,
    squared_error,
)
from magnet_helpers.jacobian import jacobian_frobenius_squared, sigmoid_layer_frobenius_squared
from magnet_helpers.seeds import initial_weights_from, new_generator
from magnet_helpers.training import History, TrainingConfig, fit
from magnet_helpers.inference import apply_model, is_constant, predict
from magnet_helpers.attacks import FGSM, PGD
from magnet_helpers.defenses import (
    MAGNETS_OWN,
    NO_REFORMER,
    VANILLA,
    Defense,
    ReformedClassifier,
    contractive,
    denoising,
    stacked,
)
from magnet_helpers.intervals import Accuracy, Estimate, difference, estimate
from magnet_helpers.evaluation import DefenseReport, evaluate_accuracy, evaluate_defense, suspicions
from magnet_helpers.detectors import DivergenceDetector, ReconstructionDetector, choose_threshold
from magnet_helpers.magnet import MagNet, RandomReformer
from magnet_helpers.detectors import roc
from magnet_helpers.study.grid import (
    DETECTORS,
    GRID,
    MAGNET,
    MAGNETS_PARTS,
    NOISE_LEVELS,
    OTHER_PENALTIES,
    PENALTY_WEIGHTS,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    UNDER_ATTACK,
    VARIANTS,
)
from magnet_helpers.study.published import paper_number
from magnet_helpers.robustness import check_up
from magnet_helpers.checks import (
    Feedback,
    check_largest_change,
    check_count,
    check_cross_entropy,
    check_wilson_interval,
    check_pixel_error,
    check_reconstruction_error,
    check_encoder_size,
    check_linear_reconstructions,
    check_sign_noise,
    check_corrupt,
    check_denoising_loss,
    check_spread,
    check_repeated,
    check_after_each_stage,
    check_stage_images,
    check_joint_step,
    check_relu_layer_penalty,
    check_sigmoid_layer_penalty,
    check_penalty_by_projections,
    check_contractive_loss,
    check_targeted_step,
    check_fgsm,
    check_fgsm_predicted,
    check_white_box_fgsm,
    check_ledger_rule,
    check_mean_with_interval,
    check_paired_difference,
    check_worst_case,
    check_jensen_shannon,
    check_reconstruction_score,
    check_threshold,
    check_two_accuracies,
    check_straight_through,
    check_pgd,
    check_average_gradient,
    check_detector_aware_gain,
)
from magnet_helpers.study.threats import all_threats, confident_threats

if TYPE_CHECKING:
    from magnet_helpers.plotting import (
        show_figure,
        plot_image_grid,
        plot_tiles,
        plot_history,
        plot_confusion,
        plot_accuracy_curves,
        plot_comparison,
        plot_differences,
        plot_scores,
        plot_rocs,
    )
    from magnet_helpers.panels import (
        Exploration,
        Panel,
        attack_panel,
        detector_panel,
        explore_attack,
        explore_detector,
        explore_noise,
        noise_panel,
    )
    from magnet_helpers.plotting.diagrams import plot_manifold, plot_workflow
    from magnet_helpers.study.tables import comparison_frame, show_table, write_comparison
    from magnet_helpers.study.attack_results import attack_study, load_attack_results, run_attacks
    from magnet_helpers.study.attack_tables import threat_frame
    from magnet_helpers.study.ledger import Results, ledger_entries
    from magnet_helpers.study.summary import (
        crossed_frame,
        ledger_frame,
        load_results,
        penalty_frame,
        results_frame,
        variant_frame,
    )

__all__ = [
    "start_lesson",
    "PAPER_ATTACK",
    "Lab",
    "ImageData",
    "LabeledImages",
    "load_images",
    "BUDGETS",
    "Budget",
    "get_budget",
    "ConvClassifier",
    "ConvAutoencoder",
    "StackedAutoencoder",
    "ContractiveAutoencoder",
    "PublishedContractiveAutoencoder",
    "ClassificationLoss",
    "ReconstructionLoss",
    "DenoisingLoss",
    "ContractiveLoss",
    "DenseLayerContractiveLoss",
    "PublishedContractiveLoss",
    "add_noise",
    "squared_error",
    "jacobian_frobenius_squared",
    "sigmoid_layer_frobenius_squared",
    "initial_weights_from",
    "new_generator",
    "History",
    "TrainingConfig",
    "fit",
    "apply_model",
    "is_constant",
    "predict",
    "FGSM",
    "PGD",
    "MAGNETS_OWN",
    "NO_REFORMER",
    "VANILLA",
    "Defense",
    "ReformedClassifier",
    "contractive",
    "denoising",
    "stacked",
    "Accuracy",
    "DefenseReport",
    "evaluate_accuracy",
    "evaluate_defense",
    "suspicions",
    "DivergenceDetector",
    "ReconstructionDetector",
    "choose_threshold",
    "MagNet",
    "RandomReformer",
    "roc",
    "DETECTORS",
    "GRID",
    "MAGNET",
    "MAGNETS_PARTS",
    "NOISE_LEVELS",
    "OTHER_PENALTIES",
    "PENALTY_WEIGHTS",
    "TABLE_2",
    "TABLE_3",
    "TABLE_4",
    "UNDER_ATTACK",
    "VARIANTS",
    "paper_number",
    "check_up",
    "all_threats",
    "confident_threats",
    "Feedback",
    "check_largest_change",
    "check_count",
    "check_cross_entropy",
    "check_wilson_interval",
    "check_pixel_error",
    "check_reconstruction_error",
    "check_encoder_size",
    "check_linear_reconstructions",
    "check_sign_noise",
    "check_corrupt",
    "check_denoising_loss",
    "check_spread",
    "check_repeated",
    "check_after_each_stage",
    "check_stage_images",
    "check_joint_step",
    "check_relu_layer_penalty",
    "check_sigmoid_layer_penalty",
    "check_penalty_by_projections",
    "check_contractive_loss",
    "check_targeted_step",
    "check_fgsm",
    "check_fgsm_predicted",
    "check_white_box_fgsm",
    "check_ledger_rule",
    "check_mean_with_interval",
    "check_paired_difference",
    "check_worst_case",
    "check_jensen_shannon",
    "check_reconstruction_score",
    "check_threshold",
    "check_two_accuracies",
    "check_straight_through",
    "check_pgd",
    "check_average_gradient",
    "check_detector_aware_gain",
    "show_figure",
    "plot_image_grid",
    "plot_tiles",
    "plot_history",
    "plot_confusion",
    "plot_accuracy_curves",
    "plot_comparison",
    "plot_differences",
    "plot_scores",
    "plot_rocs",
    "Exploration",
    "Panel",
    "attack_panel",
    "detector_panel",
    "explore_attack",
    "explore_detector",
    "explore_noise",
    "noise_panel",
    "plot_manifold",
    "plot_workflow",
    "comparison_frame",
    "show_table",
    "write_comparison",
    "load_attack_results",
    "run_attacks",
    "attack_study",
    "threat_frame",
    "Estimate",
    "difference",
    "estimate",
    "Results",
    "ledger_entries",
    "crossed_frame",
    "ledger_frame",
    "load_results",
    "penalty_frame",
    "results_frame",
    "variant_frame",
]

_LATER = (
    "plotting",
    "panels",
    *(f"study.{part}" for part in ("tables", "attack_results", "attack_tables", "ledger", "summary")),
)


def __getattr__(name: str) -> object:
    """Import what draws and sums up when it is first asked for: it takes seconds, and training does not need it."""
    if name in __all__:
        for module in (import_module(f"{__name__}.{part}") for part in _LATER):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
