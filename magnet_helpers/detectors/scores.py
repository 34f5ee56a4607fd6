"""MagNet's detectors: how far an image is from what an autoencoder makes of it.

Source: D. Meng and H. Chen, "MagNet: a Two-Pronged Defense against Adversarial Examples" (2017), section 4.2.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from magnet_helpers.contracts import (
    as_count,
    as_number,
    check_reformed,
    set_numbers,
    warn_of_probabilities,
)
from magnet_helpers.defenses import NO_REFORMER, Defense


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
        error = images - check_reformed(images, self.autoencoder(images.clone()))
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
        logits = self.classifier(images.clone())  # a network may work in place
        if self._is_new and len(images):
            self._is_new = False
            warn_of_probabilities(logits, "a DivergenceDetector")
        before = log_softmax(logits / self.temperature, dim=1)
        reformed = check_reformed(images, self.autoencoder(images.clone()))
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
        if not isinstance(self.defense, Defense):
            raise TypeError(f"defense must be a Defense, for example VANILLA, got {self.defense!r}")
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
