"""Results files that a spreadsheet saved: right, or refused with the line."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import plain_row
from saved import RIGHT, ROWS, column, saved, table_of

from magnet_helpers.defenses import VANILLA
from magnet_helpers.study.results_file import Row, read_rows
from magnet_helpers.study.threats import GREY_BOX


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("files")


HARMLESS = {
    "n": [" 10 ", "010", "10.0", "10,0"],
    "collapsed": ["FALSE", "false", "FALSCH", " FAUX"],
    "jacobian": ["0.50", "+0.5", "5e-1"],
    "seconds": ["1.0", "1", "1.000", " 1 "],
}
EDITED = {
    "n": ["1.000", "1e1", "1E+01", "10.5", "9", "ten", "", "١٠", "1_0", "-10"],
    "rejected": ["1", "-1"],
    "budget": [""],
    "attack": [""],
    "made": ["11", "-1", "1,5"],
    "collapsed": ["0", "yes", "WAR"],
    "jacobian": ["nan", "inf", "-1", "1e999", "1.01E-32", "1,234.5", "0,5", "#NUM!"],
    "key": ["1,23E+15", "1.23457E+15", ""],
    "python": ["11/03/07", "03.11.2007", "03. Nov 07", "3.11.2007", "2007-11-03"],
    "torch": ["02.05.2000", "02. Mai"],
    "not_fooled": ["#NAME?", "", "/wA"],
    "l2": ["AP4=" * 5, "AHw="],
}


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in HARMLESS.items() for text in texts])
def test_another_spelling_is_read(tmp_path, name, text, checked):
    rows = [plain_row(VANILLA, GREY_BOX, RIGHT, jacobian=0.5)]
    path = saved(tmp_path / "rows.csv", column(table_of(rows, tmp_path, checked), name, text))
    assert read_rows(path, Row) == rows


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in EDITED.items() for text in texts])
def test_an_edited_cell_is_refused_without_a_check_too(tmp_path, name, text):
    rows = [plain_row(VANILLA, GREY_BOX, RIGHT, jacobian=0.5, sizes=[1.0] * 10)]
    path = saved(tmp_path / "rows.csv", column(table_of(rows, tmp_path, checked=False), name, text))
    with pytest.raises(ValueError, match=rf"{path}, line 2, is damaged or was edited: .*Remove the line"):
        read_rows(path, Row)


# ---- spreadsheets

EVERY = st.integers(0, 2**20)


@given(
    separator=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    words=st.sampled_from([("True", "False"), ("TRUE", "FALSE"), ("WAHR", "FALSCH"), ("VERDADERO", "FALSO")]),
    has_comma=st.booleans(),
    lines=st.permutations(range(len(ROWS))),
    names=st.randoms(use_true_random=False),
    empty=st.integers(0, 3),
    checked=st.booleans(),
)
def test_every_dialect_is_read(
    folder, separator, encoding, newline, quoting, words, has_comma, lines, names, empty, checked
):
    header, *body = table_of(ROWS, folder, checked)
    order = list(range(len(header)))
    names.shuffle(order)
    numbers = {"jacobian", "median_l2", "forward_passes", "backward_passes", "training_seconds", "seconds"}

    def spelled(name, text):
        if name in numbers and text:
            text = f"{float(text):.15g}"
            return text.replace(".", ",") if has_comma and separator != "," else text
        return dict(zip(("True", "False"), words, strict=True)).get(text, text)

    twice = [body[i] for i in [*lines, lines[0]]]
    table = [[line[i] for i in order] + [""] * empty for line in [header, *twice]]
    table[1:] = [[spelled(*cell) for cell in zip(table[0], line, strict=True)] for line in table[1:]]
    table += [[""] * len(table[0])] * empty
    path = saved(folder / "saved.csv", table, separator, encoding, newline, quoting)
    assert read_rows(path, Row) == [ROWS[i] for i in lines]


def test_both_decimal_marks_in_one_file_may_mean_two_numbers(tmp_path):
    table = column(table_of(ROWS[:3], tmp_path), "median_l2", "6,163")
    with pytest.raises(ValueError, match=r"line 4, .*median_l2: '6,163' may mean two numbers.* '\.' \(line 2\)"):
        read_rows(saved(tmp_path / "rows.csv", table, ";"), Row)
    with pytest.raises(ValueError, match="median_l2: '6,163' may mean two numbers, as commas separate"):
        read_rows(saved(tmp_path / "rows.csv", table), Row)


@given(line=st.integers(1, len(ROWS)), at=EVERY, text=st.text(max_size=6), other=EVERY, kind=st.integers(0, 5))
def test_an_edited_cell_is_harmless_or_refused(folder, line, at, text, other, kind):
    table = [list(cells) for cells in table_of(ROWS, folder)]
    at %= len(table[0])
    cell = table[line][at]
    row, place = divmod(other % (len(ROWS) * len(table[0])), len(table[0]))
    cut = other % (len(cell) + 1)
    table[line][at] = [
        text,
        table[row + 1][at],
        table[line][place],
        cell[:cut] + cell[cut + 1 :],
        cell[:cut] + text[:1] + cell[cut:],
        cell.replace(".", ""),
    ][kind]
    path = saved(folder / "edited.csv", table)
    rows: list[Row] | str
    try:
        rows = read_rows(path, Row)
    except ValueError as error:
        rows = str(error)
    assert rows == ROWS or str(rows).startswith(f"{path}, line ")


@given(name=st.sampled_from(list(vars(ROWS[0]))), order=st.permutations(range(len(ROWS))))
def test_a_column_sorted_alone_is_refused(folder, name, order):
    header, *body = table_of(ROWS, folder)
    at = header.index(name)
    mixed = [[*line[:at], body[i][at], *line[at + 1 :]] for line, i in zip(body, order, strict=True)]
    path = saved(folder / "mixed.csv", [header, *mixed])
    if mixed == body:
        assert read_rows(path, Row) == ROWS
    else:
        with pytest.raises(ValueError, match=rf"{path}, line \d"):
            read_rows(path, Row)
