"""Results of many attacks: rows, the worst case per image, security curves, tables, over one seed and several."""

import base64
import dataclasses

import numpy as np
import pytest
import torch

from magnet_helpers.__main__ import main
from magnet_helpers.attacks import DDN, FGSM, ElasticNet
from magnet_helpers.attacks.base import NORMS
from magnet_helpers.data import load_images
from magnet_helpers.defenses import denoising
from magnet_helpers.intervals import Accuracy, estimate
from magnet_helpers.lab.budget import PAPER, SMOKE
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.store import Artifact, Store
from magnet_helpers.magnet import MagNetSpec
from magnet_helpers.study import attack_results, attack_tables
from magnet_helpers.study.attack_results import (
    AttackResults,
    TrialRow,
    attack_study,
    load_attack_results,
    measured,
    row_of,
    run_attacks,
    run_study,
    write_attack_results,
)
from magnet_helpers.study.attack_tables import confidence_frame, cost_frame, smallest_change_frame, threat_frame
from magnet_helpers.study.grid import MAGNET, MAGNETS_PARTS, UNDER_ATTACK
from magnet_helpers.study.published import LU, LU_CONFIDENCES
from magnet_helpers.study.result_files import pack_bits, read_rows
from magnet_helpers.study.threats import ADAPTIVE, ADAPTIVE_SMALLEST, GREY, ITERATED, SMALLEST, WHITE, Threat
from magnet_helpers.study.trials import Trial, all_trials, run_trial

REFORMED = MagNetSpec("DAE", denoising(0.4))
TINY = dataclasses.replace(
    SMOKE, classifier_images=64, autoencoder_images=64, validation_images=8, test_images=20, classifier_epochs=2
)


def bits(text: str) -> torch.Tensor:
    return torch.tensor([letter == "1" for letter in text])


def row(threat: str, seed: int, right: str, sizes: list[float] | None = None, **changes) -> TrialRow:
    values = {"dataset": "mnist", "budget": "fast", "seed": seed, "defence": "DAE", "threat": threat}
    values |= {"attack": "A", "knows": "reformer", "n": len(right), "rejected": 0, "accepted_right": 0}
    values |= {"accepted_wrong": 0, "made": 0, "median_l2": None, "forward_passes": 1.0, "backward_passes": 1.0}
    values |= {"seconds": 1.0, "device": "cpu", "torch": "2", "python": "3", "training_code": "t", "attack_code": "a"}
    l2 = base64.b64encode(np.array(sizes, "<f2").tobytes()).decode() if sizes else ""
    return TrialRow(**values | {"not_fooled": pack_bits(bits(right)), "l2": l2} | changes)


ROWS = [
    row(GREY, 0, "11110000"),
    row(GREY, 1, "11111100"),
    row(ITERATED, 0, "10101010"),
    row(ITERATED, 1, "00000001"),
    row(SMALLEST, 0, "10000000", [9, 1, 2, 3, 4, 5, 6, 7]),
    row(SMALLEST, 1, "00000000", [1, 1, 1, 1, 1, 1, 1, 1]),
]


# ---- questions to rows


def test_the_worst_case_is_per_image():
    results = AttackResults(ROWS)
    assert torch.equal(results.worst_case("DAE"), torch.stack([bits("10100000"), bits("00000000")]))
    assert torch.equal(results.worst_case("DAE", [GREY]), results.not_fooled("DAE", GREY))
    assert results.worst_case("SDAE") is None


def test_an_attack_without_a_bound_is_no_part_of_the_worst_case_within_one():
    alone = AttackResults(ROWS[:4])
    assert torch.equal(alone.worst_case("DAE"), AttackResults(ROWS).worst_case("DAE"))


@pytest.mark.parametrize("other", [row(WHITE, 0, "1111"), row(WHITE, 2, "11110000")], ids=["images", "seed"])
def test_a_worst_case_over_other_images_or_seeds_is_refused(other):
    with pytest.raises(ValueError, match="per image: attacks on DAE need the same seeds and images"):
        AttackResults([*ROWS, other]).worst_case("DAE")


def test_accuracies_are_means_over_seeds_and_images():
    results = AttackResults(ROWS)
    assert results.accuracy("DAE", GREY) == estimate(torch.stack([bits("11110000"), bits("11111100")]))
    assert results.accuracy("DAE", GREY).value == 10 / 16
    with pytest.raises(KeyError, match="SDAE was not measured under FGSM"):
        results.accuracy("SDAE", GREY)


