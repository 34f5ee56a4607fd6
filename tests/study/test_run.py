"""Both studies, carried out: rows, a file that grows, and a run that goes on where it was stopped."""

import dataclasses
import sys

import pytest
import torch
from measured import plain_row

from magnet_helpers import __main__ as command_line
from magnet_helpers.attacks import DDN, FGSM, Knowledge, Threat
from magnet_helpers.attacks.base import NORMS
from magnet_helpers.data import load_images
from magnet_helpers.defenses import NO_REFORMER, contractive, denoising
from magnet_helpers.device import precision_on
from magnet_helpers.jacobian import jacobian_frobenius_squared
from magnet_helpers.lab import tasks
from magnet_helpers.lab.budget import SMOKE
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.store import Artifact, Store
from magnet_helpers.lab.trials import Trial, TrialReport
from magnet_helpers.magnet import MagNetSpec
from magnet_helpers.study import plan, reports
from magnet_helpers.study.grid import MAGNETS_PARTS, UNDER_ATTACK
from magnet_helpers.study.plan import _reports_of_seed, attack_study
from magnet_helpers.study.results import Results
from magnet_helpers.study.results_file import unpack_bits, write_rows
from magnet_helpers.study.run import _read_results, check_seeds, rows_of, run_attacks, run_study
from magnet_helpers.study.threats import CLEAN, GREY_BOX

REFORMED = MagNetSpec("DAE", denoising(0.4))
TINY = dataclasses.replace(
    SMOKE, classifier_images=64, autoencoder_images=32, validation_images=8, test_images=20, classifier_epochs=1
)


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(TINY, load_images("digits"), seed=3, store=Store(tmp_path / "artifacts"), device=torch.device("cpu"))


@pytest.fixture
def small(monkeypatch):
    """Let the grid be two defences, and the attack study few attacks on few of them."""
    monkeypatch.setattr(plan, "GRID", (NO_REFORMER, denoising(0.4)))
    monkeypatch.setattr(plan, "TABLE_4", (NO_REFORMER, denoising(0.4)))
    few = [GREY_BOX, Threat(DDN(5), Knowledge.REFORMER)]
    monkeypatch.setattr(plan, "all_threats", lambda _: few)
    monkeypatch.setattr(plan, "UNDER_ATTACK", UNDER_ATTACK[:2])
    monkeypatch.setattr(plan, "MAGNETS_PARTS", MAGNETS_PARTS[:2])


def grid(*seeds):
    return [_reports_of_seed(TINY, seed, ["grid"], 20) for seed in seeds]


def study(*seeds):
    return [attack_study(TINY, seed, 10) for seed in seeds]


BOTH = pytest.mark.parametrize(
    ("steps", "rows_of_a_seed"), [(grid, 2 * 3), (study, 2 * 2 + 2 * 4)], ids=["grid", "attacks"]
)


# ---- rows


def test_rows_of_reports_hold_the_counts_and_the_answers(lab, small, tmp_path):
    path = tmp_path / "results" / "tiny.csv"
    results = run_study(lab, grid(4, 5), path)
    assert len(results.rows) == 2 * 2 * 3
    assert _read_results(path) == results.rows
    report = dataclasses.replace(lab, seed=5).report(denoising(0.4))
    rows = {row.knows: row for row in results.rows if row.reformer_seed == 5 and row.defense == "DAE, noise 0.4"}
    assert set(rows) == {Knowledge.NOTHING, Knowledge.CLASSIFIER, Knowledge.REFORMER}
    for knows, row in rows.items():
        right = report.right(knows)
        assert (row.right, row.wrong, row.rejected, row.n) == (int(right.sum()), int((~right).sum()), 0, 20)
        assert torch.equal(unpack_bits(row.not_fooled, row.n), right)
        assert (row.classifier_seed, row.classifier_epochs, row.budget, row.dataset) == (5, 1, "smoke", "digits")
        assert row.training_seconds >= 0
        assert (row.device, row.precision) == ("cpu", precision_on(torch.device("cpu"), "auto"))


def test_rows_of_trials_hold_what_was_found(lab):
    for attack, unbounded in ((FGSM(0.2), False), (DDN(5), True)):
        threat = Threat(attack, Knowledge.REFORMER)
        trial = Trial(REFORMED, threat, 10, lab.specs)
        report, (row,) = TrialReport.restore(lab.result(trial)), rows_of(lab, trial)
        assert row.rejected + row.right + row.wrong == row.n == 10
        assert row.wrong == int((~report.not_fooled).sum())
        assert row.made == int(report.success.sum())
        assert (row.dataset, row.budget, row.classifier_seed, row.reformer_seed) == ("digits", "smoke", 3, 3)
        assert (row.defense, row.attack, row.knows) == ("DAE", repr(attack), Knowledge.REFORMER)
        assert torch.equal(Results([row]).not_fooled(REFORMED, threat)[0], report.not_fooled)
        assert row.median_l2 == pytest.approx(report.norms["L2"][~report.not_fooled].median().item(), abs=1e-3)
        sizes = Results([row]).sizes(REFORMED, threat)
        assert (sizes is not None) == unbounded
        if unbounded:
            fooled = ~report.not_fooled
            torch.testing.assert_close(sizes[0][fooled], report.norms["L2"][fooled], rtol=1e-3, atol=1e-3)


