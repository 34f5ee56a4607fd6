"""Checks for the learner: each tells at once whether an answer is right and, if not, what is off.

One file for each subject, in the order of the lessons. `verdict` compares.
"""

from magnet_helpers.checks.accuracy import check_count, check_cross_entropy, check_wilson_interval
from magnet_helpers.checks.comparisons import (
    check_ledger_rule,
    check_mean_with_interval,
    check_paired_difference,
    check_worst_case,
)
from magnet_helpers.checks.contraction import (
    check_contractive_loss,
    check_penalty_by_projections,
    check_relu_layer_penalty,
    check_sigmoid_layer_penalty,
)
from magnet_helpers.checks.gradient_attacks import (
    check_fgsm,
    check_fgsm_predicted,
    check_largest_change,
    check_white_box_fgsm,
)
from magnet_helpers.checks.verdict import Verdict

__all__ = [
    "Verdict",
    "check_contractive_loss",
    "check_count",
    "check_cross_entropy",
    "check_fgsm",
    "check_fgsm_predicted",
    "check_largest_change",
    "check_ledger_rule",
    "check_mean_with_interval",
    "check_paired_difference",
    "check_penalty_by_projections",
    "check_relu_layer_penalty",
    "check_sigmoid_layer_penalty",
    "check_white_box_fgsm",
    "check_wilson_interval",
    "check_worst_case",
]