def test_the_order_of_the_rows_does_not_matter():
    assert torch.equal(AttackResults(ROWS[::-1]).not_fooled("DAE", GREY), AttackResults(ROWS).not_fooled("DAE", GREY))
    assert torch.equal(AttackResults(ROWS[::-1]).sizes("DAE", SMALLEST), AttackResults(ROWS).sizes("DAE", SMALLEST))


def test_what_was_not_fooled_has_no_smallest_change():
    sizes = AttackResults(ROWS).sizes("DAE", SMALLEST)
    assert sizes[0].tolist() == [torch.inf, 1, 2, 3, 4, 5, 6, 7]
    assert AttackResults(ROWS).sizes("DAE", GREY) is None, "a bounded attack says nothing about it"


def test_a_security_curve_takes_the_smallest_change_of_all_attacks():
    more = [row(ADAPTIVE_SMALLEST, seed, "00000000", [8, 0.5, 8, 8, 8, 8, 8, 0.5]) for seed in (0, 1)]
    results = AttackResults([*ROWS, *more])
    curve = results.security_curve("DAE", [0, 0.5, 2, 100])
    # seed 0: 8, .5, 2, 3, 4, 5, 6, .5; seed 1: 1, .5, 1, 1, 1, 1, 1, .5
    assert [each.value for each in curve] == [1, 12 / 16, 5 / 16, 0]
    one = AttackResults([each for each in ROWS if each.seed == 0])
    assert one.security_curve("DAE", [3.5])[0] == Accuracy(5, 8) == measured(one.smallest_change("DAE") > 3.5)
    with pytest.raises(ValueError, match=f"no attack without a bound on DAE among {GREY}"):
        results.security_curve("DAE", [1.0], [GREY])


def test_rows_of_two_budgets_are_refused():
    with pytest.raises(ValueError, match="one dataset and one budget"):
        AttackResults([*ROWS, row(GREY, 0, "1111", budget="paper")])


def test_the_note_says_where_the_numbers_come_from():
    assert AttackResults(ROWS).note == "MNIST · fast budget (not the paper's) · seeds 0, 1 · n = 8"
    assert AttackResults([]).note == "no results"


# ---- tables


def test_the_table_has_an_interval_in_every_cell():
    one = threat_frame(
        AttackResults([each for each in ROWS if each.seed == 0]), ["DAE"], [GREY, ITERATED, WHITE], worst_case=True
    )
    assert one.loc["DAE", GREY] == str(Accuracy(4, 8))
    assert one.loc["DAE", "worst case"] == str(Accuracy(2, 8))
    assert one.loc["DAE", WHITE] == "–"
    several = threat_frame(AttackResults(ROWS), ["DAE"], [GREY, SMALLEST], worst_case=True)
    assert several.loc["DAE", GREY] == AttackResults(ROWS).accuracy("DAE", GREY).in_percent()
    assert list(threat_frame(AttackResults(ROWS), ["DAE"], [GREY]).columns) == [GREY]
    assert several.loc["DAE", "worst case"] == several.loc["DAE", GREY], "of the columns that are shown and bounded"


def test_never_in_several_seeds_has_an_interval_too():
    rows = [row(GREY, seed, "00000000") for seed in (0, 1)]
    # 0 of 8 images is compatible with every share p for which (1 - p)^8 > 0.025
    assert (
        threat_frame(AttackResults(rows), ["DAE"], [GREY]).loc["DAE", GREY]
        == f"0.0 ± {100 * (1 - 0.025 ** (1 / 8)):.1f}"
    )


# ---- rows of real trials, and the file


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Lab:
    store = Store(tmp_path_factory.mktemp("attack_results"))
    return Lab(TINY, load_images("digits"), seed=3, store=store, device=torch.device("cpu"))


def test_a_row_holds_what_its_trial_found(lab):
    for attack, unbounded in ((FGSM(0.2), False), (DDN(5), True)):
        trial = Trial(REFORMED, Threat("some", attack, "reformer"), 10)
        report, found = run_trial(lab, trial), row_of(lab, trial)
        assert found.rejected + found.accepted_right + found.accepted_wrong == found.n == 10
        assert found.accepted_wrong == int((~report.not_fooled).sum())
        assert found.made == int(report.success.sum())
        assert (found.dataset, found.budget, found.seed, found.defence) == ("digits", "smoke", 3, "DAE")
        assert (found.attack, found.knows) == (repr(attack), "reformer")
        assert torch.equal(AttackResults([found]).not_fooled("DAE", "some")[0], report.not_fooled)
        assert found.median_l2 == pytest.approx(report.norms["L2"][~report.not_fooled].median().item(), abs=1e-3)
        sizes = AttackResults([found]).sizes("DAE", "some")
        assert (sizes is not None) == unbounded
        if unbounded:
            fooled = ~report.not_fooled
            torch.testing.assert_close(sizes[0][fooled], report.norms["L2"][fooled], rtol=1e-3, atol=1e-3)


