"""Results files: rows of one kind as CSV, with an answer for every image packed into text."""

import base64
import csv
import io
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from magnet_helpers.artifacts import write_text

RowT = TypeVar("RowT")


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
