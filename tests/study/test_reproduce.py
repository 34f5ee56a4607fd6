import dataclasses
import sys

import pytest
import torch

from magnet_helpers import __main__ as command_line
from magnet_helpers.data import load_images
from magnet_helpers.defenses import NO_REFORMER, contractive, denoising
from magnet_helpers.device import precision_on
from magnet_helpers.jacobian import jacobian_frobenius_squared
from magnet_helpers.lab.budget import PAPER, SMOKE
from magnet_helpers.lab.cells import trainings
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.store import Store
from magnet_helpers.study import reproduce as reproduce_module
from magnet_helpers.study.grid import GRID, TABLE_4, VARIANTS
from magnet_helpers.study.reproduce import (
    Row,
    cells_of_seed,
    crossed_cells,
    reproduce,
    rows_of,
)
from magnet_helpers.study.result_files import read_rows, unpack_bits, write_rows

TINY = dataclasses.replace(
    SMOKE, classifier_images=32, autoencoder_images=32, validation_images=8, test_images=20, classifier_epochs=1
)


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(TINY, load_images("digits"), seed=0, store=Store(tmp_path / "artifacts"), device=torch.device("cpu"))


@pytest.fixture
def small(monkeypatch):
    """Let the grid be two defences."""
    monkeypatch.setattr(reproduce_module, "GRID", (NO_REFORMER, denoising(0.4)))
    monkeypatch.setattr(reproduce_module, "TABLE_4", (NO_REFORMER, denoising(0.4)))


# ---- which cells


def test_the_grid_is_the_papers_with_its_budget():
    cells = cells_of_seed(PAPER, 3, ["grid"], 10_000)
    assert [cell.defense for cell in cells] == list(GRID)
    specs = trainings(cells)
    assert len(specs) == 1 + 1 + 5 * (1 + 3 + 2) + 6
    assert sum(spec.config.epochs for spec in specs) == 30 + 20 + 5 * (20 + 3 * 10 + 2 * 20) + 6 * 20
    assert {cell.images for cell in cells} == {10_000}
    assert {cell.classifier.config.seed for cell in cells} == {3}


def test_parts_share_what_they_have_in_common():
    grid, variants = (cells_of_seed(PAPER, 0, [part], 100) for part in ("grid", "variants"))
    both = cells_of_seed(PAPER, 0, ["grid", "variants"], 100)
    common = set(GRID) & set(VARIANTS)
    assert len(common) == 5
    assert len(both) == len(grid) + len(variants) - len(common)


def test_the_other_attacks_and_classifiers():
    labels = cells_of_seed(PAPER, 0, ["labels"], 10_000)
    assert {repr(cell.attack) for cell in labels} == {"FGSM(epsilon=0.3, labels='given')"}
    lengths = cells_of_seed(PAPER, 0, ["classifier"], 10_000)
    assert sorted({cell.classifier.config.epochs for cell in lengths}) == [5, 10, 30]
    assert len(lengths) == 3 * len(TABLE_4)
    assert {c.reformer.key for c in lengths if c.reformer} == {c.reformer.key for c in labels if c.reformer}
    own = [cell for cell in lengths if cell.classifier.config.epochs == 30]
    assert set(own) <= set(cells_of_seed(PAPER, 0, ["grid"], 10_000)), "the paper's own length is in the grid"
    strong = cells_of_seed(PAPER, 0, ["pgd"], 10_000)
    assert {cell.images for cell in strong} == {1000}
    assert {(cell.attack.steps, cell.attack.restarts) for cell in strong} == {(100, 5)}


def test_crossing_leaves_out_what_the_grid_has():
    cells = crossed_cells(PAPER, [0, 1, 2], 100)
    pairs = {(cell.classifier.config.seed, cell.reformer_seed) for cell in cells}
    assert pairs == {(one, other) for one in range(3) for other in range(3) if one != other}
    assert len(cells) == len(pairs) * (len(TABLE_4) - 1)
    assert all(cell.reformer.config.seed != cell.classifier.config.seed for cell in cells)


# ---- rows


def test_rows_hold_the_counts_and_the_answers_of_the_reports(lab, small, tmp_path):
    path = tmp_path / "results" / "tiny.csv"
    rows = reproduce(lab, [4, 5], ["grid"], path, lab.make)
    assert len(rows) == 2 * 2 * 3
    assert read_rows(path, Row) == rows
    cell = cells_of_seed(TINY, 5, ["grid"], 20)[1]
    report = lab.evaluate(cell)
    found = {row.setting: row for row in rows if row.reformer_seed == 5 and row.defence == "DAE, noise 0.4"}
    assert set(found) == {"clean", "grey_box", "white_box"}
    for setting, row in found.items():
        right = getattr(report, setting) == report.labels
        assert (row.correct, row.n) == (int(right.sum()), 20)
        assert torch.equal(unpack_bits(row.right, row.n), right)
        assert (row.classifier_seed, row.classifier_epochs, row.budget, row.dataset) == (5, 1, "smoke", "digits")
        assert row.training_seconds >= 0
        assert (row.device, row.precision) == ("cpu", precision_on(torch.device("cpu"), "auto"))


def test_a_run_that_was_stopped_goes_on(lab, small, tmp_path):
    path = tmp_path / "tiny.csv"
    made = []

    def stop_in_the_second_seed(cells):
        if made:
            lab.make(cells[:1])
            raise KeyboardInterrupt
        lab.make(cells)
        made.extend(cells)

    with pytest.raises(KeyboardInterrupt):
        reproduce(lab, [4, 5], ["grid"], path, stop_in_the_second_seed)
    assert len(read_rows(path, Row)) == 9, "what was done is in the file"
    rows = reproduce(lab, [5], ["grid"], path, lab.make)
    assert len(rows) == len(read_rows(path, Row)) == 12
    assert len({row.identity for row in rows}) == 12


