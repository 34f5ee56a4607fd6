"""The choice between the datasets: MNIST, scikit-learn's digits, or a folder of one's own.

Getting hold of genuine MNIST files is left to `mnist_files`, the split to `dataset`.
"""

import os
import warnings
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate, pad

from magnet_helpers.data.dataset import DATASET_TITLES, STANDARD_NAMES, ImageData, split
from magnet_helpers.data.errors import DataError
from magnet_helpers.data.idx import found_folder
from magnet_helpers.data.images import LabeledImages, chosen
from magnet_helpers.data.mnist_files import MNIST_SHA256, read_mnist

_DIGITS_TEST_IMAGES = 360
_DIGITS_RECIPE = "divide by 16, bicubic to 20x20, clamp, pad by 4"  # part of the fingerprint

_fell_back = False  # whether "auto" has already failed to get MNIST in this process, and said so


def load_images(name: str = "auto", *, split_seed: int = 0, validation_images: int | None = None) -> ImageData:
    """Load a dataset and split it into training, validation and test images.

    `name`:

    - "mnist": 60,000 training images, of which `validation_images` (default 5,000) are split off
      for validation, and 10,000 test images. Where they come from: see `mnist_files.read_mnist`.
    - "digits": the 1,797 digits that come with scikit-learn, so no download is needed: 360 test
      images, and of the other 1,437, `validation_images` (default 180) for validation. Each 8x8
      image (values 0-16) is divided by 16, enlarged to 20x20 by bicubic interpolation, clamped to
      [0, 1] and given a black margin of 4 pixels: the layout of MNIST, whose digits fill 20x20 of
      28x28 pixels. The test set is stratified (each digit has its share) and fixed: it depends on
      no argument.
    - "auto": MNIST if it is there or can be had, else digits. The latter is said in a warning,
      once per process; after that the process does not try to download again. If `MAGNET_DATA` is
      set there is no falling back: a folder that was asked for and is wrong is an error.
    - the path of a folder of IDX files: a dataset of one's own, called like the folder; see `ImageData.from_folder`.

    `split_seed` alone decides which training images become validation images, and the order of
    both, so the first n training images are a random subset. The test images keep their order.

    Raises `DataError` (a `ValueError`) for an unknown name or if the images cannot be had, and `ValueError` for an
    impossible `validation_images`.
    """
    if name not in STANDARD_NAMES:
        folder = found_folder(name, 'the name "auto", "mnist" or "digits", or the path of a folder of IDX files')
        return ImageData.from_folder(folder, split_seed=split_seed, validation_images=validation_images)
    arrays = None
    if name != "digits":
        arrays = read_mnist() if name == "mnist" else _mnist_if_possible()
    data = _digits(split_seed, validation_images) if arrays is None else _mnist(arrays, split_seed, validation_images)
    return replace(data, source=data.name)


def can_be_loaded_again(data: ImageData) -> bool:
    """Whether `load_images(data.source)` returns the same images in the same split, as a worker process would."""
    try:
        return bool(data.source) and load_images(data.source).fingerprint == data.fingerprint
    except ValueError:  # the folder has gone
        return False


def _mnist_if_possible() -> dict[str, NDArray[np.uint8]] | None:
    """Return the MNIST files, or None, with the one warning, where they cannot be had."""
    global _fell_back
    if os.environ.get("MAGNET_DATA"):
        return read_mnist()
    try:
        return read_mnist(download=not _fell_back)
    except DataError as error:
        if not _fell_back:
            warnings.warn(
                f"Using {DATASET_TITLES['digits']} in place of MNIST: 1,797 enlarged 8x8 images, so "
                f"results will differ from those on MNIST. The reason: {error}",
                stacklevel=3,
            )
        _fell_back = True
        return None


def _mnist(arrays: dict[str, NDArray[np.uint8]], split_seed: int, validation_images: int | None) -> ImageData:
    def labeled(part: str) -> LabeledImages:
        images = torch.from_numpy(arrays[f"{part}-images-idx3-ubyte"].astype(np.float32))
        labels = torch.from_numpy(arrays[f"{part}-labels-idx1-ubyte"].astype(np.int64))
        return LabeledImages(images.div_(255.0).unsqueeze(1), labels)

    contents = "".join(MNIST_SHA256[name] for name in sorted(MNIST_SHA256)).encode()
    count = 5_000 if validation_images is None else validation_images
    return split("mnist", "mnist", labeled("train"), labeled("t10k"), contents, split_seed, count)


def _digits(split_seed: int, validation_images: int | None) -> ImageData:
    from sklearn.datasets import load_digits  # not needed with MNIST, and slow to import
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    small = torch.from_numpy(digits.images.astype(np.float32)).unsqueeze(1) / 16.0
    enlarged = interpolate(small, size=(20, 20), mode="bicubic", align_corners=False)
    all_digits = LabeledImages(
        pad(enlarged.clamp(0.0, 1.0), (4, 4, 4, 4)),
        torch.from_numpy(digits.target.astype(np.int64)),
    )
    pool, test = train_test_split(
        np.arange(len(all_digits)),
        test_size=_DIGITS_TEST_IMAGES,
        stratify=digits.target,
        random_state=0,
    )
    # Of the original integers: interpolated values may differ in the last bit between machines.
    originals = [digits.images.astype(np.uint8), digits.target.astype(np.uint8), pool, test]
    contents = _DIGITS_RECIPE.encode() + b"".join(a.astype("<i8").tobytes() for a in originals)
    return split(
        "digits",
        "digits",
        chosen(all_digits, torch.from_numpy(pool)),
        chosen(all_digits, torch.from_numpy(test)),
        contents,
        split_seed,
        180 if validation_images is None else validation_images,
    )
