"""MagNet's detectors: how far an image is from what an autoencoder makes of it, and from which score on it is rejected.

Source: D. Meng and H. Chen, "MagNet: a Two-Pronged Defense against Adversarial Examples" (2017), section 4.2.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from magnet_helpers.contracts import (
    as_count,
    as_number,
    check_reformed,
    check_scores,
    set_numbers,
    warn_of_probabilities,
)
from magnet_helpers.defenses import NO_REFORMER, Defense
from magnet_helpers.intervals import Accuracy

_RESAMPLES = 1_000  # of the interval of a curve's area


class Detector(nn.Module):
    """Maps images (N, 1, 28, 28) to scores (N,), at least 0; the larger, the less it looks like a clean image.

    Differentiable, because an attacker who knows the detector follows its gradient.
    """

    label: str  # the name in tables and figures


class ReconstructionDetector(Detector):
    """Detection by reconstruction error: the mean over the pixels of |x − AE(x)|^p (MagNet, section 4.2.1).

    By hand in lesson 08.

    Args:
        autoencoder: maps images to images of the same shape.
        p: 1 or 2.

    Raises:
        ValueError: if p is neither.

    >>> ReconstructionDetector(nn.Threshold(2, 0), p=1)(torch.full((1, 1, 28, 28), 0.5))  # its autoencoder paints black
    tensor([0.5000])
    """

    def __init__(self, autoencoder: nn.Module, p: Literal[1, 2]) -> None:
        super().__init__()
        p = _power(p)
        self.autoencoder = autoencoder
        self.p = p
        self.label = f"reconstruction, p = {p}"

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores (N,)."""
        error = images - check_reformed(images, self.autoencoder(images))
        return error.abs().pow(self.p).flatten(start_dim=1).mean(dim=1)


def _power(p: object) -> Literal[1, 2]:
    power = as_count("p", p)
    if power not in (1, 2):
        raise ValueError(f"p must be 1 or 2, got {power}")
    return 1 if power == 1 else 2


