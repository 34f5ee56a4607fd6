"""From which score on a detector rejects an image.

Source: D. Meng and H. Chen, "MagNet: a Two-Pronged Defense against Adversarial Examples" (2017), section 4.2.
"""

import math
import warnings
from dataclasses import dataclass

from torch import Tensor

from magnet_helpers.contracts import as_number, check_scores
from magnet_helpers.intervals import Accuracy


class UncertainRateWarning(UserWarning):
    """A false-positive rate was asked for that so few clean images can hardly show."""


@dataclass(frozen=True)
class Threshold:
    """From which score on an image is rejected: every score *above* `value`.

    Attributes:
        value: −∞ rejects everything.
        wanted: the false-positive rate that was asked for.
        rejected: how many of the clean images that it was chosen on it rejects; never more than wanted.
        total: how many these images were.

    Raises:
        ValueError: if the value is NaN, above which nothing lies.
    """

    value: float
    wanted: float
    rejected: int
    total: int

    def __post_init__(self) -> None:
        if math.isnan(self.value):
            raise ValueError("a threshold must be a number, got nan: choose it from finite scores (choose_threshold)")

    @property
    def achieved(self) -> Accuracy:
        """The false-positive rate on those images, with its 95 % interval: a few images pin a small rate down badly."""
        return Accuracy(self.rejected, self.total)


def choose_threshold(clean_scores: Tensor, false_positive_rate: float) -> Threshold:
    """Return the smallest threshold that rejects no more than this share of clean images.

    Of n scores at most ⌊rate · n⌋ may lie above it, so it is the next largest score. Equal scores are all accepted or
    all rejected: then fewer are rejected than was asked for. Choose it on validation images, never on test images. By
    hand in lesson 08.

    Args:
        clean_scores: of clean validation images, shape (n,), n at least 1.
        false_positive_rate: in [0, 1]. 0 rejects none of these images, 1 all.

    Raises:
        TypeError: if the scores are no tensor.
        ValueError: if the rate is outside [0, 1], or if there are no scores, or some that are no number.

    Warns:
        UncertainRateWarning: if the rate is less than one image's share.

    >>> import torch
    >>> threshold = choose_threshold(torch.tensor([1.0, 2.0, 3.0, 4.0]), false_positive_rate=0.25)
    >>> threshold.value, threshold.rejected, threshold.total
    (3.0, 1, 4)
    """
    false_positive_rate = as_number("false_positive_rate", false_positive_rate, least=0, most=1)
    check_scores(clean_scores)
    if not len(clean_scores) or not bool(clean_scores.isfinite().all()):
        raise ValueError(
            "a threshold is chosen from the finite scores of at least one clean image, shape (n,), got "
            f"{tuple(clean_scores.shape)}, {int((~clean_scores.isfinite()).sum())} of them not finite"
        )
    n = len(clean_scores)
    allowed = math.floor(false_positive_rate * n + 1e-9)  # 0.29 · 100 is 28.999…
    if false_positive_rate > 0 and not allowed:
        warnings.warn(
            f"a false-positive rate of {false_positive_rate:g} is less than one of {n} images: the threshold is their "
            f"largest score, which can mean any rate up to about {3 / n:.2g}. Take more clean images or a larger rate.",
            UncertainRateWarning,
            stacklevel=2,
        )
    descending = clean_scores.sort(descending=True).values
    value = descending[allowed].item() if allowed < n else -math.inf
    return Threshold(value, false_positive_rate, int((clean_scores > value).sum()), n)
