"""Results files: what is written comes back, and nothing else is taken for one."""

from dataclasses import dataclass, replace

import pytest
import torch
from measured import plain_row

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


RIGHT = torch.tensor([True] * 7 + [False] * 3)
DAMAGE = {
    "cut at its end": lambda line: line.rpartition(",")[0],
    "cut in its middle": lambda line: line[: len(line) // 2],
    "a cell too many": lambda line: line + ",7",
    "a spreadsheet's TRUE": lambda line: line.replace("False", "TRUE"),
    "a count": lambda line: line.replace(",10,0,7,3,", ",10,0,8,2,"),
    "a sum": lambda line: line.replace(",10,0,7,3,", ",10,0,7,2,"),
    "another number of images": lambda line: line.replace(",10,0,7,3,", ",30,0,7,23,"),
    "answers": lambda line: line.replace(pack_bits(RIGHT), "?"),
    "changes": lambda line: line[:-4],
    "what the attackers know": lambda line: line.replace(f",{GREY_BOX.knows.value},", ",much,"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_row_is_refused(tmp_path, damage):
    path = tmp_path / "rows.csv"
    write_rows(path, [plain_row(VANILLA, GREY_BOX, RIGHT, seed, [1.0] * 10) for seed in (0, 1)])
    assert len(read_rows(path, Row)) == 2
    *others, last = path.read_text().splitlines()
    assert damage(last) != last
    path.write_text("\n".join([*others, damage(last)]) + "\n")
    with pytest.raises(ValueError, match=rf"{path}, line 3, is damaged or was edited: .*Remove the line"):
        read_rows(path, Row)


def test_other_columns_are_refused(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"must have the columns .*'name'.*, got \['a', 'b'\]"):
        read_rows(path, Line)
