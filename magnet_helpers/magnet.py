"""The whole of MagNet: detectors that reject, then a reformer, then the classifier.

Source: D. Meng and H. Chen, "MagNet: a Two-Pronged Defense against Adversarial Examples" (2017).
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from magnet_helpers.contracts import (
    are_finite,
    as_count,
    check_alike,
    check_images,
    check_labels,
    check_pixels,
    check_reformed,
    check_scores,
)
from magnet_helpers.defenses import Defense, ReformedClassifier
from magnet_helpers.detectors import Detector, DetectorSpec, Threshold, choose_threshold
from magnet_helpers.device import full_precision
from magnet_helpers.inference import apply_model, are_unclear, n_classes_of, outputs_of
from magnet_helpers.intervals import Accuracy
from magnet_helpers.seeds import new_generator

MAGNETS_FALSE_POSITIVE_RATE = 0.001  # of each detector by itself (section 5.2)


@dataclass(frozen=True)
class MagNetSpec:
    """A MagNet by the names of its parts (`lab.Lab.magnet` builds it).

    Args:
        label: the name in tables and figures.
        reformer: names the reformer; `defenses.NO_REFORMER`: detectors alone.
        detectors: none: the reformer alone.
    """

    label: str
    reformer: Defense
    detectors: tuple[DetectorSpec, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.reformer, Defense):
            raise TypeError(f"reformer must be a Defense, for example NO_REFORMER, got {self.reformer!r}")
        if not isinstance(self.detectors, list | tuple) or any(not isinstance(e, DetectorSpec) for e in self.detectors):
            raise TypeError(f"detectors must be DetectorSpecs, a tuple of them, got {self.detectors!r}")
        object.__setattr__(self, "detectors", tuple(self.detectors))


class UnjudgedWarning(UserWarning):
    """A defence could not judge some images, and rejects them."""


@dataclass(frozen=True, eq=False)  # tensors have no single truth value to compare by
class Outcome:
    """What became of N images, one by one.

    Attributes:
        labels: the right answers, shape (N,).
        answers: the classifier's answers to the reformed images, also to those that are rejected, shape (N,); −1 to
            images that could not be judged.
        rejected: whether a detector rejects the image, or it could not be judged, shape (N,).

    Raises:
        ValueError: unless all three have one value for each image.
    """

    labels: Tensor
    answers: Tensor
    rejected: Tensor

    def __post_init__(self) -> None:
        check_alike(labels=self.labels, answers=self.answers, rejected=self.rejected)

    @property
    def counts(self) -> dict[str, int]:
        """Rejected; accepted and right; accepted and wrong. They add up to N."""
        right = self.answers == self.labels
        return {
            "rejected": int(self.rejected.sum()),
            "accepted and right": int((~self.rejected & right).sum()),
            "accepted and wrong": int((~self.rejected & ~right).sum()),
        }

    @property
    def rejected_counts_as_wrong(self) -> Accuracy:
        """Accepted and right, out of all: MagNet's "accuracy" on clean images."""
        return Accuracy(self.counts["accepted and right"], len(self.labels))

    @property
    def rejected_counts_as_right(self) -> Accuracy:
        """Not fooled, that is rejected or right, out of all: MagNet's "accuracy" on adversarial images."""
        return Accuracy(len(self.labels) - self.counts["accepted and wrong"], len(self.labels))


