"""Results files as other programs save them."""

import csv
import io

import torch
from measured import plain_row

from magnet_helpers.defenses import NO_REFORMER, VANILLA, contractive
from magnet_helpers.study.results_file import write_rows
from magnet_helpers.study.threats import CLEAN, GREY_BOX, WHITE_BOX

RIGHT = torch.tensor([True] * 7 + [False] * 3)
# A number that was measured as float32 has 17 digits in the file; a spreadsheet keeps 15.
FINE = 43.246726989746094
ROWS = [
    plain_row(NO_REFORMER, CLEAN, RIGHT, 0, seconds=1879.1, key="2fbd84ca019ee1f9", python="3.11.7"),
    plain_row(contractive(1e-3), GREY_BOX, ~RIGHT, 1, jacobian=FINE, collapsed=True, torch="2.13.0+cpu"),
    plain_row(VANILLA, WHITE_BOX, RIGHT, 0, [0.5] * 10, median_l2=6.163, made=3, unchanged=None, collapsed=None),
    plain_row(VANILLA, WHITE_BOX, RIGHT, 1, [1.0] * 10, median_l2=0.0, training_seconds=None, forward_passes=101.0),
]


def table_of(rows, tmp_path, checked=True):
    """Return the cells of a results file, as an older version wrote them if they are not `checked`."""
    write_rows(tmp_path / "written.csv", rows)
    with (tmp_path / "written.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    return lines if checked else [line[:-1] for line in lines]


def saved(path, table, separator=",", encoding="utf-8", newline="\n", quoting=csv.QUOTE_MINIMAL):
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator=newline, quoting=quoting).writerows(table)
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def column(table, name, new):
    """Return the table with another text, or a function of the text, in a column of its last line."""
    at = table[0].index(name)
    *others, last = table
    return [*others, [*last[:at], new(last[at]) if callable(new) else new, *last[at + 1 :]]]
