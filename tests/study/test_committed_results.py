"""The rows that the project keeps: consistent in themselves, and made by today's code."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from magnet_helpers import attacks
from magnet_helpers.lab.budget import PAPER
from magnet_helpers.lab.store import Store
from magnet_helpers.study.plan import attack_study, protocol
from magnet_helpers.study.reports import write_attack_report, write_protocol_report
from magnet_helpers.study.results import Results
from magnet_helpers.study.results_file import Row, read_rows, unpack_bits
from magnet_helpers.study.run import _without_known

FOLDER = Path(__file__).parents[2] / "data" / "results"
FILES = ("fast", "paper", "paper_attacks")
MNIST = "a29dc49aaaa9"  # the fingerprint of MNIST with its standard split, see test_mnist in tests/data


@pytest.fixture(scope="module")
def rows() -> dict[str, list[Row]]:
    return {name: read_rows(FOLDER / f"{name}.csv", Row) for name in FILES}


@pytest.mark.parametrize("name", FILES)
def test_counts_and_bits_of_a_row_agree(rows, name):
    assert len({row.identity for row in rows[name]}) == len(rows[name])
    for row in rows[name]:
        assert row.rejected + row.right + row.wrong == row.n
        assert int(unpack_bits(row.not_fooled, row.n).sum()) == row.rejected + row.right


@pytest.mark.parametrize("name", FILES)
def test_every_line_carries_a_check_of_its_cells(name):
    with (FOLDER / f"{name}.csv").open(encoding="utf-8") as file:
        assert next(file).rstrip().endswith(",check")
        assert all(line.rstrip().rpartition(",")[2].isalpha() for line in file)


@pytest.mark.parametrize("name", FILES)
def test_the_tables_are_those_of_the_rows(rows, name, tmp_path):
    """Number for number: whoever changes a row or a table changes the other."""
    write = write_attack_report if name.endswith("attacks") else write_protocol_report
    write(tmp_path / "tables.md", Results(rows[name]))
    assert (tmp_path / "tables.md").read_text() == (FOLDER / f"{name}.md").read_text()


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("paper", protocol(PAPER, [0, 1, 2], ["grid", "variants", "labels", "pgd"], 10_000)),
        ("paper_attacks", [attack_study(PAPER, seed) for seed in (0, 1, 2)]),
    ],
    ids=["paper", "paper_attacks"],
)
def test_no_row_would_be_made_again(rows, name, tasks):
    """If this fails, code that these numbers pass through has changed.

    Make the rows again; or show that no number changes, and say so in the commit (`python -m tools stamp`). The rows of
    the fast budget are older than this rule; nothing is known of what today's code would make of them.
    """
    lab = SimpleNamespace(budget=PAPER, store=Store, data=SimpleNamespace(name="mnist", fingerprint=MNIST))
    everything = [task for step in tasks for task in step]
    assert _without_known(lab, everything, rows[name]) == []
    older = [*rows[name][1:], Row(**vars(rows[name][0]) | {"key": "another"})]
    assert len(_without_known(lab, everything, older)) == 1


@pytest.mark.parametrize("name", FILES)
def test_the_attacks_of_the_rows_are_called_as_the_same_settings_are_today(rows, name):
    for attack in {row.attack for row in rows[name]}:
        assert repr(eval(attack, vars(attacks).copy())) == attack
