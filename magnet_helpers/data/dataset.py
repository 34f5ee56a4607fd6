"""A dataset in three disjoint parts: how it is split, what it is called, and what tells it from others."""

import hashlib
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING

import torch

from magnet_helpers.contracts import as_count
from magnet_helpers.data.errors import DataError
from magnet_helpers.data.idx import found_folder, read_folder
from magnet_helpers.data.images import Array, LabeledImages, chosen

DATASET_TITLES = {"mnist": "MNIST", "digits": "scikit-learn digits"}
STANDARD_NAMES = ("auto", *DATASET_TITLES)


def title_of(name: str) -> str:
    """Return what figures and tables call the dataset of that name: a dataset of one's own by the name itself."""
    return DATASET_TITLES.get(name, name)


@dataclass(frozen=True, eq=False)
class ImageData:
    """A dataset in three disjoint parts; the training and validation images are in random order.

    Attributes:
        name: "mnist", "digits", or the name of a dataset of one's own.
        train: what networks learn from.
        validation: what thresholds are chosen on.
        test: what every accuracy is measured on.
        fingerprint: 12 hexadecimal digits that change with the contents and with the split, and with nothing else.
        source: what `load_images` loads it from, a name or a folder's path; empty if it came as tensors.
    """

    name: str
    train: LabeledImages
    validation: LabeledImages
    test: LabeledImages
    fingerprint: str
    source: str = ""

    if not TYPE_CHECKING:  # for which a slip would else be an attribute

        def __getattr__(self, name: str) -> object:
            """Say where the images are to whoever takes a whole dataset for one of its parts."""
            advice = ": it has three parts; give data.train, data.validation or data.test"
            raise AttributeError(f"an ImageData has no {name!r}{advice if name in ('images', 'labels') else ''}")

    def __repr__(self) -> str:
        """One line, where the images would be thousands of numbers."""
        sizes = f"train={len(self.train)}, validation={len(self.validation)}, test={len(self.test)}"
        return f"ImageData({self.name!r}, n_classes={self.n_classes}, {sizes})"

    @property
    def title(self) -> str:
        """The dataset's name for tables and figures."""
        return title_of(self.name)

    @property
    def n_classes(self) -> int:
        """The number of classes: the largest label of all parts and one."""
        return max(part.n_classes for part in (self.train, self.validation, self.test))

    @classmethod
    def from_tensors(
        cls,
        name: str,
        train: tuple[Array, Array],
        test: tuple[Array, Array],
        *,
        split_seed: int = 0,
        validation_images: int | None = None,
    ) -> "ImageData":
        """Return a dataset of one's own, of grey images of 28×28 pixels and any number of classes.

        >>> images, labels = torch.rand(120, 28, 28), torch.arange(120) % 4
        >>> data = ImageData.from_tensors("Noise", (images, labels), (images[:40], labels[:40]))
        >>> len(data.train), len(data.validation), data.n_classes, data.title
        (110, 10, 4, 'Noise')

        Args:
            name: what figures and tables call it.
            train: images and labels, see `LabeledImages.from_arrays`.
            test: other images with their labels, of the same classes. They keep their order.
            split_seed: decides which of the training images become validation images, and the order of both.
            validation_images: how many (None: a twelfth, as of MNIST's 60,000).

        Raises:
            DataError: as `LabeledImages.from_arrays` does; for a name that is empty or that of a dataset of the
                course; and if there are not two classes at least.
            ValueError: if `validation_images` is less than 1 or leaves no training image.
        """
        if not name.strip() or name.lower() in STANDARD_NAMES:
            raise DataError(f"a dataset of your own needs a name of its own, got {name!r}: give it another.")
        pool, held_out = LabeledImages.from_arrays(*train), LabeledImages.from_arrays(*test)
        classes = max(pool.n_classes, held_out.n_classes)
        if classes < 2:
            raise DataError(
                f"{name} must have at least 2 classes, got the label 0 alone: take images of another class in."
            )
        contents = hashlib.sha256()
        for part in (pool, held_out):
            contents.update(part.images.numpy().astype("<f4").tobytes() + part.labels.numpy().astype("<i8").tobytes())
        count = max(1, len(pool) // 12) if validation_images is None else validation_images
        # A new name is no new dataset: what was trained on it is found again.
        return split(name, "own images", pool, held_out, contents.digest(), split_seed, count)

    @classmethod
    def from_folder(
        cls,
        folder: str | PathLike[str],
        name: str | None = None,
        *,
        split_seed: int = 0,
        validation_images: int | None = None,
    ) -> "ImageData":
        """Return the dataset in a folder of IDX files, as Fashion-MNIST and KMNIST come: see `idx.read_folder`.

        Args:
            folder: holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
                `t10k-labels-idx1-ubyte`, each as it is or with `.gz` (where both are there, `.gz` is read). Nothing is
                written or removed there. A relative path is looked for from the current folder, then in the workspace.
            name: what figures and tables call it (None: the folder's name).
            split_seed, validation_images: as in `from_tensors`.

        Raises:
            DataError: as `idx.found_folder`, `idx.read_folder` and `from_tensors` do.
            ValueError: as `from_tensors` does.
        """
        place = found_folder(folder)
        arrays = read_folder(place)
        parts = [
            (arrays[f"{part}-images-idx3-ubyte"], arrays[f"{part}-labels-idx1-ubyte"]) for part in ("train", "t10k")
        ]
        try:
            data = cls.from_tensors(
                place.name if name is None else name, *parts, split_seed=split_seed, validation_images=validation_images
            )
        except DataError as error:
            raise DataError(f"{place}: {error}") from error
        return replace(data, source=str(place))


def split(
    name: str,
    identity: str,
    pool: LabeledImages,
    test: LabeledImages,
    contents: bytes,
    split_seed: int,
    validation_images: int,
) -> ImageData:
    """Split `pool` into training and validation images; `identity` and `contents` identify `pool` and `test`.

    Raises:
        ValueError: if `validation_images` is less than 1 or leaves no training image.
    """
    validation_images = as_count("validation_images", validation_images, least=None)
    split_seed = as_count("split_seed", split_seed)
    if not 1 <= validation_images < len(pool):
        raise ValueError(
            f"expected validation_images from 1 to {len(pool) - 1}, got {validation_images}: they are taken "
            f"from the {len(pool)} training images of {title_of(name)}, and some must remain."
        )
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(split_seed), device="cpu")
    digest = hashlib.sha256(identity.encode() + contents)
    digest.update(validation_images.to_bytes(8, "little") + order.numpy().astype("<i8").tobytes())
    return ImageData(
        name=name,
        train=chosen(pool, order[validation_images:]),
        validation=chosen(pool, order[:validation_images]),
        test=test,
        fingerprint=digest.hexdigest()[:12],
    )
