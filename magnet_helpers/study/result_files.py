"""Results files: rows of one kind as CSV, with an answer for every image packed into text."""

import base64
import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

import magnet_helpers
from magnet_helpers.data import title_of
from magnet_helpers.files import write_text
from magnet_helpers.lab.budget import get_budget
from magnet_helpers.workspace import data_folder

RowT = TypeVar("RowT")


class Measurement(Protocol):
    """What every row says of where its number comes from."""

    @property
    def dataset(self) -> str:
        """Name of the dataset."""

    @property
    def budget(self) -> str:
        """Name of the budget."""

    @property
    def n(self) -> int:
        """Number of test images."""


def check_one_kind(rows: Iterable[Measurement]) -> None:
    """Raise a ValueError if rows are of several datasets or budgets: such numbers are never mixed."""
    kinds = {(row.dataset, row.budget) for row in rows}
    if len(kinds) > 1:
        raise ValueError(f"rows must be of one dataset and one budget, got {sorted(kinds)}")


def note_of(rows: Sequence[Measurement], seeds: Sequence[int]) -> str:
    """Return dataset, budget, seeds and number of images of rows of one kind: they stand with every number."""
    if not rows:
        return "no results"
    first, sizes = rows[0], sorted({row.n for row in rows})
    budget = f"{first.budget} budget" + ("" if get_budget(first.budget).is_papers else " (not the paper's)")
    text = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    return f"{title_of(first.dataset)} · {budget} · {text} · n = {' or '.join(f'{n:,}' for n in sizes)}"


def pack_bits(right: Tensor) -> str:
    """Return booleans (N,) as base64 text."""
    return base64.b64encode(np.packbits(right.numpy()).tobytes()).decode()


def unpack_bits(text: str, n: int) -> Tensor:
    """Return the `n` booleans that `pack_bits` packed."""
    packed = np.frombuffer(base64.b64decode(text), np.uint8)
    return torch.from_numpy(np.unpackbits(packed, count=n).astype(bool))


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
        kind: the rows' dataclass, whose fields are text, numbers, booleans, or a number or None.

    Raises:
        ValueError: if the file has other columns.
    """
    types: dict[str, Any] = {name: each.type for name, each in kind.__dataclass_fields__.items()}  # type: ignore[attr-defined]
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != list(types):
            raise ValueError(f"{path} must have the columns {list(types)}, got {reader.fieldnames}")
        return [kind(**{name: _typed(types[name], value) for name, value in line.items()}) for line in reader]


def _typed(kind: Any, text: str) -> Any:
    if kind == float | None:
        return float(text) if text else None
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
