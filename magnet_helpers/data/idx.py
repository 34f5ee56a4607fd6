"""IDX files, the format of MNIST and of the datasets that took its place (Fashion-MNIST, KMNIST).

Answers for finding and reading them, and for whether they are whole. Whether they are MNIST's is left to `mnist_files`.
Files are only ever read here.
"""

import gzip
import math
import zlib
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magnet_helpers.data.errors import DataError, WrongFileError
from magnet_helpers.workspace import places_of

_FILES = ("t10k-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "train-labels-idx1-ubyte", "train-images-idx3-ubyte")
GZIP_START = b"\x1f\x8b"
_LABELS_MAGIC, _IMAGES_MAGIC = 2049, 2051
_MORE_DIMENSIONS = range(2052, 2056)  # of bytes too; colour images have four


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array in one IDX file (gzip-compressed or not): labels (N,) or images (N, H, W).

    Raises `WrongFileError` for a truncated file, a wrong magic number and sizes that disagree, and
    `DataError` for a file that cannot be read. Does not compare checksums.
    """
    return parsed(decompressed(path, str(path)), str(path))


def found_folder(path: str | PathLike[str], expected: str = "the path of a folder of IDX files") -> Path:
    """Return the folder that a path leads to, see `workspace.places_of`.

    Raises `DataError` if there is none; `expected` is what it says should have come.
    """
    places = places_of(path) if str(path) else []
    for place in places:
        if place.is_dir():
            return place
    looked = " or ".join(str(place) for place in places) or "without a name"
    raise DataError(f"expected {expected}, got {str(path)!r}, but there is no folder {looked}: use one that is there.")


def read_folder(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Return the contents of the four files of any dataset, keyed by the names in `_FILES`.

    Images have shape (N, H, W) and values 0-255, labels have shape (N,). Each file may be gzip-compressed (`.gz`) or
    not; where both are there, the compressed one is taken, and the other has to hold the same.

    Raises `DataError` if a file is not there or cannot be read, or if a file lies there twice with
    different contents; `WrongFileError` if one is no such file.
    """
    arrays: dict[str, NDArray[np.uint8]] = {}
    for name in _FILES:
        first, *duplicates = existing_places(folder, name)
        content = decompressed(first, str(first))
        arrays[name] = parsed(content, str(first))
        check_kind(arrays[name], name, str(first))
        for duplicate in duplicates:
            if decompressed(duplicate, str(duplicate)) != content:
                raise DataError(
                    f"{first} and {duplicate.name} hold different contents: keep only the one that you mean."
                )
    return arrays


def existing_places(folder: Path, name: str) -> list[Path]:
    """Return the files in a folder that hold the contents `name`, the compressed one first.

    Raises `DataError` if there is none.
    """
    places = possible_places(folder, name)
    if not places:
        raise DataError(
            f"{folder} should hold the files {', '.join(_FILES)} (each as it is or with .gz), but {name} is not there."
        )
    return places


def possible_places(folder: Path, name: str) -> list[Path]:
    """Return the files in a folder that may hold the contents `name`, the compressed one first; empty if none does."""
    try:
        return [path for path in (folder / f"{name}.gz", folder / name) if path.exists()]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}. Make it readable.") from error


def decompressed(path: Path, source: str) -> bytes:
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


def parsed(content: bytes, source: str) -> NDArray[np.uint8]:
    """Return the array in the bytes of an IDX file; `source` is what error messages call it."""
    magic = int.from_bytes(content[:4], "big")
    if len(content) >= 4 and magic not in (_LABELS_MAGIC, _IMAGES_MAGIC):
        kind = (
            f"an IDX file of {magic & 0xFF} dimensions: if the fourth is colour, make the images grey, for example by "
            "the mean over the colours"
            if magic in _MORE_DIMENSIONS
            else "another kind of file: get the IDX file in its place"
        )
        raise WrongFileError(
            f"{source}: expected the magic number {_IMAGES_MAGIC} (grey images, N×28×28) or {_LABELS_MAGIC} (labels), "
            f"got {magic}; the contents begin with {content[:16]!r}, so this is {kind}."
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


def check_kind(array: NDArray[np.uint8], name: str, source: str) -> None:
    """Raise a `WrongFileError` if the file of this name holds labels in place of images, or the reverse."""
    kind, magic, dimensions = ("images", _IMAGES_MAGIC, 3) if "images" in name else ("labels", _LABELS_MAGIC, 1)
    if array.ndim != dimensions:
        raise WrongFileError(
            f"{source}: expected the magic number {magic} of {kind}, got that of the other kind: "
            "the files have been mixed up; give each its own name."
        )
