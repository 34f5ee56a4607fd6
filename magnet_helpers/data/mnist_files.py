"""The four MNIST files: where they lie, and whether they are the published ones.

Answers for finding and checking the files. What an IDX file is, is left to `idx`; getting missing ones from a mirror
to `mnist_download`; what the arrays become (tensors, a split) and what happens without MNIST, to `loading`; where
folders are, to `workspace`.

Environment variable: `MAGNET_DATA` names a folder that holds the four files, gzip-compressed or
not. It is only ever read: nothing is written or removed there.
"""

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magnet_helpers.data.errors import DataError, WrongFileError
from magnet_helpers.data.idx import check_kind, decompressed, existing_places, parsed, possible_places
from magnet_helpers.data.mnist_download import download_files
from magnet_helpers.workspace import data_folder, expanded

MNIST_SHA256 = {  # of the decompressed bytes: the gzip wrappers of the mirrors differ
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
}
_LEFT = "It was left where it is"


def read_mnist(*, download: bool = True) -> dict[str, NDArray[np.uint8]]:
    """Return the contents of the four files, keyed by the names in `MNIST_SHA256`.

    Images have shape (N, 28, 28) and values 0-255, labels have shape (N,) and values 0-9; the
    arrays are read-only. They come from the folder in `MAGNET_DATA` if that is set; else from
    `data/mnist/`, into which missing files are downloaded first unless `download` is False. Where a
    file lies there both compressed and not, the compressed one is taken if it is the published one,
    else the other, with a warning. No file is ever removed or overwritten.

    Raises `DataError` if the files are not all there or a download fails, `WrongFileError` if a
    file is not the published one.
    """
    chosen = os.environ.get("MAGNET_DATA")
    if chosen:
        return _read_chosen_folder(expanded(chosen).resolve())
    return _read_own_folder(data_folder() / "mnist", download=download)


def _read_chosen_folder(folder: Path) -> dict[str, NDArray[np.uint8]]:
    advice = "Correct MAGNET_DATA, or unset it to use data/mnist/ and the download."
    if not folder.is_dir():
        raise DataError(f"MAGNET_DATA names {folder}, which is not an existing folder. {advice}")
    contents: dict[str, bytes] = {}
    arrays: dict[str, NDArray[np.uint8]] = {}
    try:
        for name in MNIST_SHA256:
            path = existing_places(folder, name)[0]
            contents[name] = decompressed(path, str(path))
            arrays[name] = parsed(contents[name], str(path))
            _check_kind(arrays[name], name, str(path))
        for part in ("train", "t10k"):
            images = len(arrays[f"{part}-images-idx3-ubyte"])
            labels = len(arrays[f"{part}-labels-idx1-ubyte"])
            if images != labels:
                raise WrongFileError(
                    f"{folder}: expected one label per image, got {images} images and "
                    f"{labels} labels in the {part} files: they do not belong together."
                )
        for name, content in contents.items():
            _check_sum(content, name, f"{name} in {folder}")
    except WrongFileError as error:
        raise WrongFileError(
            f"{error} {_LEFT}. {advice} If it is another dataset that you want, name the folder in MAGNET_DATASET."
        ) from error
    except DataError as error:
        raise DataError(f"{error} MAGNET_DATA names this folder. {advice}") from error
    return arrays


def _read_own_folder(folder: Path, *, download: bool) -> dict[str, NDArray[np.uint8]]:
    arrays: dict[str, NDArray[np.uint8]] = {}
    for name in MNIST_SHA256:
        failures: list[WrongFileError] = []
        for path in possible_places(folder, name):
            try:
                arrays[name] = _read_checked(path, name, str(path))
            except WrongFileError as error:
                failures.append(error)
                continue
            for failure in failures:
                warnings.warn(f"{failure} {_LEFT}, and {path} is used.", stacklevel=2)
            break
        else:
            if failures:
                raise WrongFileError(
                    f"{failures[0]} {_LEFT}: move or delete it yourself, and the published one is downloaded. If it is "
                    "another dataset that you want, name its folder in MAGNET_DATASET."
                ) from failures[0]
    missing = [name for name in MNIST_SHA256 if name not in arrays]
    if missing and not download:
        raise DataError(f"{folder} lacks {', '.join(missing)}, and no download was asked for.")
    return (arrays | download_files(missing, folder, _read_checked)) if missing else arrays


def _check_kind(array: NDArray[np.uint8], name: str, source: str) -> None:
    check_kind(array, name, source)
    if "labels" in name and array.size and array.max() > 9:
        raise WrongFileError(f"{source}: expected labels 0-9, got {array.max()}: get the file anew.")


def _check_sum(content: bytes, name: str, source: str) -> None:
    expected, got = MNIST_SHA256[name], hashlib.sha256(content).hexdigest()
    if got != expected:
        raise WrongFileError(
            f"{source}: expected decompressed bytes with SHA-256 {expected}, got {got}: this is "
            "not the published MNIST file (another dataset, or an altered copy); get that one."
        )


def _read_checked(path: Path, name: str, source: str) -> NDArray[np.uint8]:
    content = decompressed(path, source)
    array = parsed(content, source)
    _check_kind(array, name, source)
    _check_sum(content, name, source)
    return array
