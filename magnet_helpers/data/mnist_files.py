"""The four MNIST files: where they lie, and whether they are whole and genuine.

Answers for finding, reading and checking the files. Getting missing ones from a mirror is left to
`mnist_download`; what the arrays become (tensors, a split) and what happens without MNIST, to
`data`; where folders are, to `workspace`.

Environment variable: `MAGNET_DATA` names a folder that holds the four files, gzip-compressed or
not. It is only ever read: nothing is written or removed there.
"""

import gzip
import hashlib
import math
import os
import warnings
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magnet_helpers.data.mnist_download import GZIP_START, DataError, WrongFileError, download_files, folder_error
from magnet_helpers.workspace import data_folder

__all__ = ["MNIST_SHA256", "DataError", "WrongFileError", "read_idx", "read_mnist"]

MNIST_SHA256 = {  # of the decompressed bytes: the gzip wrappers of the mirrors differ
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
}
_LABELS_MAGIC, _IMAGES_MAGIC = 2049, 2051


def read_mnist(*, download: bool = True) -> dict[str, NDArray[np.uint8]]:
    """Return the contents of the four files, keyed by the names in `MNIST_SHA256`.

    Images have shape (N, 28, 28) and values 0-255, labels have shape (N,) and values 0-9; the
    arrays are read-only. They come from the folder in `MAGNET_DATA` if that is set; else from
    `data/mnist/`, into which missing files are downloaded first unless `download` is False. A
    wrong file in `data/mnist/` is removed, with a warning, and counts as missing.

    Raises `DataError` if the files are not all there or a download fails, `WrongFileError` if a
    file in `MAGNET_DATA` is not the published one.
    """
    chosen = os.environ.get("MAGNET_DATA")
    if chosen:
        return _read_chosen_folder(Path(chosen).expanduser().resolve())
    return _read_own_folder(data_folder() / "mnist", download=download)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array in one IDX file (gzip-compressed or not): labels (N,) or images (N, H, W).

    Raises `WrongFileError` for a truncated file, a wrong magic number and sizes that disagree, and
    `DataError` for a file that cannot be read. Does not compare checksums.
    """
    return _parse(_decompressed(path, str(path)), str(path))


def _places(folder: Path, name: str) -> list[Path]:
    """Return the files in `folder` that may hold the contents `name`."""
    try:
        return [path for path in (folder / f"{name}.gz", folder / name) if path.exists()]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}. Make it readable.") from error


def _read_chosen_folder(folder: Path) -> dict[str, NDArray[np.uint8]]:
    advice = "Correct MAGNET_DATA, or unset it to use data/mnist/ and the download."
    if not folder.is_dir():
        raise DataError(f"MAGNET_DATA names {folder}, which is not an existing folder. {advice}")
    contents: dict[str, bytes] = {}
    arrays: dict[str, NDArray[np.uint8]] = {}
    try:
        for name in MNIST_SHA256:
            places = _places(folder, name)
            if not places:
                raise DataError(
                    f"{folder} (from MAGNET_DATA) should hold the files {', '.join(MNIST_SHA256)} "
                    f"(each as it is or with .gz), but {name} is not there. {advice}"
                )
            contents[name] = _decompressed(places[0], str(places[0]))
            arrays[name] = _parse(contents[name], str(places[0]))
            _check_kind(arrays[name], name, str(places[0]))
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
        raise WrongFileError(f"{error} {advice}") from error
    return arrays


def _read_own_folder(folder: Path, *, download: bool) -> dict[str, NDArray[np.uint8]]:
    arrays: dict[str, NDArray[np.uint8]] = {}
    for name in MNIST_SHA256:
        for path in _places(folder, name):
            if name in arrays:
                break
            try:
                arrays[name] = _read_checked(path, name, str(path))
            except WrongFileError as error:
                try:
                    path.unlink(missing_ok=True)
                except OSError as failure:
                    raise folder_error(folder, failure) from error
                warnings.warn(f"{error} The wrong file has been removed.", stacklevel=2)
    missing = [name for name in MNIST_SHA256 if name not in arrays]
    if missing and not download:
        raise DataError(f"{folder} lacks {', '.join(missing)}, and no download was asked for.")
    return (arrays | download_files(missing, folder, _read_checked)) if missing else arrays


def _decompressed(path: Path, source: str) -> bytes:
    """Return the bytes of the IDX file in `path`; `source` is what error messages call it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}. Make it a readable file.") from error
    if not content.startswith(GZIP_START):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise WrongFileError(
            f"{source}: expected a whole gzip file, got {len(content)} bytes that are truncated or "
            f"damaged ({error}): get the file anew."
        ) from error


def _parse(content: bytes, source: str) -> NDArray[np.uint8]:
    magic = int.from_bytes(content[:4], "big")
    if len(content) >= 4 and magic not in (_LABELS_MAGIC, _IMAGES_MAGIC):
        raise WrongFileError(
            f"{source}: expected the magic number {_IMAGES_MAGIC} (images) or {_LABELS_MAGIC} "
            f"(labels), got {magic}; the contents begin with {content[:16]!r}, so this is another "
            "kind of file: get the MNIST file in its place."
        )
    dimensions = magic & 0xFF  # the last byte of an IDX magic number
    start = 4 + 4 * dimensions
    if len(content) < max(start, 8):
        raise WrongFileError(
            f"{source} is truncated: expected a header of 8 or 16 bytes, got {len(content)} bytes "
            "altogether: get the file anew."
        )
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    expected, got = math.prod(shape), len(content) - start
    if expected != got:
        raise WrongFileError(
            f"{source} is {'truncated' if got < expected else 'too long'}: its header announces "
            f"sizes {shape}, that is {expected} bytes, but {got} follow it: get the file anew."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _check_kind(array: NDArray[np.uint8], name: str, source: str) -> None:
    kind, magic, dimensions = ("images", _IMAGES_MAGIC, 3) if "images" in name else ("labels", _LABELS_MAGIC, 1)
    if array.ndim != dimensions:
        raise WrongFileError(
            f"{source}: expected the magic number {magic} of {kind}, got that of the other kind: "
            "the files have been mixed up; give each its own name."
        )
    if kind == "labels" and array.size and array.max() > 9:
        raise WrongFileError(f"{source}: expected labels 0-9, got {array.max()}: get the file anew.")


def _check_sum(content: bytes, name: str, source: str) -> None:
    expected, got = MNIST_SHA256[name], hashlib.sha256(content).hexdigest()
    if got != expected:
        raise WrongFileError(
            f"{source}: expected decompressed bytes with SHA-256 {expected}, got {got}: this is "
            "not the published MNIST file (another dataset, or an altered copy); get that one."
        )


def _read_checked(path: Path, name: str, source: str) -> NDArray[np.uint8]:
    content = _decompressed(path, source)
    array = _parse(content, source)
    _check_kind(array, name, source)
    _check_sum(content, name, source)
    return array