class MagNet(nn.Module):
    """Detectors, reformer and classifier as one defence.

    An image is rejected if any detector's score is above its threshold, or if it cannot be judged: if the image itself,
    a score or the classifier's logits are not finite where they must be. The classifier answers to the reformed image.

    Args:
        classifier: maps images (N, C, H, W) to logits (N, K).
        reformer: maps images to images of the same shape; None for detectors alone.
        detectors: by name, each with its threshold; none for the reformer alone.
    """

    def __init__(
        self,
        classifier: nn.Module,
        reformer: nn.Module | None,
        detectors: Mapping[str, tuple[Detector, Threshold]],
    ) -> None:
        super().__init__()
        self.reformed = classifier if reformer is None else ReformedClassifier(reformer, classifier)
        self.names = tuple(detectors)
        self.detectors = nn.ModuleList([detector for detector, _ in detectors.values()])
        self.thresholds = tuple(threshold for _, threshold in detectors.values())

    @classmethod
    def calibrated(
        cls,
        classifier: nn.Module,
        reformer: nn.Module | None,
        detectors: Sequence[Detector],
        clean_images: Tensor,
        false_positive_rate: float,
    ) -> "MagNet":
        """Return a MagNet whose thresholds are chosen on clean images.

        Args:
            classifier: maps images (N, C, H, W) to logits (N, K).
            reformer: maps images to images of the same shape; None for detectors alone.
            detectors: their labels are their names.
            clean_images: validation images, (n, C, H, W).
            false_positive_rate: of each detector by itself, in [0, 1] (see `choose_threshold`). MagNet takes 0.001.

        Raises:
            TypeError: if the images are no tensor.
            ValueError: if the images are none (`contracts.check_images`), if two detectors have the same label, if the
                classifier or an autoencoder does not return what it must, or as `choose_threshold` does.
        """
        if len({detector.label for detector in detectors}) != len(detectors):
            raise ValueError(
                f"each detector needs a label of its own, got {[detector.label for detector in detectors]}"
            )
        if len(check_images(clean_images)):
            n_classes_of(classifier, clean_images)
        n = len(clean_images)
        scores = {each.label: (each, check_scores(apply_model(each, clean_images), n)) for each in detectors}
        pairs = {
            name: (detector, choose_threshold(clean_scores, false_positive_rate))
            for name, (detector, clean_scores) in scores.items()
        }
        return cls(classifier, reformer, pairs)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K) of the reformed images, whether they are rejected or not."""
        logits: Tensor = self.reformed(images)
        return logits

    def excess(self, images: Tensor) -> Tensor:
        """Return by how much each detector's score is above its threshold, in thresholds, shape (N, D).

        Above 0: rejected, as is a score of NaN, whose excess is infinite. Differentiable: an attacker who knows the
        detectors lowers it. A threshold that accepts or rejects all gives its sign alone.
        """
        columns = []
        for detector, threshold in zip(self.detectors, self.thresholds, strict=True):
            scores = check_scores(detector(images), len(images))
            scale = abs(threshold.value) if 0 < abs(threshold.value) < float("inf") else 1.0
            excess = (scores - threshold.value) / scale
            columns.append(torch.where(excess.isnan(), torch.inf, excess))
        return torch.stack(columns, dim=1) if columns else images.new_zeros(len(images), 0)

    def rejections(self, images: Tensor) -> Tensor:
        """Return which detector rejects which image: booleans (N, D), on the CPU.

        Every detector rejects an image that is not finite, and one whose score is not.

        Raises:
            TypeError, ValueError: as `judge`.
        """
        images, broken = _sound(images)
        columns = [broken.new_zeros(len(images), 0)]
        for detector, threshold in zip(self.detectors, self.thresholds, strict=True):
            scores = check_scores(outputs_of(detector, images), len(images))
            if (unclear := ~scores.isfinite()).any():
                _check_weights(detector, unclear)
            columns.append((broken | unclear | (scores > threshold.value))[:, None])
        return torch.cat(columns, dim=1)

    def judge(self, images: Tensor, labels: Tensor) -> Outcome:
        """Return what becomes of images (N, C, H, W) whose right answers are `labels` (N,).

        Images that cannot be judged are rejected, with −1 for an answer; the others get theirs.

        Raises:
            TypeError: if images or labels are no tensors.
            ValueError: if the finite ones are no images (`contracts.check_images`), if there is not one label for each
                image, if the classifier does not have such a class, if a network does not return what it must, or if
                its weights hold NaN.

        Warns:
            UnjudgedWarning: if there are images that could not be judged.
        """
        whole, broken = _sound(images)
        labels = check_labels(labels, len(whole), n_classes_of(self.reformed, whole) if len(whole) else None)
        with full_precision():
            logits = outputs_of(self.reformed, whole)
        if (unclear := are_unclear(logits)).any():
            _check_weights(self.reformed, unclear)
        unclear = unclear | broken
        answers = torch.where(unclear, -1, logits.argmax(dim=1)) if unclear.any() else logits.argmax(dim=1)
        if unclear.any():
            warnings.warn(
                f"{int(unclear.sum())} of {len(whole)} images could not be judged and are rejected: look for NaN and "
                "infinite numbers in them, and in what the reformer makes of them",
                UnjudgedWarning,
                stacklevel=2,
            )
        return Outcome(labels, answers, self.rejections(images).any(dim=1) | unclear)


def _sound(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return images with black ones in place of those that are not finite, and which these are, (N,).

    Raises:
        TypeError, ValueError: if the others are no images (`contracts.check_images`).
    """
    if check_pixels(images).ndim < 2 or (finite := are_finite(images)).all():
        return check_images(images), torch.zeros(len(images), dtype=torch.bool, device="cpu")
    check_images(images[finite])
    sound = images.detach().clone()
    sound[~finite] = 0
    return sound, ~finite.cpu()


def _check_weights(network: nn.Module, unclear: Tensor) -> None:
    """Raise a ValueError if it is the network, and not the image, of which nothing comes but NaN."""
    if any(bool(value.isnan().any()) for value in network.state_dict().values()):
        raise ValueError(
            f"expected numbers of a {type(network).__name__}, got NaN, or several infinite ones, for "
            f"{int(unclear.sum())} of {len(unclear)} images: look for NaN in the network's weights, which hold some "
            "(has its training diverged?)"
        )


class RandomReformer(nn.Module):
    """One of several autoencoders for each image, picked at random: MagNet's defence in the grey box (section 4.4).

    The attacker may know all of them, but not which one an image will meet.

    Args:
        autoencoders: at least one.
        seed: of the first pick; every call picks anew.

    Raises:
        ValueError: if there is no autoencoder.
    """

    def __init__(self, autoencoders: Sequence[nn.Module], seed: int = 0) -> None:
        super().__init__()
        if not autoencoders:
            raise ValueError("a random pick needs at least one autoencoder, got none")
        self.autoencoders = nn.ModuleList(autoencoders)
        self.generator = new_generator(as_count("seed", seed), "pick of an autoencoder")

    def forward(self, images: Tensor) -> Tensor:
        """Return the images (N, C, H, W), each as its autoencoder returns it."""
        kinds, source = len(self.autoencoders), self.generator
        picks = torch.randint(kinds, (len(images),), generator=source, device=source.device).to(images.device)
        out = torch.zeros_like(images)
        for number, autoencoder in enumerate(self.autoencoders):
            chosen = (picks == number).nonzero()[:, 0]
            if len(chosen):
                out = out.index_copy(0, chosen, check_reformed(images[chosen], autoencoder(images[chosen])))
        return out
