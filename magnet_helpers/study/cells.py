"""CSV files as people treat them: what a spreadsheet, a sort or a merge has left whole is read, all else is refused.

A spreadsheet may change the separator, the decimal mark, the line ends and the encoding, spell True in another way,
keep 15 digits of a number, and put lines and columns in another order. None of that loses anything.
"""

import codecs
import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_MERGE_MARK = re.compile(r"^(?:<{7}|\|{7}|={7}|>{7})(?=[ \r\n]|$)", re.MULTILINE)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}(?:[.,]0)?")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:([.,])[0-9]+)?(?:e[+-]?[0-9]+)?")  # with E a spreadsheet wrote it, rounded
_OR_NONE: dict[Any, Any] = {kind | None: kind for kind in (int, float, bool)}
_LARGEST = float(np.finfo(np.float32).max)
_BOOLEANS = {
    **dict.fromkeys(("true", "wahr", "vrai", "vero", "verdadero"), True),
    **dict.fromkeys(("false", "falsch", "faux", "falso"), False),
}


class Cells:
    """The lines of a CSV file with these columns, in whatever order and dialect.

    Args:
        path: of the file.
        columns: each must be there once.
        optional: a column that may be missing.

    Raises:
        ValueError: if it is no such file. The message names the line.
    """

    def __init__(self, path: Path, columns: Sequence[str], optional: str) -> None:
        self._path, text = path, _decoded(path)
        first = text.lstrip().partition("\n")[0]
        self._separator = max(",;\t", key=first.count)
        self._reader = csv.reader(io.StringIO(text, newline=""), delimiter=self._separator, strict=True)
        self._marks: dict[str, int] = {}
        header = next((cells for _, cells in self._lines()), [])
        self._names = header[: max((i for i, name in enumerate(header, start=1) if name), default=0)]
        if Counter(self._names) not in (Counter(columns), Counter([*columns, optional])):
            lists = {
                "missing": [name for name in columns if name not in header],
                "unknown": [name for name in dict.fromkeys(self._names) if name not in (*columns, optional)],
                "twice": [name for name, count in Counter(self._names).items() if count > 1],
            }
            faults = "; ".join(f"{name}: {', '.join(each)}" for name, each in lists.items() if each)
            got = f"{str(self._names)[:1000]} ({faults[:1000]})" if header else "an empty file"
            raise ValueError(f"{path} must have the columns {list(columns)}, got {got}")

    def __iter__(self) -> Iterator[tuple[int, dict[str, str] | None]]:
        """Yield the number of each line that is not blank, and its cells by column; None if there are more or less."""
        for line, cells in self._lines():
            fits = len(cells) >= len(self._names) and not any(cells[len(self._names) :])
            yield line, dict(zip(self._names, cells, strict=False)) if fits else None

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        start = self._reader.line_num + 1
        try:
            for cells in self._reader:
                if any(cells):
                    yield start, cells
                start = self._reader.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{self._path}, line {start}, is no line of a CSV file: {error}") from error

    def typed(self, kind: Any, text: str, line: int) -> Any:
        """Return what a cell holds: text, a number, a boolean, an enum of text, or one of these or None.

        Raises:
            ValueError: unless it is written so that it can mean nothing else.
        """
        if kind in _OR_NONE:
            return self.typed(_OR_NONE[kind], text, line) if text else None
        if kind is float:
            return self._number(text.strip(), line)
        if kind is int:
            if not _INTEGER.fullmatch(text.strip()):
                raise ValueError(f"expected a whole number, got {text!r}")
            return int(re.split("[.,]", text.strip())[0])
        if kind is bool:
            if text.strip().lower() not in _BOOLEANS:
                raise ValueError(f"expected True or False, got {text!r}")
            return _BOOLEANS[text.strip().lower()]
        return kind(text)

    def _number(self, text: str, line: int) -> float:
        found = _NUMBER.fullmatch(text)
        if not found or math.isinf(value := float(text.replace(",", "."))):
            raise ValueError(f"expected a number with all its digits, got {text!r}")
        if mark := found[1]:
            if mark == self._separator:
                raise ValueError(f"{text!r} may mean two numbers, as commas separate the cells of this file")
            self._marks.setdefault(mark, line)
        if len(self._marks) > 1:
            places = " and ".join(f"{each!r} (line {place})" for each, place in self._marks.items())
            raise ValueError(f"{text!r} may mean two numbers, as this file has both decimal marks, {places}")
        # Spreadsheets keep 15 digits. What was measured as float32 needs no more: it is the one float32 that has these.
        kept = f"{value:.15g}"
        single = float(np.float32(value)) if abs(value) < _LARGEST else value
        return single if float(kept) == value and f"{single:.15g}" == kept else value


def _decoded(path: Path) -> str:
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected a CSV file")
    content = path.read_bytes()
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        raise ValueError(
            f"{path}, line {line}, is neither UTF-8 nor UTF-16: save it as CSV in UTF-8, or restore it"
        ) from error
    for sign, meaning in {"\0": "bytes of zero", "\ufffd": "a letter that was lost (\ufffd)"}.items():
        if sign in text:
            line = 1 + text[: text.index(sign)].count("\n")
            raise ValueError(f"{path}, line {line}, is damaged: it holds {meaning}. Restore the file")
    if mark := _MERGE_MARK.search(text):
        line = 1 + text[: mark.start()].count("\n")
        raise ValueError(
            f"{path}, line {line}, is a mark of a merge conflict, {mark[0]}: remove the marks and keep the lines of "
            "both sides; of two lines of one measurement keep one"
        )
    return text