def test_a_rejected_image_is_no_success_and_its_change_does_not_count(lab, monkeypatch):
    tensors = {"labels": torch.ones(4).long(), "answers": torch.tensor([1, 2, 2, 2]), "success": torch.ones(4).bool()}
    tensors |= {"rejected": torch.tensor([False, True, False, False])}
    tensors |= {norm: torch.tensor([9.0, 8.0, 1.0, 1.5]) for norm in NORMS}
    record = {"forward_passes": 3.04, "backward_passes": 2, "seconds": 0.56, "device": "cpu"}
    made = Artifact(tensors, {**record, "versions": {"torch": "2", "python": "3"}})
    monkeypatch.setattr(Store, "load", lambda *_: made)
    threat = Threat(DDN(5), Knowledge.REFORMER)
    (row,) = rows_of(lab, Trial(REFORMED, threat, 4, lab.specs))
    assert (row.rejected, row.right, row.wrong, row.made) == (1, 1, 2, 4)
    assert row.median_l2 == 1.0, "the lower of the two middle ones, of the two that fooled"
    assert Results([row]).sizes(REFORMED, threat).tolist() == [[torch.inf, torch.inf, 1.0, 1.5]]
    assert (row.forward_passes, row.seconds) == (3.0, 0.6)


def test_an_image_made_elsewhere_is_no_smallest_change(lab):
    trial = Trial(REFORMED, Threat(DDN(5), Knowledge.CLASSIFIER), 10, lab.specs)
    assert run_attacks(lab, [trial]).rows[0].l2 == "", "it was made on the classifier, not to be small for this defence"


def test_rows_of_what_is_not_there(lab, small):
    assert rows_of(lab, grid(9)[0][0]) == rows_of(lab, study(9)[0][0]) == []


def test_of_contractive_reformers_the_exact_jacobian_is_measured(lab, monkeypatch, tmp_path):
    monkeypatch.setattr(plan, "GRID", (denoising(0.4), contractive(1e-3)))
    monkeypatch.setattr(plan, "_JACOBIAN_IMAGES", 3)
    results = run_study(lab, grid(3), tmp_path / "tiny.csv")
    norms = {row.defense: row.jacobian for row in results.rows}
    images = lab.data.test.spread(3).images
    exact = jacobian_frobenius_squared(lab.reformer(contractive(1e-3)).encode, images).mean().item()
    assert norms == {"DAE, noise 0.4": None, "CAE, λ = 0.001": pytest.approx(exact, rel=1e-4)}


# ---- a run that was stopped, and what is known


@BOTH
def test_a_run_that_was_stopped_keeps_its_rows_and_goes_on(lab, small, tmp_path, monkeypatch, steps, rows_of_a_seed):
    path = tmp_path / "tiny.csv"
    whole, calls = Lab.make, []

    def stop_in_the_second_seed(self, tasks, crew=None):
        calls.append(len(tasks))
        whole(self, tasks[:1] if len(calls) == 2 else tasks)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Lab, "make", stop_in_the_second_seed)
        with pytest.raises(KeyboardInterrupt):
            run_study(lab, steps(3, 4), path)
    of_second = [row for row in _read_results(path) if row.reformer_seed == 4]
    assert len(_read_results(path)) == rows_of_a_seed + len(of_second)
    assert 0 < len(of_second) < rows_of_a_seed, "what was done is in the file"
    assert run_study(lab, steps(4), path).seeds == [4]
    results = run_study(lab, steps(3, 4), path)
    assert results.seeds == [3, 4]
    assert len(results.rows) == len({row.identity for row in results.rows}) == 2 * rows_of_a_seed


@BOTH
def test_what_the_file_holds_is_not_made_again_unless_the_code_is_another(
    lab, small, tmp_path, monkeypatch, steps, rows_of_a_seed
):
    path = tmp_path / "tiny.csv"
    rows = run_study(lab, steps(3), path).rows
    elsewhere = dataclasses.replace(lab, store=Store(tmp_path / "nothing is stored here"))
    asked = []
    monkeypatch.setattr(Lab, "make", lambda _, tasks, crew=None: asked.append(list(tasks)))
    assert run_study(elsewhere, steps(3, 4), path).rows == rows
    write_rows(path, [*rows[:4], dataclasses.replace(rows[4], key="another"), *rows[5:]])
    run_study(elsewhere, steps(3), path)
    assert [len(tasks) for tasks in asked] == [0, len(steps(4)[0]), 1]
    assert asked[2][0].defense.label == rows[4].defense


