"""One results file and several commands: no row is lost, nothing is overwritten, and that is known before the work."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from measured import plain_row
from test_run import grid, lab, short_command, small  # noqa: F401  # fixtures

from magnet_helpers import __main__ as command_line
from magnet_helpers.defenses import VANILLA
from magnet_helpers.files import StorageError
from magnet_helpers.lab.lab import Lab
from magnet_helpers.study.results_file import write_rows
from magnet_helpers.study.run import _add_rows, _read_results, run_study
from magnet_helpers.study.threats import GREY_BOX

PROTOCOL = plain_row(VANILLA, GREY_BOX, torch.ones(9).bool(), made=None)
ATTACK = replace(PROTOCOL, made=3, right=8, wrong=1, not_fooled="/wA=")
PROCESS = """
import sys, pathlib, dataclasses
from magnet_helpers.study.run import _add_rows, _read_results
path, first = pathlib.Path(sys.argv[1]), int(sys.argv[2])
(row,) = _read_results(pathlib.Path(sys.argv[3]))
for seed in range(first, 24, 3):
    _add_rows(path, [dataclasses.replace(row, reformer_seed=seed)])
"""


def test_three_processes_add_to_one_file_and_to_a_link_to_it(tmp_path):
    write_rows(tmp_path / "first.csv", [PROTOCOL])
    (tmp_path / "elsewhere").mkdir()
    path, link = tmp_path / "elsewhere" / "paper.csv", tmp_path / "link.csv"
    link.symlink_to(path)
    processes = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(name), str(first), str(tmp_path / "first.csv")])
        for first, name in enumerate([path, link, path])
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert sorted(row.reformer_seed for row in _read_results(path)) == list(range(24))
    assert link.is_symlink(), "the rows are where it points to"


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        (PROTOCOL, ATTACK, "of the command `reproduce`"),
        (ATTACK, PROTOCOL, "of the command `attack`"),
        (PROTOCOL, replace(PROTOCOL, budget="fast"), r"of \[\('mnist', 'paper'\)\]"),
    ],
)
def test_who_comes_second_overwrites_no_row_of_another_study(tmp_path, first, second, named):
    """Both began when there was no file; a defence under one attack has the same place in both studies."""
    _add_rows(tmp_path / "one.csv", [first])
    with pytest.raises(ValueError, match=f"holds results {named}.*: name another file"):
        _add_rows(tmp_path / "one.csv", [second])
    assert _read_results(tmp_path / "one.csv") == [first]


def test_a_folder_that_cannot_be_written_to_is_known_before_the_work(lab, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(Lab, "make", lambda *_: pytest.fail("nothing may be made"))
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*rows\.csv"):
        run_study(lab, grid(0), tmp_path / "file" / "rows.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match=r"folder.csv is a folder, expected a CSV file"):
        run_study(lab, grid(0), tmp_path / "folder.csv")


def test_somebodys_notes_are_not_overwritten_by_the_report(short_command, tmp_path, monkeypatch, capsys):  # noqa: F811
    notes = tmp_path / "one.md"
    notes.write_text("# My notes\n")
    command = ["reproduce", *short_command, "--seeds", "1", "--results", str(tmp_path / "one.csv")]
    with monkeypatch.context() as patch:
        patch.setattr(Lab, "make", lambda *_: pytest.fail("nothing may be made"))
        assert command_line.main(command) == 2
    assert f"{notes} would be overwritten, but is no report" in capsys.readouterr().err
    assert notes.read_text() == "# My notes\n"
    notes.unlink()
    assert command_line.main(command) == command_line.main(command) == 0, "its own report it replaces"


def test_rows_that_are_in_no_table_are_counted(short_command, tmp_path, capsys):  # noqa: F811
    for seed, others in (("1", None), ("2", 6)):
        assert command_line.main(["reproduce", *short_command, "--seeds", seed]) == 0
        shown = capsys.readouterr().err
        assert ("other rows" in shown) == bool(others)
    assert f"smoke.csv holds {others} other rows, of other seeds" in shown
    assert command_line.main(["reproduce", *short_command, "--seeds", "1", "2"]) == 0
    shown = capsys.readouterr()
    assert "other rows" not in shown.err
    assert "12 rows in" in shown.out
