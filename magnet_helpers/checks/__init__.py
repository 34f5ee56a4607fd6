"""Checks for the learner: each tells at once whether an answer is right and, if not, what is off.

One file for each lesson. `feedback` compares and puts into words what it finds.
"""

from magnet_helpers.checks.feedback import Feedback
from magnet_helpers.checks.lesson_00_start_here import check_largest_change
from magnet_helpers.checks.lesson_01_classifier import check_count, check_cross_entropy, check_wilson_interval
from magnet_helpers.checks.lesson_02_vanilla_autoencoder import (
    check_encoder_size,
    check_linear_reconstructions,
    check_pixel_error,
    check_reconstruction_error,
)
from magnet_helpers.checks.lesson_03_denoising_autoencoder import (
    check_corrupt,
    check_denoising_loss,
    check_sign_noise,
    check_spread,
)
from magnet_helpers.checks.lesson_04_stacked_denoising_autoencoder import (
    check_after_each_stage,
    check_joint_step,
    check_repeated,
    check_stage_images,
)
from magnet_helpers.checks.lesson_05_contractive_autoencoder import (
    check_contractive_loss,
    check_penalty_by_projections,
    check_relu_layer_penalty,
    check_sigmoid_layer_penalty,
)
from magnet_helpers.checks.lesson_06_attacks import (
    check_fgsm,
    check_fgsm_predicted,
    check_targeted_step,
    check_white_box_fgsm,
)
from magnet_helpers.checks.lesson_07_comparison import (
    check_ledger_rule,
    check_mean_with_interval,
    check_paired_difference,
    check_worst_case,
)
from magnet_helpers.checks.lesson_08_magnet_detectors import (
    check_jensen_shannon,
    check_reconstruction_score,
    check_threshold,
    check_two_accuracies,
)
from magnet_helpers.checks.lesson_09_breaking_magnet import (
    check_average_gradient,
    check_detector_aware_gain,
    check_pgd,
    check_straight_through,
)

__all__ = [
    "Feedback",
    "check_after_each_stage",
    "check_average_gradient",
    "check_contractive_loss",
    "check_corrupt",
    "check_count",
    "check_cross_entropy",
    "check_denoising_loss",
    "check_detector_aware_gain",
    "check_encoder_size",
    "check_fgsm",
    "check_fgsm_predicted",
    "check_jensen_shannon",
    "check_joint_step",
    "check_largest_change",
    "check_ledger_rule",
    "check_linear_reconstructions",
    "check_mean_with_interval",
    "check_paired_difference",
    "check_penalty_by_projections",
    "check_pgd",
    "check_pixel_error",
    "check_reconstruction_error",
    "check_reconstruction_score",
    "check_relu_layer_penalty",
    "check_repeated",
    "check_sigmoid_layer_penalty",
    "check_sign_noise",
    "check_spread",
    "check_stage_images",
    "check_straight_through",
    "check_targeted_step",
    "check_threshold",
    "check_two_accuracies",
    "check_white_box_fgsm",
    "check_wilson_interval",
    "check_worst_case",
]
