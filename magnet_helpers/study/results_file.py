"""Results files: a row for each measurement, as CSV, with an answer for every image packed into text."""

import base64
import csv
import io
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
from magnet_helpers.workspace import data_folder

RowT = TypeVar("RowT")
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
        ValueError: if the counts do not add up, or are not those of the answers.
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
        bits, sizes = (base64.b64decode(text, validate=True) for text in (self.not_fooled, self.l2))
        if len(bits) != -(-self.n // 8) or len(sizes) not in (0, 2 * self.n):
            raise ValueError(f"not_fooled must hold {self.n} bits and l2 {self.n} float16 or nothing, but they do not")
        not_fooled = int(unpack_bits(self.not_fooled, self.n).sum())
        if not_fooled != self.rejected + self.right:
            raise ValueError(f"not_fooled must hold {self.rejected + self.right} images, got {not_fooled}")

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
    """Write rows of one dataclass as a CSV file, wholly or not at all; without rows no file."""
    rows = list(rows)
    if not rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(rows[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_text(path, text.getvalue())


def read_rows(path: Path, kind: type[RowT]) -> list[RowT]:
    """Return the rows of a file that `write_rows` wrote.

    Args:
        path: of the file.
        kind: the rows' dataclass, whose fields are text, numbers, booleans, an enum of text, or one of these or None.

    Raises:
        ValueError: if the file has other columns, or a line does not hold what they say.
    """
    types: dict[str, Any] = {name: field.type for name, field in kind.__dataclass_fields__.items()}  # type: ignore[attr-defined]
    rows = []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != list(types):
            raise ValueError(f"{path} must have the columns {list(types)}, got {reader.fieldnames}")
        for line in reader:
            try:
                if None in line or None in line.values():
                    raise ValueError(f"expected {len(types)} cells, got more or less")
                rows.append(kind(**{name: _typed(types[name], value) for name, value in line.items()}))
            except ValueError as error:
                raise ValueError(
                    f"{path}, line {reader.line_num}, is damaged or was edited: {error}. Remove the line, and the "
                    "command that wrote it makes it again"
                ) from error
    return rows


def _typed(kind: Any, text: str) -> Any:
    for plain in (int, float, bool):
        if kind == plain | None:
            return _typed(plain, text) if text else None
    if kind is bool and text not in ("True", "False"):
        raise ValueError(f"expected True or False, got {text!r}")
    return text == "True" if kind is bool else kind(text)


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
