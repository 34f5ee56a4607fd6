"""Results files: what is written comes back, and nothing else is taken for one."""

from dataclasses import dataclass, replace

import pytest
import torch

from magnet_helpers.study.result_files import pack_bits, read_rows, unpack_bits, write_rows


@dataclass(frozen=True)
class Line:
    name: str
    count: int
    seconds: float
    collapsed: bool
    jacobian: float | None


LINE = Line("DAE, noise 0.4", 5, 1.5, collapsed=True, jacobian=0.25)


def test_bits_come_back():
    for n in (1, 7, 8, 9, 1000):
        right = torch.rand(n, generator=torch.Generator().manual_seed(n)) < 0.5
        assert torch.equal(unpack_bits(pack_bits(right), n), right)


def test_rows_come_back_with_their_types(tmp_path):
    lines = [LINE, replace(LINE, collapsed=False, jacobian=None, name='a "quoted", λ\nname')]
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
