"""What a detector's threshold costs and brings: its receiver operating characteristic."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from magnet_helpers.contracts import as_count, check_scores

_RESAMPLES = 1_000  # of the interval of a curve's area


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
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

    >>> import torch
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
