"""Results files: what is written comes back, and nothing else is taken for one."""

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from measured import plain_row

from magnet_helpers.attacks import Knowledge
from magnet_helpers.defenses import NO_REFORMER, VANILLA, contractive
from magnet_helpers.study.results_file import (
    Row,
    pack_bits,
    pack_sizes,
    read_rows,
    unpack_bits,
    unpack_sizes,
    write_rows,
)
from magnet_helpers.study.threats import CLEAN, GREY_BOX, WHITE_BOX


@dataclass(frozen=True)
class Line:
    name: str
    count: int
    seconds: float
    collapsed: bool
    jacobian: float | None
    made: int | None
    unlike: bool | None
    knows: Knowledge


LINE = Line(
    "DAE, noise 0.4", 5, 1.5, collapsed=True, jacobian=0.25, made=3, unlike=False, knows=Knowledge.OWN_AUTOENCODERS
)


def test_bits_come_back():
    for n in (1, 7, 8, 9, 1000):
        right = torch.rand(n, generator=torch.Generator().manual_seed(n)) < 0.5
        assert torch.equal(unpack_bits(pack_bits(right), n), right)


def test_sizes_come_back_as_float16():
    sizes = torch.tensor([0.0, 1.5, 9.123, float("inf")])
    assert torch.equal(unpack_sizes(pack_sizes(sizes)), sizes.half().float())


def test_rows_come_back_with_their_types(tmp_path):
    lines = [LINE, replace(LINE, collapsed=False, jacobian=None, made=None, unlike=None, name='a "quoted", λ\nname')]
    write_rows(tmp_path / "deep" / "lines.csv", lines)
    assert read_rows(tmp_path / "deep" / "lines.csv", Line) == lines


def test_without_rows_there_is_no_file(tmp_path):
    write_rows(tmp_path / "lines.csv", [])
    assert not list(tmp_path.iterdir())


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("files")