class DivergenceDetector(Detector):
    """Detection by probability divergence (MagNet, section 4.2.2).

    The score is the Jensen–Shannon divergence, in nats, between the classifier's answers to an image and to what the
    autoencoder makes of it, both softened: softmax(logits / T). It lies in [0, ln 2]. By hand in lesson 08.

    Args:
        autoencoder: maps images to images of the same shape.
        classifier: maps images to logits (N, 10).
        temperature: T, more than 0. MagNet takes 10 and 40.

    Raises:
        ValueError: if the temperature is not more than 0.
    """

    def __init__(self, autoencoder: nn.Module, classifier: nn.Module, temperature: float) -> None:
        super().__init__()
        temperature = as_number("temperature", temperature, above=0)
        self.autoencoder = autoencoder
        self.classifier = classifier
        self.temperature = temperature
        self.label = f"divergence, T = {temperature:g}"
        self._is_new = True

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores (N,)."""
        logits = self.classifier(images)
        if self._is_new and len(images):
            self._is_new = False
            warn_of_probabilities(logits, "a DivergenceDetector")
        before = log_softmax(logits / self.temperature, dim=1)
        reformed = check_reformed(images, self.autoencoder(images))
        after = log_softmax(self.classifier(reformed) / self.temperature, dim=1)
        return jensen_shannon(before, after)


def jensen_shannon(first: Tensor, second: Tensor) -> Tensor:
    """Return the Jensen–Shannon divergence in nats, (N,), of two batches of *log*-probabilities (N, K).

    Half of the Kullback–Leibler divergence of each from their mean. From logarithms, so that it stays finite, with its
    gradient, where a softmax rounds to 0. By hand in lesson 08.

    >>> certain = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).clamp(min=1e-30).log()
    >>> jensen_shannon(certain, certain[:1])  # the same answer, and the opposite one: ln 2
    tensor([0.0000, 0.6931])
    """
    mean = torch.logaddexp(first, second) - math.log(2)
    divergence: Tensor = 0.5 * (first.exp() * (first - mean) + second.exp() * (second - mean)).sum(dim=1)
    return divergence.clamp(min=0)  # rounding may leave it just below


@dataclass(frozen=True)
class DetectorSpec:
    """A detector by the name of its autoencoder: reconstruction error with a `p`, or divergence with a `temperature`.

    Args:
        defense: names the autoencoder.
        p: 1 or 2; None for a divergence.
        temperature: T; None for a reconstruction error.

    Raises:
        ValueError: unless exactly one of both is given.
    """

    defense: Defense
    p: Literal[1, 2] | None = None
    temperature: float | None = None

    def __post_init__(self) -> None:
        if (self.p is None) == (self.temperature is None):
            raise ValueError(f"a detector needs either p or a temperature, got {self}")
        if self.defense == NO_REFORMER:
            raise ValueError("a detector needs the autoencoder of a defence, got that of no reformer")
        if self.p is not None:
            object.__setattr__(self, "p", _power(self.p))
        else:
            set_numbers(self, "temperature", above=0)

    def build(self, autoencoder: nn.Module, classifier: nn.Module) -> Detector:
        """Return the detector made of these trained networks."""
        if self.p is not None:
            detector: Detector = ReconstructionDetector(autoencoder, self.p)
        else:
            detector = DivergenceDetector(autoencoder, classifier, self.temperature or 0)
        detector.label = f"{self.defense.label}: {detector.label}"
        return detector


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


@dataclass(frozen=True)
class ROC:
    """A receiver operating characteristic: the adversarial images rejected, at the price of which clean ones.

    Attributes:
        false_positive_rates: share of the clean images that are rejected, from 0 to 1, one for each threshold.
        true_positive_rates: share of the adversarial images that are rejected.
        auc: area under the curve: the chance that an adversarial image scores above a clean one; 0.5 is guessing.
        interval: 95 % bootstrap interval of the area for other images. It has no width if all images of one kind score
            above all of the other.
    """

    false_positive_rates: NDArray[np.float64]
    true_positive_rates: NDArray[np.float64]
    auc: float
    interval: tuple[float, float]

    def __str__(self) -> str:
        return f"{self.auc:.3f} [{self.interval[0]:.3f}, {self.interval[1]:.3f}]"


def roc(clean_scores: Tensor, adversarial_scores: Tensor, *, seed: int = 0) -> ROC:
    """Return the curve of a detector's scores (n,) and (m,): clean images should score low, adversarial ones high.

    Curve and area are scikit-learn's, the interval is scipy's percentile bootstrap, with clean and adversarial images
    drawn anew by themselves.

    Args:
        clean_scores: of clean images, shape (n,).
        adversarial_scores: of attacked ones, shape (m,).
        seed: of the bootstrap's draws.

    Raises:
        TypeError: if scores are no tensor.
        ValueError: unless there are at least 2 finite scores of each kind, (n,) and (m,).

    >>> roc(torch.tensor([0.1, 0.2, 0.4]), torch.tensor([0.3, 0.5, 0.6])).auc  # of 9 pairs 8 are in order
    0.888...
    """
    from scipy.stats import bootstrap  # takes seconds to import
    from sklearn.metrics import roc_auc_score, roc_curve

    samples = [check_scores(scores).detach().double().cpu().numpy() for scores in (clean_scores, adversarial_scores)]
    if any(len(sample) < 2 or not np.isfinite(sample).all() for sample in samples):
        raise ValueError(f"needs at least 2 finite scores of each kind, got {[sample.shape for sample in samples]}")
    kinds, scores = np.repeat([0, 1], [len(sample) for sample in samples]), np.concatenate(samples)
    false, true, _ = roc_curve(kinds, scores)
    area = float(roc_auc_score(kinds, scores))
    drawn = bootstrap(
        samples,
        _area,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(as_count("seed", seed)),
        vectorized=True,
    )
    low, high = drawn.confidence_interval
    return ROC(false, true, area, (float(low), float(high)))


def _area(clean: NDArray[np.float64], adversarial: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """Return the area by the rank sum (Mann & Whitney 1947), ties counted half."""
    from scipy.stats import rankdata

    n, m = clean.shape[axis], adversarial.shape[axis]
    shape = np.broadcast_shapes(clean.shape[:-1], adversarial.shape[:-1])
    both = np.concatenate([np.broadcast_to(clean, (*shape, n)), np.broadcast_to(adversarial, (*shape, m))], axis=-1)
    ranks = rankdata(both, axis=-1)[..., n:].sum(axis=-1)
    areas: NDArray[np.float64] = (ranks - m * (m + 1) / 2) / (n * m)
    return areas
