"""Results files: what is written comes back, and nothing else is taken for one."""

from dataclasses import dataclass, replace

import pytest
import torch

from magnet_helpers.attacks import Knowledge
from magnet_helpers.study.results_file import (
    pack_bits,
    pack_sizes,
    read_rows,
    unpack_bits,
    unpack_sizes,
    write_rows,
)


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


def test_other_columns_are_refused(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"must have the columns .*'name'.*, got \['a', 'b'\]"):
        read_rows(path, Line)
