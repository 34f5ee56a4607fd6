"""Labeled images, split into training, validation and test sets: what they look like, and what is refused."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from magnet_helpers.data.mnist_files import DataError

DATASET_TITLES = {"mnist": "MNIST", "digits": "scikit-learn digits"}


@dataclass(frozen=True, eq=False)  # tensors have no single truth value to compare by
class LabeledImages:
    """Images with their labels.

    `images`: float32 (N, 1, 28, 28) in [0, 1], N at least 1; `labels`: int64 (N,), each 0-9.
    Anything else is refused with a `DataError`.
    """

    images: Tensor
    labels: Tensor
    CHANNELS: ClassVar[int] = 1

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if self.images.dtype != torch.float32:
            raise DataError(
                f"images must be torch.float32, got {self.images.dtype}: use images.float(), "
                "and divide by 255 if they hold 0-255."
            )
        if len(shape) != 4 or shape[1:] != (self.CHANNELS, 28, 28) or shape[0] == 0:
            raise DataError(
                f"images must have shape (N, {self.CHANNELS}, 28, 28) with N at least 1, got {shape}: reshape "
                f"them, with {self.CHANNELS} channel(s) after the number of images."
            )
        if self.labels.dtype != torch.int64 or self.labels.ndim != 1:
            raise DataError(
                f"labels must be torch.int64 of shape (N,), got {self.labels.dtype} of shape "
                f"{tuple(self.labels.shape)}: use class numbers 0-9, and labels.long()."
            )
        if len(self.labels) != shape[0]:
            raise DataError(
                f"there must be one label per image, got {shape[0]} images and "
                f"{len(self.labels)} labels: take both from the same set, in the same order."
            )
        low, high = (value.item() for value in torch.aminmax(self.images))
        if not (low >= 0.0 and high <= 1.0):  # also refuses NaN
            end, value = ("maximum", high) if high > 1.0 else ("minimum", low)
            advice = "divide by 255" if high > 2.0 else "clamp or rescale them, and look for NaN"
            raise DataError(f"images must lie in [0, 1], got {end} {value}: {advice}.")
        lowest, highest = (int(value) for value in torch.aminmax(self.labels))
        if lowest < 0 or highest > 9:
            raise DataError(
                f"labels must lie in 0-9, got {lowest if lowest < 0 else highest}: number the ten "
                "classes from 0 to 9, or leave such images out."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, n: int | None) -> "LabeledImages":
        """Return the first `n` images with their labels (all for None), as views.

        Raises `ValueError` unless 1 <= n <= len(self).
        """
        if n is None:
            return self
        if not 1 <= n <= len(self):
            raise ValueError(
                f"expected a number of images from 1 to {len(self)}, got {n}: ask for fewer, or "
                "for None to get all of them."
            )
        return LabeledImages(self.images[:n], self.labels[:n])

    def spread(self, n: int | None) -> "LabeledImages":
        """Return `n` images at even distances, in order (all for None): a fair sample of a set whose order may matter.

        MNIST's test images come from two groups of writers, one after the other.

        Raises `ValueError` unless 1 <= n <= len(self).
        """
        if n is None or n == len(self):
            return self
        self.first(n)
        indices = torch.arange(n) * len(self) // n
        return chosen(self, indices)


class PairedImages(LabeledImages):
    """Clean images, each with its corrupted version as a second channel: `images` is (N, 2, 28, 28)."""

    CHANNELS = 2


@dataclass(frozen=True, eq=False)
class ImageData:
    """A dataset in three disjoint parts; the training and validation images are in random order.

    `name` is "mnist" or "digits"; `fingerprint` is 12 hexadecimal digits that change with the
    contents and with the split, and with nothing else.
    """

    name: str
    train: LabeledImages
    validation: LabeledImages
    test: LabeledImages
    fingerprint: str

    @property
    def title(self) -> str:
        """The dataset's name for tables and figures."""
        return DATASET_TITLES[self.name]


def chosen(source: LabeledImages, indices: Tensor) -> LabeledImages:
    """Return the images with these numbers, with their labels."""
    return LabeledImages(source.images[indices], source.labels[indices])
