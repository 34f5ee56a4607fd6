"""Labeled images: what they look like, what is refused, and how arrays of other kinds become such images."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magnet_helpers.data.errors import DataError

Array = Tensor | NDArray[np.generic]


@dataclass(frozen=True, eq=False)  # tensors have no single truth value to compare by
class LabeledImages:
    """Images with their labels.

    `images`: float32 (N, 1, 28, 28) in [0, 1], N at least 1; `labels`: int64 (N,), class numbers from 0 on.
    Anything else is refused with a `DataError`; `from_arrays` takes more.

    >>> len(LabeledImages(torch.zeros(4, 1, 28, 28), torch.tensor([0, 1, 2, 3])).first(2))
    2
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
            advice = f"reshape them, with {self.CHANNELS} channel(s) after the number of images"
            if len(shape) == 4 and 3 in (shape[1], shape[3]):
                advice = "these have three colours; make them grey, for example by the mean over the colours"
            elif len(shape) == 4 and shape[1] == self.CHANNELS and shape[2:] != (28, 28):
                advice = "resize or crop them to 28×28 pixels"
            raise DataError(
                f"images must have shape (N, {self.CHANNELS}, 28, 28) with N at least 1, got {shape}: {advice}."
            )
        if self.labels.dtype != torch.int64 or self.labels.ndim != 1:
            raise DataError(
                f"labels must be torch.int64 of shape (N,), got {self.labels.dtype} of shape "
                f"{tuple(self.labels.shape)}: use class numbers from 0 on, and labels.long()."
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
        lowest = int(self.labels.min())
        if lowest < 0:
            raise DataError(
                f"labels must be 0 or more, got {lowest}: number the classes from 0 on, or leave such images out."
            )

    @classmethod
    def from_arrays(cls, images: Array, labels: Array) -> "LabeledImages":
        """Return images and labels of other kinds as such images.

        Args:
            images: tensor or NumPy array, shape (N, 28, 28) or (N, 1, 28, 28): uint8 in 0-255, which is divided by 255,
                or floating point in [0, 1].
            labels: tensor or NumPy array of whole numbers, shape (N,): class numbers from 0 on.

        Raises:
            DataError: for anything else. Colours are not made grey, and one-hot labels are not read.
        """
        pixels, classes = _as_tensor(images, "images"), _as_tensor(labels, "labels")
        if pixels.dtype == torch.uint8:
            pixels = pixels.float().div_(255.0)
        elif not pixels.is_floating_point():
            raise DataError(
                f"images must be uint8 (0-255) or floating point (0-1), got {pixels.dtype}: convert them to the one "
                "that they are."
            )
        if pixels.ndim == 3:
            pixels = pixels.unsqueeze(1)
        if classes.ndim == 2 and classes.shape[1] > 1:
            raise DataError(
                f"labels must have shape (N,), got {tuple(classes.shape)}: if they are one-hot, take labels.argmax(1)."
            )
        if classes.is_floating_point() or classes.is_complex() or classes.dtype == torch.bool:
            raise DataError(f"labels must be whole numbers, one for each class, got {classes.dtype}: convert them.")
        return cls(pixels.float(), classes.long())

    @property
    def n_classes(self) -> int:
        """The number of classes: the largest label and one."""
        return int(self.labels.max()) + 1

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


def chosen(source: LabeledImages, indices: Tensor) -> LabeledImages:
    """Return the images with these numbers, with their labels."""
    return LabeledImages(source.images[indices], source.labels[indices])


def _as_tensor(array: Array, kind: str) -> Tensor:
    """Return a tensor on the CPU that nothing outside changes; a `DataError` if this is no array of numbers."""
    if isinstance(array, Tensor):
        return array.detach().cpu().clone()
    try:
        return torch.from_numpy(np.array(array))  # its own copy, also of a read-only or flipped one
    except (TypeError, ValueError) as error:
        raise DataError(f"{kind} must be a tensor or a NumPy array of numbers: {error}") from error
