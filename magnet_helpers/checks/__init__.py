"""Checks for the learner: each tells at once whether an answer is right and, if not, what is off.

One file for each subject, in the order of the lessons. `verdict` compares.
"""

from magnet_helpers.checks.accuracy import check_count, check_cross_entropy, check_wilson_interval
from magnet_helpers.checks.verdict import Verdict

__all__ = [
    "Verdict",
    "check_count",
    "check_cross_entropy",
    "check_wilson_interval",
]
