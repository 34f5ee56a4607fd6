"""Results files: a row for each measurement, as CSV, with an answer for every image packed into text."""

import base64
import csv
import hashlib
import io
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

import magnet_helpers
from magnet_helpers.attacks import Knowledge
from magnet_helpers.files import write_text
from magnet_helpers.study.cells import Cells
from magnet_helpers.workspace import data_folder

RowT = TypeVar("RowT")
_CHECK = "check"
_LETTERS = str.maketrans("0123456789", "ghijklmnop")  # what looks like a number is one to a spreadsheet: 1e10, 007
_KEY = re.compile("[0-9a-z-]+")
_VERSION = re.compile(r"[1-9][0-9]?(?:\.(?:0|[1-9][0-9]{0,2})(?![0-9]))*(?!\.?[0-9]|[/-])")  # and no date: 11/03/07
IDENTITY = (
    *("dataset", "budget", "classifier_epochs", "classifier_seed", "reformer_seed"),
    *("defense", "attack", "knows"),
)


@dataclass(frozen=True)
class Row:
    """One measurement: what became of N test images of one defence under one threat, one seed.

    What a measurement does not have is None or empty.

    Attributes:
        dataset, budget: what it was measured with.
        classifier_epochs, classifier_seed, reformer_seed: of the classifier, and of every autoencoder.
        defense: its label.
        attack: with all its settings. Of clean images it says which attack they are the control of.
        knows: what the attackers know; nothing: the images are clean.
        n: test images.
        rejected, right, wrong: of them, by the detectors; accepted and answered rightly; wrongly. They add up to n.
        made: images that fool what they were made on: for a grey-box attack, the classifier.
        unchanged: images that the white-box attack could not change.
        collapsed: whether the reformer's output is constant.
        jacobian: of a contractive reformer: the mean exact ‖J‖²_F over 100 test images, or all.
        median_l2: of the changes that fooled the defence; None if none did.
        forward_passes, backward_passes: of one image through what was attacked, on average.
        training_seconds: of the reformer alone, without its pretrained stages (of no reformer: of the classifier); None
            if the network is no longer kept.
        seconds: of the whole report, or of the attack.
        device, precision, torch, python: what the number was made with; the precision is that of the training's
            products.
        key: a hash of all that the number follows from: settings, data, and the code that it passed through
            (`lab.code_version`). What has today's key is not made again.
        not_fooled: for each test image in order whether it was rejected or answered rightly: bits in base64.
        l2: of an attack without a bound: each image's change in L2, as float16 in base64.

    Raises:
        ValueError: if the counts do not add up, are not those of the answers, or a cell holds what was never measured.
    """

    dataset: str
    budget: str
    classifier_epochs: int
    classifier_seed: int
    reformer_seed: int
    defense: str
    attack: str
    knows: Knowledge
    n: int
    rejected: int
    right: int
    wrong: int
    made: int | None
    unchanged: int | None
    collapsed: bool | None
    jacobian: float | None
    median_l2: float | None
    forward_passes: float | None
    backward_passes: float | None
    training_seconds: float | None
    seconds: float
    device: str
    precision: str
    torch: str
    python: str
    key: str
    not_fooled: str
    l2: str

    def __post_init__(self) -> None:
        if self.rejected + self.right + self.wrong != self.n:
            counts = f"{self.rejected} rejected, {self.right} right and {self.wrong} wrong"
            raise ValueError(f"counts must add up to n = {self.n}, got {counts}")
        for name in ("n", "rejected", "right", "wrong", "made", "unchanged"):
            count = getattr(self, name)
            if count is not None and not (name == "n") <= count <= self.n:
                raise ValueError(f"{name} must be a number of images from 0 to n = {self.n}, n at least 1, got {count}")
        for name, value in vars(self).items():
            if isinstance(value, int | float) and not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a finite number, 0 or more, got {value}")
        for name in ("dataset", "budget", "defense", "attack", "knows", "device"):
            if not getattr(self, name):
                raise ValueError(f"{name} must be named, got nothing")
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"key must be a hash in small letters and digits, got {self.key!r}")
        for name in ("torch", "python"):
            if not _VERSION.match(getattr(self, name)):
                raise ValueError(f"{name} must be a version such as 3.11.7, got {getattr(self, name)!r}")
        self._check_answers()

    def _check_answers(self) -> None:
        bits, sizes = (base64.b64decode(text, validate=True) for text in (self.not_fooled, self.l2))
        if len(bits) != -(-self.n // 8) or len(sizes) not in (0, 2 * self.n):
            raise ValueError(f"not_fooled must hold {self.n} bits and l2 {self.n} float16 or nothing, but they do not")
        not_fooled = int(unpack_bits(self.not_fooled, self.n).sum())
        if not_fooled != self.rejected + self.right:
            raise ValueError(f"not_fooled must hold {self.rejected + self.right} images, got {not_fooled}")
        if self.l2 and not bool((unpack_sizes(self.l2) >= 0).all()):
            raise ValueError("l2 must hold changes of 0 or more, but it does not")

    @property
    def identity(self) -> tuple[object, ...]:
        """What two rows of one file must not have in common."""
        return tuple(getattr(self, name) for name in IDENTITY)


def pack_bits(right: Tensor) -> str:
    """Return booleans (N,) as base64 text."""
    return base64.b64encode(np.packbits(right.numpy()).tobytes()).decode()


def unpack_bits(text: str, n: int) -> Tensor:
    """Return the `n` booleans that `pack_bits` packed."""
    packed = np.frombuffer(base64.b64decode(text), np.uint8)
    return torch.from_numpy(np.unpackbits(packed, count=n).astype(bool))


def pack_sizes(sizes: Tensor) -> str:
    """Return numbers (N,) as float16 in base64 text."""
    return base64.b64encode(sizes.numpy().astype("<f2").tobytes()).decode()


def unpack_sizes(text: str) -> Tensor:
    """Return the numbers, float32 (N,), that `pack_sizes` packed."""
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32))


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Write rows of one dataclass as a CSV file, wholly or not at all; without rows no file.

    The last column, `check`, is a hash of all other cells of its line.
    """
    rows = list(rows)
    if not rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, [*asdict(rows[0]), _CHECK], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**asdict(row), _CHECK: _check_of(row)} for row in rows)
    write_text(path, text.getvalue())


def _check_of(row: Any) -> str:
    """Return a hash of a row's cells, in letters alone. It is the same of 2 and 2.0 in a column of floats."""
    kinds: dict[str, Any] = {name: field.type for name, field in row.__dataclass_fields__.items()}
    cells = {
        name: str(float(value) if value is not None and kinds[name] in (float, float | None) else value)
        for name, value in vars(row).items()
    }
    text = "\0".join(f"{name}={cells[name]}" for name in sorted(cells))
    return hashlib.sha256(text.encode()).hexdigest()[:16].translate(_LETTERS)


