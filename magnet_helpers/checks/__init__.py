"""Checks for the learner: each tells at once whether an answer is right and, if not, what is off.

One file for each subject, in the order of the lessons. `verdict` compares.
"""

from magnet_helpers.checks.accuracy import check_count, check_cross_entropy, check_wilson_interval
from magnet_helpers.checks.adaptive_attacks import (
    check_average_gradient,
    check_detector_aware_gain,
    check_pgd,
    check_straight_through,
)
from magnet_helpers.checks.detection import (
    check_jensen_shannon,
    check_reconstruction_score,
    check_threshold,
    check_two_accuracies,
)
from magnet_helpers.checks.verdict import Verdict

__all__ = [
    "Verdict",
    "check_average_gradient",
    "check_count",
    "check_cross_entropy",
    "check_detector_aware_gain",
    "check_jensen_shannon",
    "check_pgd",
    "check_reconstruction_score",
    "check_straight_through",
    "check_threshold",
    "check_two_accuracies",
    "check_wilson_interval",
]