def test_the_key_holds_settings_data_and_code(lab, small, monkeypatch):
    def keys(fingerprint="abc"):
        return [Store.key(task.settings(fingerprint)) for task in (*grid(3)[0], *study(3)[0])]

    before = keys()
    assert len(set(before)) == len(before)
    assert not set(before) & set(keys("abd"))
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "code_version", lambda *_, **__: "another")
        assert not set(before) & set(keys())
    assert keys() == before


# ---- what is refused


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1]])
def test_seeds_that_are_refused(seeds):
    with pytest.raises(ValueError, match="seeds must be different, 0 or more, and at least one"):
        check_seeds(seeds)


def test_results_of_another_budget_are_not_mixed_in(lab, tmp_path):
    path = tmp_path / "paper.csv"
    row = plain_row(denoising(0.4), CLEAN, torch.ones(9).bool())
    write_rows(path, [row])
    with pytest.raises(ValueError, match=r"holds results of \[\('mnist', 'paper'\)\].*name another file"):
        run_study(lab, grid(0), path)
    assert _read_results(path) == [row]


@pytest.mark.parametrize(("steps", "others"), [(grid, study), (study, grid)], ids=["grid", "attacks"])
def test_the_two_studies_have_a_file_each(lab, small, tmp_path, monkeypatch, steps, others):
    path = tmp_path / "tiny.csv"
    run_study(lab, others(3), path)
    monkeypatch.setattr(Lab, "make", lambda *_: pytest.fail("nothing may be made"))
    with pytest.raises(ValueError, match=r"holds results of the command `(attack|reproduce)`: name another file"):
        run_study(lab, steps(3), path)


@BOTH
def test_rows_of_other_code_or_other_seeds_are_in_no_table(lab, small, tmp_path, monkeypatch, steps, rows_of_a_seed):
    path = tmp_path / "tiny.csv"
    rows = run_study(lab, steps(3, 4), path).rows
    write_rows(path, [dataclasses.replace(rows[0], key="another"), *rows[1:]])
    monkeypatch.setattr(Lab, "make", lambda *_: None)
    elsewhere = dataclasses.replace(lab, store=Store(tmp_path / "nothing is stored here"))
    assert run_study(elsewhere, steps(3), path).rows == rows[1:rows_of_a_seed]
    assert len(_read_results(path)) == len(rows), "they stay in the file"


# ---- the commands


@pytest.fixture
def short_command(monkeypatch, tmp_path, small):
    """Let the commands be short, and write below `tmp_path`."""
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))
    monkeypatch.setitem(command_line.BUDGETS, "smoke", TINY)
    return ["--budget", "smoke", "--dataset", "digits"]


def test_the_first_command_writes_the_file_and_says_so(short_command, tmp_path, capsys):
    arguments = ["reproduce", *short_command, "--seeds", "1"]
    assert command_line.main(arguments) == 0
    path = tmp_path / "build" / "results" / "smoke.csv"
    assert f"6 rows in {path}" in capsys.readouterr().out
    assert "The ledger" in path.with_suffix(".md").read_text()
    assert command_line.main([*arguments, "--parts", "cross"]) == 2
    assert "at least two seeds" in capsys.readouterr().err


def test_the_second_command_writes_rows_and_words(short_command, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reports, "UNDER_ATTACK", UNDER_ATTACK[:2])
    monkeypatch.setattr("magnet_helpers.study.tables.MAGNETS_PARTS", MAGNETS_PARTS[:2])
    command = ["attack", *short_command, "--seeds", "0"]
    assert command_line.main(command) == 0
    path = tmp_path / "build" / "results" / "smoke_attacks.csv"
    assert f"12 rows in {path}" in capsys.readouterr().out
    text = path.with_suffix(".md").read_text()
    for words in ("vanilla AE", "worst case", "Lu et al.", "The smallest change", "DDN(steps=5", "seed 0 · n = 10"):
        assert words in text, words
    path.with_suffix(".md").unlink()
    path.with_suffix(".md").mkdir()
    assert command_line.main(command) == 2, "the report cannot be written"
    with pytest.raises(SystemExit):
        command_line.main([*command, "--results", str(tmp_path / "a.md")])
    assert "ends with .csv" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["reproduce", "attack"])
def test_a_command_can_be_interrupted(short_command, monkeypatch, capsys, command):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Lab, "make", interrupt)
    assert command_line.main([command, *short_command]) == 130
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["reproduce", "attack"])
def test_a_cluster_needs_its_extra_and_a_scheduler(short_command, monkeypatch, capsys, command):
    arguments = [command, *short_command, "--dask", "tcp://127.0.0.1:1"]
    monkeypatch.setattr("distributed.client.Client.__init__", lambda *_: (_ for _ in ()).throw(OSError("no scheduler")))
    assert command_line.main(arguments) == 2
    assert "no scheduler" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert command_line.main(arguments) == 2
    assert "pip install '.[cluster]'" in capsys.readouterr().err