DAMAGE = {
    "cut at its end": lambda line: line.rpartition(",")[0],
    "cut in its middle": lambda line: line[: len(line) // 2],
    "a cell too many": lambda line: line + ",7",
    "a count": lambda line: line.replace(",10,0,7,3,", ",10,0,8,2,"),
    "a sum": lambda line: line.replace(",10,0,7,3,", ",10,0,7,2,"),
    "another number of images": lambda line: line.replace(",10,0,7,3,", ",30,0,7,23,"),
    "more than all": lambda line: line.replace(",10,0,7,3,", ",10,-1,8,3,"),
    "answers": lambda line: line.replace(pack_bits(RIGHT), "?"),
    "changes": lambda line: line[:-4],
    "what the attackers know": lambda line: line.replace(f",{GREY_BOX.knows.value},", ",much,"),
}


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_row_is_refused(tmp_path, damage, checked):
    path = tmp_path / "rows.csv"
    saved(path, table_of([plain_row(VANILLA, GREY_BOX, RIGHT, i, [1.0] * 10) for i in (0, 1)], tmp_path, checked))
    assert len(read_rows(path, Row)) == 2
    *others, last = path.read_text().splitlines()
    assert damage(last) != last
    path.write_text("\n".join([*others, damage(last)]) + "\n")
    with pytest.raises(ValueError, match=rf"{path}, line 3, is damaged or was edited: .*Remove the line"):
        read_rows(path, Row)


HARMLESS = {
    "n": [" 10 ", "010", "10.0", "10,0"],
    "collapsed": ["FALSE", "false", "FALSCH", " FAUX"],
    "jacobian": ["0.50", "+0.5", "5e-1"],
    "seconds": ["1.0", "1", "1.000", " 1 "],
}
EDITED = {
    "n": ["1.000", "1e1", "1E+01", "10.5", "9", "ten", "", "١٠", "1_0", "-10"],
    "rejected": ["1", "-1"],
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


def test_a_float16_below_zero_is_no_change():
    for sizes in ([-1.0] * 10, [float("nan")] * 10):
        with pytest.raises(ValueError, match="l2 must hold changes of 0 or more"):
            plain_row(VANILLA, GREY_BOX, RIGHT, sizes=sizes)


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


TEXT = st.text(st.characters(exclude_characters="\0\r\ufffd", exclude_categories=["Cs"]), max_size=12)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LINES = st.builds(
    Line,
    *(TEXT, st.integers(-(10**17), 10**17), FLOATS, st.booleans(), st.none() | FLOATS, st.none() | st.integers(0, 9)),
    *(st.none() | st.booleans(), st.sampled_from(Knowledge)),
)


@given(st.lists(LINES, min_size=1, unique=True))
def test_whatever_was_written_is_read(folder, lines):
    write_rows(folder / "lines.csv", lines)
    assert read_rows(folder / "lines.csv", Line) == lines


def test_a_check_is_no_number_to_a_spreadsheet_and_the_same_of_2_and_2_0(tmp_path):
    ints, floats = ([replace(LINE, seconds=two, jacobian=two)] for two in (2, 2.0))
    checks = {table_of(lines, tmp_path)[1][-1] for lines in (ints, floats)}
    assert len(checks) == 1
    assert checks.pop().isalpha()
    write_rows(tmp_path / "lines.csv", ints)
    assert read_rows(tmp_path / "lines.csv", Line) == floats


# ---- lines that are there twice, and merges


def test_two_lines_of_one_measurement_that_differ_are_refused(tmp_path):
    other = replace(ROWS[2], right=6, wrong=4, not_fooled=pack_bits(torch.tensor([True] * 6 + [False] * 4)))
    write_rows(tmp_path / "rows.csv", [*ROWS, other])
    with pytest.raises(ValueError, match="line 4 and line 6, are of one measurement but differ in right, wrong, not_f"):
        read_rows(tmp_path / "rows.csv", Row)


@pytest.mark.parametrize("mark", ["<<<<<<< HEAD", "=======", ">>>>>>> other", "||||||| 1234"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_merge_conflict_is_named(tmp_path, mark, newline):
    table = table_of(ROWS, tmp_path)
    for line in (1, 3):
        path = saved(tmp_path / "rows.csv", [*table[: line - 1], [mark], *table[line - 1 :]], newline=newline)
        with pytest.raises(ValueError, match=rf"{path}, line {line}, is a mark of a merge conflict, [<=>|]{{7}}: "):
            read_rows(path, Row)


# ---- other files

OTHERS = {
    "empty": (b"", "must have the columns .* got an empty file"),
    "a report": (b"# Results: mnist\n\n| a | b |\n", "must have the columns .* got "),
    "bytes of zero": (b"name,count\n\0\0\0\n", "line 2, is damaged: it holds bytes of zero"),
    "Latin 1": ("name\nλ\xe4\n".encode("cp1253", "replace") + b"\xff", "line 2, is neither UTF-8 nor UTF-16"),
    "a lost letter": ("name\nCAE, \ufffd = 0.001\n".encode(), "line 2, is damaged: it holds a letter that was lost"),
    "an open quote": (b'name,"count', "line 1, is no line of a CSV file"),
    "a column twice": (b"name,name", "must have the columns .*twice: name"),
}


@pytest.mark.parametrize(("content", "message"), OTHERS.values(), ids=OTHERS)
def test_files_of_another_kind_are_refused(tmp_path, content, message):
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(ValueError, match=f"{tmp_path / 'rows.csv'},? {message}"):
        read_rows(tmp_path / "rows.csv", Line)


@pytest.mark.parametrize("name", ["key", "n", "l2"])
def test_a_missing_column_is_named(tmp_path, name):
    table = table_of(ROWS, tmp_path)
    at = table[0].index(name)
    path = saved(tmp_path / "rows.csv", [line[:at] + line[at + 1 :] for line in table])
    with pytest.raises(ValueError, match=rf"missing: {name}\)"):
        read_rows(path, Row)


def test_other_columns_are_refused(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"must have the columns .*'name'.*, got \['a', 'b'\]"):
        read_rows(path, Line)
