"""Labeled images: what they look like, what is refused, and how arrays of other kinds become such images."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magnet_helpers.contracts import as_count, check_from_zero, check_images, check_labels, check_shape
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
        try:
            pixels = check_images(self.images)
            check_shape(pixels, self.CHANNELS, (28, 28))
            if pixels.ndim != 4 or not len(pixels):
                wanted, advice = f"(N, {self.CHANNELS}, 28, 28) with N at least 1", "give them an axis of images"
                raise ValueError(f"images must have shape {wanted}, got {tuple(pixels.shape)}: {advice}")
            if pixels.dtype != torch.float32:
                raise ValueError(f"images must be torch.float32, got {pixels.dtype}: take images.float()")
            check_from_zero(check_labels(self.labels, len(pixels)))
            if self.labels.dtype != torch.int64:
                raise ValueError(f"labels must be torch.int64, got {self.labels.dtype}: take labels.long()")
        except ValueError as error:
            raise DataError(f"{error}.") from None

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
        try:
            check_images(pixels)
            classes = check_labels(classes, len(pixels))
        except ValueError as error:
            raise DataError(f"{error}.") from None
        if pixels.ndim == 3:
            pixels = pixels.unsqueeze(1)
        return cls(pixels.float(), classes)

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
        n = as_count("n", n, least=None)
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
        n = len(self.first(n))
        if n == len(self):
            return self
        indices = torch.arange(n, device="cpu") * len(self) // n
        return chosen(self, indices)


class PairedImages(LabeledImages):
    """Clean images, each with its corrupted version as a second channel: `images` is (N, 2, 28, 28)."""

    CHANNELS = 2


def chosen(source: LabeledImages, indices: Tensor) -> LabeledImages:
    """Return the images with these numbers, with their labels."""
    return LabeledImages(source.images[indices], source.labels[indices])


def _as_tensor(array: Array, kind: str) -> Tensor:
    """Return a tensor on the CPU that nothing outside changes; a `DataError` if this is no array of numbers."""
    try:
        if isinstance(array, Tensor):
            return array.detach().cpu().clone()
        return torch.from_numpy(np.array(array))  # its own copy, also of a read-only or flipped one
    except (TypeError, ValueError, NotImplementedError) as error:
        raise DataError(f"{kind} must be a tensor or a NumPy array of numbers: {error}") from error


def check_labeled(**sets: object) -> None:
    """Raise a TypeError if one of what should be `LabeledImages`, by its name, is anything else."""
    for name, images in sets.items():
        if not isinstance(images, LabeledImages):
            has_parts = hasattr(images, "validation")
            advice = f"give its .{name}" if has_parts else "LabeledImages(images, labels) makes them of two tensors"
            raise TypeError(f"{name} must be LabeledImages, got a {type(images).__name__}: {advice}")
