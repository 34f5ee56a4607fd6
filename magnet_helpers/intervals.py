"""Intervals: of one run's accuracy, and of what several seeds say about the same test images.

One run is a count of right answers (`Accuracy`). Over several seeds an accuracy varies for two reasons: other images,
and other seeds. Both are drawn at random and crossed, every seed with every image, like readers and cases in diagnostic
studies. The variance of the mean is taken from the two-way analysis of variance, its degrees of freedom are
Satterthwaite's (Dorfman, Berbaum & Metz 1992, "Receiver operating characteristic rating analysis"; Searle, Casella &
McCulloch 1992, "Variance components", section 4). With one seed only the images are left, and the interval says nothing
about other seeds.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from magnet_helpers.contracts import as_count, set_counts


@dataclass(frozen=True)
class Accuracy:
    """Correct answers out of a total. The interval is computed by hand in lesson 01.

    Raises:
        ValueError: unless 0 ≤ correct ≤ total and total ≥ 1.

    >>> print(Accuracy(980, 1000))  # in percent, with the 95 % interval
    98.0 [96.9, 98.7]
    """

    correct: int
    total: int

    def __post_init__(self) -> None:
        set_counts(self, correct=None, total=None)
        if not 0 <= self.correct <= self.total or self.total < 1:
            raise ValueError(f"an accuracy needs 0 ≤ correct ≤ total and total ≥ 1, got {self.correct} of {self.total}")

    @property
    def value(self) -> float:
        """The share of correct answers, in [0, 1]."""
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson score interval of `value` (Wilson 1927): sampling error of the test images only."""
        from scipy.stats import binomtest  # takes 2 s to import, which processes that only count need not wait for

        bounds = binomtest(self.correct, self.total).proportion_ci(0.95, method="wilson")
        return float(bounds.low), float(bounds.high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and images with its 95 % interval.

    Attributes:
        value: the mean, in the unit of what was measured.
        half_width: half the width of the interval.
        n_seeds: seeds; with 1 the interval is that of the images alone.
        n_images: images of each seed.
    """

    value: float
    half_width: float
    n_seeds: int
    n_images: int

    @property
    def interval(self) -> tuple[float, float]:
        """The two ends of the interval."""
        return self.value - self.half_width, self.value + self.half_width

    def in_percent(self, *, signed: bool = False) -> str:
        """Return the mean and the half-width in percent (points, for a difference), for example `"62.5 ± 1.9"`."""
        return f"{100 * self.value:{'+' if signed else ''}.1f} ± {100 * self.half_width:.1f}"


def estimate(values: Tensor) -> Estimate:
    """Return the mean of values (S, N), one row for each seed and one column for each image, with its interval.

    By hand in lesson 07.

    For an accuracy the values are 0 and 1; for the difference of two defences on the same images and, seed by seed, the
    same classifier they are −1, 0 and 1.

    Where all answers are alike there is no variance to see, but no certainty either: what none of N images showed may
    still happen to as many images as the exact interval of 0 of N allows (Clopper & Pearson 1934). The half-width is
    never below that. Nor is it below that of Student's t on the means of the seeds alone: with two or three seeds
    Satterthwaite's degrees of freedom are too many where the seeds vary somewhat more than the images (88 and 92 of 100
    intervals then hold the truth), and other seeds *and* images cannot be less uncertain than other seeds.

    Raises:
        ValueError: unless there are one seed and two images or more, and all values are finite.

    >>> import torch
    >>> estimate(torch.tensor([[1, 1, 0, 1], [1, 0, 1, 1]])).value
    0.75
    """
    from scipy.stats import t  # takes 2 s to import

    if values.ndim != 2 or len(values) < 1 or values.shape[1] < 2:
        raise ValueError(f"values must have shape (seeds, images) with at least 1 and 2, got {tuple(values.shape)}")
    if not values.isfinite().all():
        raise ValueError(
            f"values must be finite numbers, got {int((~values.isfinite()).sum())} NaN or infinite ones of "
            f"{values.numel()}: look for the run that they come from"
        )
    values = values.double()
    seeds, images = values.shape
    mean = values.mean()
    of_images = seeds * (values.mean(dim=0) - mean).square().sum().item() / (images - 1)  # mean squares
    if seeds == 1:
        variance, freedom, of_seeds_alone = of_images / images, float(images - 1), 0.0
    else:
        of_seeds = images * (values.mean(dim=1) - mean).square().sum().item() / (seeds - 1)
        residuals = values - values.mean(dim=1, keepdim=True) - values.mean(dim=0, keepdim=True) + mean
        left = residuals.square().sum().item() / ((seeds - 1) * (images - 1))
        # The estimate by the difference can fall below what either source gives alone. Then that is taken.
        total = max(of_seeds + of_images - left, of_seeds, of_images)
        variance = total / (seeds * images)
        parts = (of_seeds**2, seeds - 1), (of_images**2, images - 1), (left**2, (seeds - 1) * (images - 1))
        spread = sum(square / free for square, free in parts)
        freedom = max(total**2 / spread, seeds - 1.0) if spread else 1.0
        of_seeds_alone = float(t.ppf(0.975, seeds - 1)) * math.sqrt(of_seeds / (seeds * images))
    half_width = max(float(t.ppf(0.975, freedom)) * math.sqrt(variance), of_seeds_alone, share(0, images)[1])
    return Estimate(mean.item(), half_width, seeds, images)


def difference(first: Tensor, second: Tensor) -> Estimate:
    """Return by how much `second` is better than `first`, paired: right answers (S, N) of both, same seeds and images.

    Raises:
        ValueError: if the shapes differ, or as `estimate` does.

    >>> import torch
    >>> before, after = torch.tensor([[1, 0, 0, 1]]), torch.tensor([[1, 1, 0, 1]])
    >>> difference(before, after).value  # one of four images is won, none is lost
    0.25
    """
    if first.shape != second.shape:
        raise ValueError(
            f"a paired difference needs the same seeds and images, got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    return estimate(second.double() - first.double())


def share(count: int, total: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share, both ends in [0, 1] (Clopper & Pearson 1934), for counts of few seeds.

    Raises:
        ValueError: unless 0 ≤ count ≤ total and total ≥ 1.
    """
    from scipy.stats import binomtest

    count, total = as_count("count", count), as_count("total", total, least=1)
    bounds = binomtest(count, total).proportion_ci(0.95, method="exact")
    return float(bounds.low), float(bounds.high)


__all__ = ["Accuracy", "Estimate", "difference", "estimate", "share"]
