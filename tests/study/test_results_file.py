"""Results files: what is written comes back, and nothing else is taken for one."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from measured import plain_row
from saved import RIGHT, ROWS, saved, table_of

from magnet_helpers.attacks import Knowledge
from magnet_helpers.defenses import VANILLA
from magnet_helpers.study.results_file import (
    Row,
    pack_bits,
    pack_sizes,
    read_rows,
    unpack_bits,
    unpack_sizes,
    write_rows,
)
from magnet_helpers.study.threats import GREY_BOX


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


def test_a_float16_below_zero_is_no_change():
    for sizes in ([-1.0] * 10, [float("nan")] * 10):
        with pytest.raises(ValueError, match="l2 must hold changes of 0 or more"):
            plain_row(VANILLA, GREY_BOX, RIGHT, sizes=sizes)


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