def read_rows(path: Path, kind: type[RowT]) -> list[RowT]:
    """Return the rows of a file that `write_rows` wrote, whatever spreadsheet has saved it since.

    What a spreadsheet or a merge leaves whole is read (see `cells`), and a line that is there twice counts once. Lines
    of a file without the column `check`, which older files do not have, are checked for themselves alone.

    Args:
        path: of the file.
        kind: the rows' dataclass, whose fields are text, numbers, booleans, an enum of text, or one of these or None.

    Raises:
        ValueError: if the file has other columns, a line does not hold what they say or is not as it was written, or
            two lines say different things about one measurement (`identity`, if the rows have one).
    """
    types: dict[str, Any] = {name: field.type for name, field in kind.__dataclass_fields__.items()}  # type: ignore[attr-defined]
    cells = Cells(path, list(types), optional=_CHECK)
    rows: dict[object, tuple[int, RowT]] = {}
    for number, line in cells:
        try:
            row = _row(kind, types, cells, number, line)
        except ValueError as error:
            raise ValueError(
                f"{path}, line {number}, is damaged or was edited: {error}. Remove the line, and the "
                "command that wrote it makes it again, or restore the file"
            ) from error
        first, other = rows.setdefault(getattr(row, "identity", row), (number, row))
        if other != row:
            names = ", ".join(name for name in types if getattr(row, name) != getattr(other, name))
            raise ValueError(
                f"{path}, line {first} and line {number}, are of one measurement but differ in {names}: remove one of "
                "them, or both, and the command that wrote them makes it again"
            )
    return [row for _, row in rows.values()]


def _row(kind: type[RowT], types: dict[str, Any], cells: Cells, number: int, line: dict[str, str] | None) -> RowT:
    if line is None:
        raise ValueError(f"expected {len(types)} cells, got more or less")
    values = {}
    for name, type_of_cell in types.items():
        try:
            values[name] = cells.typed(type_of_cell, line[name], number)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    row = kind(**values)
    if _CHECK in line and line[_CHECK] != (check := _check_of(row)):
        raise ValueError(
            f"{_CHECK}: a cell has changed since the line was written: expected {check}, got {line[_CHECK]!r}"
        )
    return row


def kept_results(name: str) -> Path:
    """Return the path of a file of results that the project has run itself and keeps in `data/results/`.

    Raises:
        FileNotFoundError: if it is neither in the workspace, nor in the checkout of this package, nor in the installed
            package (which has a copy of the checkout's).
    """
    package = Path(magnet_helpers.__file__).parent
    folders = [data_folder() / "results", package.parent / "data" / "results", package / "results"]
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(
        f"there is no {name} in {folders[0]}. Such results are part of the project's checkout: clone it, or make them "
        "with `python -m magnet_helpers reproduce` or `attack`."
    )
