"""Which tasks the two studies are made of."""

import pytest

from magnet_helpers.lab.budget import PAPER
from magnet_helpers.lab.tasks import with_needs
from magnet_helpers.lab.trainings import TrainingSpec
from magnet_helpers.study.grid import GRID, MAGNETS_PARTS, TABLE_4, VARIANTS
from magnet_helpers.study.plan import _crossed_reports, _reports_of_seed, attack_study, protocol


def test_the_grid_is_the_papers_with_its_budget():
    reports = _reports_of_seed(PAPER, 3, ["grid"], 10_000)
    assert [report.defense for report in reports] == list(GRID)
    specs = [task for task in with_needs(reports) if isinstance(task, TrainingSpec)]
    assert len(specs) == 1 + 1 + 5 * (1 + 3 + 2) + 6
    assert sum(spec.config.epochs for spec in specs) == 30 + 20 + 5 * (20 + 3 * 10 + 2 * 20) + 6 * 20
    assert {report.images for report in reports} == {10_000}
    assert {report.classifier.config.seed for report in reports} == {3}


def test_parts_share_what_they_have_in_common():
    grid, variants = (_reports_of_seed(PAPER, 0, [part], 100) for part in ("grid", "variants"))
    both = _reports_of_seed(PAPER, 0, ["grid", "variants"], 100)
    common = set(GRID) & set(VARIANTS)
    assert len(common) == 5
    assert len(both) == len(grid) + len(variants) - len(common)


def test_the_other_attacks_and_classifiers():
    labels = _reports_of_seed(PAPER, 0, ["labels"], 10_000)
    assert {repr(report.attack) for report in labels} == {"FGSM(epsilon=0.3, labels='given')"}
    lengths = _reports_of_seed(PAPER, 0, ["classifier"], 10_000)
    assert sorted({report.classifier.config.epochs for report in lengths}) == [5, 10, 30]
    assert len(lengths) == 3 * len(TABLE_4)
    reformers = [{report.reformer.key for report in reports if report.reformer} for reports in (lengths, labels)]
    assert reformers[0] == reformers[1]
    own = [report for report in lengths if report.classifier.config.epochs == 30]
    assert set(own) <= set(_reports_of_seed(PAPER, 0, ["grid"], 10_000)), "the paper's own length is in the grid"
    strong = _reports_of_seed(PAPER, 0, ["pgd"], 10_000)
    assert {report.images for report in strong} == {1000}
    assert {(report.attack.steps, report.attack.restarts) for report in strong} == {(100, 5)}


def test_crossing_leaves_out_what_the_grid_has():
    reports = _crossed_reports(PAPER, [0, 1, 2], 100)
    pairs = {(report.classifier.config.seed, report.reformer_seed) for report in reports}
    assert pairs == {(one, other) for one in range(3) for other in range(3) if one != other}
    assert len(reports) == len(pairs) * (len(TABLE_4) - 1)
    assert all(report.reformer.config.seed != report.classifier.config.seed for report in reports)


def test_the_protocol_goes_seed_by_seed_and_crosses_them_last():
    steps = protocol(PAPER, [4, 5], ["grid", "cross"], 100)
    assert [step[0].classifier.config.seed for step in steps] == [4, 5, 4]
    assert [len(step) for step in steps] == [len(GRID), len(GRID), 2 * (len(TABLE_4) - 1)]


def test_how_many_images_the_jacobian_is_measured_on():
    reports = _reports_of_seed(PAPER, 0, ["grid"], 10_000)
    assert {report.jacobian_images for report in reports if report.defense.family == "contractive"} == {100}
    assert {report.jacobian_images for report in reports if report.defense.family != "contractive"} == {0}
    assert _reports_of_seed(PAPER, 0, ["grid"], 20)[-1].jacobian_images == 20


@pytest.mark.parametrize(
    ("seeds", "parts", "message"),
    [
        ([0], ["tables"], "parts must be some of grid, variants, .*, got tables"),
        ([1], ["cross"], "at least two seeds"),
    ],
)
def test_what_is_refused(seeds, parts, message):
    with pytest.raises(ValueError, match=message):
        protocol(PAPER, seeds, parts, 100)


def test_the_attack_study_is_every_defence_under_every_threat():
    trials = attack_study(PAPER, 2)
    assert len(trials) == len(set(trials)) == 7 * 7 + 9 + len(MAGNETS_PARTS) * 2 * 9
    assert {trial.images for trial in trials} == {1_000}
    assert {trial.specs.seed for trial in trials} == {2}