def test_what_the_file_holds_is_not_made_again_unless_the_code_is_another(lab, small, tmp_path):
    path = tmp_path / "tiny.csv"
    rows = reproduce(lab, [4], ["grid"], path, lab.make)
    elsewhere = dataclasses.replace(lab, store=Store(tmp_path / "nothing is stored here"))
    asked = []
    again = reproduce(elsewhere, [4, 5], ["grid"], path, lambda cells: asked.append(list(cells)))
    assert again == rows
    for name in ("training_code", "evaluation_code"):
        write_rows(path, [*rows[:4], dataclasses.replace(rows[4], **{name: "x"}), rows[5]])
        reproduce(elsewhere, [4], ["grid"], path, lambda cells: asked.append(list(cells)))
    both = cells_of_seed(TINY, 4, ["grid"], 20)
    assert asked == [[], cells_of_seed(TINY, 5, ["grid"], 20), both[1:], both[1:]]


def test_a_file_without_the_jacobian_is_completed(lab, monkeypatch, tmp_path):
    monkeypatch.setattr(reproduce_module, "GRID", (contractive(1e-3),))
    monkeypatch.setattr(reproduce_module, "JACOBIAN_IMAGES", 2)
    path, asked = tmp_path / "tiny.csv", []
    rows = reproduce(lab, [0], ["grid"], path, lab.make)
    write_rows(path, [dataclasses.replace(row, jacobian=None) for row in rows])
    reproduce(lab, [0], ["grid"], path, lambda cells: asked.append(len(cells)))
    assert read_rows(path, Row) == rows
    reproduce(lab, [0], ["grid"], path, lambda cells: asked.append(len(cells)))
    assert asked == [1, 0]


def test_rows_of_what_is_not_there(lab):
    assert rows_of(lab, cells_of_seed(TINY, 9, ["grid"], 20)[0]) == []


def test_of_contractive_reformers_the_exact_jacobian_is_measured(lab, monkeypatch, tmp_path):
    monkeypatch.setattr(reproduce_module, "GRID", (denoising(0.4), contractive(1e-3)))
    monkeypatch.setattr(reproduce_module, "JACOBIAN_IMAGES", 3)
    rows = reproduce(lab, [0], ["grid"], tmp_path / "tiny.csv", lab.make)
    found = {row.defence: row.jacobian for row in rows}
    images = lab.data.test.spread(3).images
    exact = jacobian_frobenius_squared(lab.reformer(contractive(1e-3)).encode, images).mean().item()
    assert found == {"DAE, noise 0.4": None, "CAE, λ = 0.001": pytest.approx(exact, rel=1e-4)}


def test_how_many_images_the_jacobian_is_measured_on():
    cells = cells_of_seed(PAPER, 0, ["grid"], 10_000)
    assert {cell.jacobian_images for cell in cells if cell.defense.family == "contractive"} == {100}
    assert {cell.jacobian_images for cell in cells if cell.defense.family != "contractive"} == {0}
    assert cells_of_seed(PAPER, 0, ["grid"], 20)[-1].jacobian_images == 20


@pytest.mark.parametrize(
    ("seeds", "parts", "message"),
    [
        ([0], ["tables"], "parts must be some of grid, variants, .*, got tables"),
        ([], ["grid"], "at least one"),
        ([1, 1], ["grid"], r"seeds must be different, .* got \[1, 1\]"),
        ([1], ["cross"], "at least two seeds"),
    ],
)
def test_what_is_refused_before_anything_is_trained(lab, tmp_path, seeds, parts, message):
    with pytest.raises(ValueError, match=message):
        reproduce(lab, seeds, parts, tmp_path / "x.csv", lambda _: pytest.fail("nothing may be trained"))


def test_results_of_another_budget_are_not_mixed_in(lab, tmp_path):
    path = tmp_path / "paper.csv"
    row = Row(*("mnist", "paper", "DAE"), *(30, 0, 1), *("FGSM", "clean"), 5, 9, True, 2, 0.25, 1.5, 0.5, *("x",) * 7)
    write_rows(path, [row])
    with pytest.raises(ValueError, match=r"holds results of \[\('mnist', 'paper'\)\].*name another file"):
        reproduce(lab, [0], ["grid"], path, lambda _: pytest.fail("nothing may be trained"))
    assert read_rows(path, Row) == [row]


# ---- the command


def test_the_command_writes_the_file_and_says_so(monkeypatch, tmp_path, small, capsys):
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))
    monkeypatch.setitem(command_line.BUDGETS, "smoke", TINY)
    arguments = ["reproduce", "--budget", "smoke", "--dataset", "digits", "--seeds", "1"]
    assert command_line.main(arguments) == 0
    path = tmp_path / "build" / "results" / "smoke.csv"
    assert f"6 rows in {path}" in capsys.readouterr().out
    assert command_line.main([*arguments, "--parts", "cross"]) == 2
    assert "at least two seeds" in capsys.readouterr().err


def test_the_command_can_be_interrupted(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Lab, "make", interrupt)
    assert command_line.main(["reproduce", "--budget", "smoke", "--dataset", "digits"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_a_cluster_needs_its_extra_and_a_scheduler(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))
    arguments = ["reproduce", "--budget", "smoke", "--dataset", "digits", "--dask", "tcp://127.0.0.1:1"]
    monkeypatch.setattr("distributed.client.Client.__init__", lambda *_: (_ for _ in ()).throw(OSError("no scheduler")))
    assert command_line.main(arguments) == 2
    assert "no scheduler" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert command_line.main(arguments) == 2
    assert "pip install '.[cluster]'" in capsys.readouterr().err