def test_a_rejected_image_is_no_success_and_its_change_does_not_count(lab, monkeypatch):
    tensors = {"labels": torch.ones(4).long(), "answers": torch.tensor([1, 2, 2, 2]), "success": torch.ones(4).bool()}
    tensors |= {"rejected": torch.tensor([False, True, False, False])}
    tensors |= {norm: torch.tensor([9.0, 8.0, 1.0, 1.5]) for norm in NORMS}
    record = {"forward_passes": 3.04, "backward_passes": 2, "seconds": 0.56, "device": "cpu"}
    artifact = Artifact(tensors, {**record, "versions": {"torch": "2", "python": "3"}})
    monkeypatch.setattr(attack_results, "run_trial_artifact", lambda *_: artifact)
    found = row_of(lab, Trial(REFORMED, Threat("DDN", DDN(5), "reformer"), 4))
    assert (found.rejected, found.accepted_right, found.accepted_wrong, found.made) == (1, 1, 2, 4)
    assert found.median_l2 == 1.0, "the lower of the two middle ones, of the two that fooled"
    assert AttackResults([found]).sizes("DAE", "DDN").tolist() == [[torch.inf, torch.inf, 1.0, 1.5]]
    assert (found.forward_passes, found.seconds) == (3.0, 0.6)


def test_an_image_made_elsewhere_is_no_smallest_change(lab):
    trial = Trial(REFORMED, Threat("DDN", DDN(5), "classifier"), 10)
    assert row_of(lab, trial).l2 == "", "it was made on the classifier, not to be small for this defence"


def test_results_files_grow_and_come_back(lab, tmp_path):
    path = tmp_path / "attacks.csv"
    some = all_trials([REFORMED], [Threat("FGSM", FGSM(0.2), "reformer")], 10)
    found = run_attacks(lab, some)
    write_attack_results(path, found.rows)
    write_attack_results(path, [row(GREY, 0, "1111"), found.rows[0]])
    assert read_rows(path, TrialRow) == [found.rows[0], row(GREY, 0, "1111")]
    assert len({each.identity for each in ROWS}) == len(ROWS)


# ---- the whole study


@pytest.fixture
def short(monkeypatch):
    """The study with few of its attacks."""
    some = [Threat(GREY, FGSM(), "classifier"), Threat(SMALLEST, DDN(5), "reformer")]
    monkeypatch.setattr(attack_results, "all_threats", lambda _: some)
    monkeypatch.setattr(attack_results, "UNDER_ATTACK", UNDER_ATTACK[:2])
    monkeypatch.setattr(attack_results, "MAGNETS_PARTS", MAGNETS_PARTS[:2])


def test_the_study_is_every_defence_under_every_threat():
    found = attack_study(PAPER)
    assert len(found) == 7 * 7 + 9 + len(MAGNETS_PARTS) * 2 * 9
    assert {each.images for each in found} == {1_000}


def test_a_study_that_was_stopped_keeps_its_rows_and_goes_on(lab, short, tmp_path, monkeypatch):
    path = tmp_path / "attacks.csv"
    made = []

    def stop_in_the_second_seed(of_seed, some):
        made.append(of_seed.seed)
        for each in some[:1] if len(made) == 2 else some:
            run_trial(of_seed, each)
        if len(made) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(attack_results, "run_trials", stop_in_the_second_seed)
        with pytest.raises(KeyboardInterrupt):
            run_study(lab, [3, 4], path)
    of_one_seed = 2 * 2 + 2 * 4
    assert [row.seed for row in read_rows(path, TrialRow)] == [3] * of_one_seed + [4]
    results = run_study(lab, [4], path)
    assert results.seeds == [3, 4]
    assert len(results.rows) == len({each.identity for each in results.rows}) == 2 * of_one_seed


