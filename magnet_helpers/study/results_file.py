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
        jacobian: of a contractive reformer: the mean exact ‖J‖²_F over `plan.JACOBIAN_IMAGES` test images, or all.
        median_l2: of the changes that fooled the defence; None if none did.
        forward_passes, backward_passes: of one image through what was attacked, on average.
        training_seconds: of the reformer alone, without its pretrained stages (of no reformer: of the classifier).
        seconds: of the whole report, or of the attack.
        device, precision, torch, python: what the number was made with; the precision is that of the training's
            products.
        key: a hash of all that the number follows from: settings, data, and the code that it passed through
            (`lab.code_version`). What has today's key is not made again.
        not_fooled: for each test image in order whether it was rejected or answered rightly: bits in base64.
        l2: of an attack without a bound: each image's change in L2, as float16 in base64.
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

    @property
    def identity(self) -> tuple[object, ...]:
        """What two rows of one file must not have in common."""
        trained = (self.classifier_epochs, self.classifier_seed, self.reformer_seed)
        return (self.dataset, self.budget, *trained, self.defense, self.attack, self.knows, self.n)


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
        ValueError: if the file has other columns.
    """
    types: dict[str, Any] = {name: field.type for name, field in kind.__dataclass_fields__.items()}  # type: ignore[attr-defined]
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != list(types):
            raise ValueError(f"{path} must have the columns {list(types)}, got {reader.fieldnames}")
        return [kind(**{name: _typed(types[name], value) for name, value in line.items()}) for line in reader]


def _typed(kind: Any, text: str) -> Any:
    for plain in (int, float, bool):
        if kind == plain | None:
            return _typed(plain, text) if text else None
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