def test_what_the_file_holds_is_not_made_again_unless_the_code_is_another(lab, short, tmp_path, monkeypatch):
    path = tmp_path / "attacks.csv"
    rows = run_study(lab, [3], path).rows
    elsewhere = dataclasses.replace(lab, store=Store(tmp_path / "nothing is stored here"))
    asked = []
    monkeypatch.setattr(attack_results, "run_trials", lambda _, some: asked.append(list(some)))
    assert run_study(elsewhere, [3], path).rows == rows
    write_attack_results(path, [dataclasses.replace(rows[2], attack_code="another")])
    run_study(elsewhere, [3], path)
    assert [len(some) for some in asked] == [0, 1]
    assert (asked[1][0].defense.label, asked[1][0].threat.name) == (rows[2].defence, rows[2].threat)


def test_the_projects_own_study_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no made_up_attacks\.csv in .*attack"):
        load_attack_results("made_up")
    write_attack_results(tmp_path / "data" / "results" / "made_up_attacks.csv", [row(GREY, 0, "1101")])
    assert load_attack_results("made_up").accuracy("DAE", GREY) == Accuracy(3, 4)


def test_a_study_is_not_mixed_with_another(lab, tmp_path):
    path = tmp_path / "attacks.csv"
    write_attack_results(path, [row(GREY, 0, "1111")])
    with pytest.raises(ValueError, match=r"holds results of \[\('mnist', 'fast'\)\].*name another file"):
        run_study(lab, [0], path)
    for seeds in ([], [1, 1]):
        with pytest.raises(ValueError, match="seeds must be different, and at least one"):
            run_study(lab, seeds, tmp_path / "new.csv")


def test_the_command_writes_rows_and_words(short, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))
    monkeypatch.setattr(attack_tables, "UNDER_ATTACK", UNDER_ATTACK[:2])
    monkeypatch.setattr(attack_tables, "MAGNETS_PARTS", MAGNETS_PARTS[:2])
    command = ["attack", "--seeds", "0", "--budget", "smoke", "--dataset", "digits"]
    assert main(command) == 0
    path = tmp_path / "build" / "results" / "smoke_attacks.csv"
    assert f"12 rows in {path}" in capsys.readouterr().out
    text = path.with_suffix(".md").read_text()
    for words in ("vanilla AE", "worst case", "Lu et al.", "The smallest change", "DDN(steps=5", "seed 0 · n = 10"):
        assert words in text, words
    assert main([*command, "--results", str(tmp_path)]) == 2


def test_the_worst_case_of_detectors_waits_for_the_attack_that_knows_them():
    weak = [row(GREY, 0, "1111", defence=MAGNET.label)]
    frame = threat_frame(AttackResults(weak), [MAGNET.label], [GREY, ADAPTIVE], worst_case=True)
    assert list(frame.loc[MAGNET.label]) == [str(Accuracy(4, 4)), "–", "–"]
    both = [*weak, row(ADAPTIVE, 0, "1000", defence=MAGNET.label)]
    frame = threat_frame(AttackResults(both), [MAGNET.label], [GREY, ADAPTIVE], worst_case=True)
    assert frame.loc[MAGNET.label, "worst case"] == str(Accuracy(1, 4))


def test_a_study_without_confident_images_has_no_rows_of_them():
    assert confidence_frame(AttackResults(ROWS), ElasticNet).empty


def test_tables_of_confidence_change_and_cost():
    parts = [each.label for each in MAGNETS_PARTS]
    rows = [row("EAD, κ = 0", 0, "1100", defence=part, made=3, seconds=2.0) for part in parts]
    rows += [row("EAD, κ = 5", 0, "1000", defence=part, made=4, seconds=4.0) for part in parts]
    frame = confidence_frame(AttackResults(rows), ElasticNet)
    assert list(frame.index) == ["0", "5"]
    assert frame.loc["5", "MagNet, complete"] == str(Accuracy(1, 4))
    assert frame.loc["5", "MagNet, complete, Lu et al."] == "44.4"
    assert list(frame["made"]) == ["3 of 4", "4 of 4"]
    assert cost_frame(AttackResults(rows)).loc["EAD, κ = 5", "seconds"] == "4.0"
    sizes = smallest_change_frame(AttackResults(ROWS), ["DAE"])
    assert sizes.loc["DAE"].to_dict() == {"25 %": "1.00", "median": "1.00", "75 %": "4.00"}


# ---- other papers


def test_every_published_curve_has_a_number_for_each_confidence():
    assert all(len(percents) == len(LU_CONFIDENCES) for percents in LU.values())
    assert all(0 <= percent <= 100 for percents in LU.values() for percent in percents)
    for attack in ("C&W", "EAD"):
        both = LU[attack, "reformer and detectors"]
        assert min(both) < min(both[0], both[-1]), "the dip"
