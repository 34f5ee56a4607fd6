"""Results asked with defences and threats: the worst case per image, security curves, tables, one seed and several."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from measured import plain_row

from magnet_helpers.attacks import ElasticNet, Threat
from magnet_helpers.defenses import VANILLA
from magnet_helpers.intervals import Accuracy, estimate
from magnet_helpers.lab.budget import FAST
from magnet_helpers.magnet import MagNetSpec
from magnet_helpers.study.grid import MAGNET, MAGNETS_PARTS
from magnet_helpers.study.published import LU, LU_CONFIDENCES
from magnet_helpers.study.results import Results, load_attack_results, measured
from magnet_helpers.study.results_file import Row
from magnet_helpers.study.run import _add_rows, _read_results
from magnet_helpers.study.tables import accuracy_frame, confidence_frame, cost_frame, smallest_change_frame
from magnet_helpers.study.threats import all_threats, confident_threats

DAE, SDAE = (MagNetSpec(name, VANILLA) for name in ("DAE", "SDAE"))
THREATS = all_threats(FAST)
GREY, WHITE, ITERATED = THREATS.fgsm_grey_box, THREATS.fgsm_white_box, THREATS.pgd_white_box
ADAPTIVE, SMALLEST, ADAPTIVE_SMALLEST = THREATS.pgd_detectors_known, THREATS.ddn, THREATS.carlini_wagner


def bits(text: str) -> torch.Tensor:
    return torch.tensor([letter == "1" for letter in text])


def row(threat: Threat, seed: int, right: str, sizes: list[float] | None = None, defense=DAE, **changes) -> Row:
    fast = {"budget": "fast", "classifier_epochs": FAST.classifier_epochs}
    return plain_row(defense, threat, bits(right), seed, sizes, **fast | changes)


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
    results = Results(ROWS)
    assert torch.equal(results.worst_case(DAE), torch.stack([bits("10100000"), bits("00000000")]))
    assert torch.equal(results.worst_case(DAE, [GREY]), results.not_fooled(DAE, GREY))
    assert results.worst_case(SDAE) is None


def test_an_attack_without_a_bound_is_no_part_of_the_worst_case_within_one():
    alone = Results(ROWS[:4])
    assert torch.equal(alone.worst_case(DAE), Results(ROWS).worst_case(DAE))


@pytest.mark.parametrize("other", [row(WHITE, 0, "1111"), row(WHITE, 2, "11110000")], ids=["images", "seed"])
def test_a_worst_case_over_other_images_or_seeds_is_refused(other):
    with pytest.raises(ValueError, match="per image: attacks on DAE need the same seeds and images"):
        Results([*ROWS, other]).worst_case(DAE)


@pytest.mark.parametrize("ask", ["not_fooled", "gain", "crossed"])
def test_other_numbers_of_images_are_not_averaged_or_compared(ask):
    shorter = row(WHITE if ask == "gain" else GREY, 1, "1111")
    results = Results([ROWS[0], shorter, row(WHITE, 0, "1111")])
    asked = {
        "not_fooled": lambda: results.not_fooled(DAE, GREY),
        "gain": lambda: results.gain((DAE, GREY), (DAE, WHITE)),
        "crossed": lambda: results.crossed(DAE, GREY),
    }
    with pytest.raises(ValueError, match=r"needs the same images, got n = 8 \(seed 0 of DAE .*\) and 4 \(seed"):
        asked[ask]()


def test_accuracies_are_means_over_seeds_and_images():
    results = Results(ROWS)
    assert results.accuracy(DAE, GREY) == estimate(torch.stack([bits("11110000"), bits("11111100")]))
    assert results.accuracy(DAE, GREY).value == 10 / 16
    with pytest.raises(KeyError, match="SDAE was not measured under FGSM"):
        results.not_fooled(SDAE, GREY)
    assert results.accuracy(SDAE, GREY) is None


def test_the_order_of_the_rows_does_not_matter():
    assert torch.equal(Results(ROWS[::-1]).not_fooled(DAE, GREY), Results(ROWS).not_fooled(DAE, GREY))
    assert torch.equal(Results(ROWS[::-1]).sizes(DAE, SMALLEST), Results(ROWS).sizes(DAE, SMALLEST))


def test_what_was_not_fooled_has_no_smallest_change():
    sizes = Results(ROWS).sizes(DAE, SMALLEST)
    assert sizes[0].tolist() == [torch.inf, 1, 2, 3, 4, 5, 6, 7]
    assert Results(ROWS).sizes(DAE, GREY) is None, "a bounded attack says nothing about it"


def test_a_security_curve_takes_the_smallest_change_of_all_attacks():
    more = [row(ADAPTIVE_SMALLEST, seed, "00000000", [8, 0.5, 8, 8, 8, 8, 8, 0.5]) for seed in (0, 1)]
    results = Results([*ROWS, *more])
    curve = results.security_curve(DAE, [0, 0.5, 2, 100])
    # seed 0: 8, .5, 2, 3, 4, 5, 6, .5; seed 1: 1, .5, 1, 1, 1, 1, 1, .5
    assert [each.value for each in curve] == [1, 12 / 16, 5 / 16, 0]
    one = Results([each for each in ROWS if each.reformer_seed == 0])
    assert one.security_curve(DAE, [3.5])[0] == Accuracy(5, 8) == measured(one.smallest_change(DAE) > 3.5)
    with pytest.raises(ValueError, match=f"no attack without a bound on DAE among {GREY.name}"):
        results.security_curve(DAE, [1.0], [GREY])


def test_the_smallest_change_is_over_the_same_seeds():
    other = row(ADAPTIVE_SMALLEST, 2, "00000000", [1] * 8)
    with pytest.raises(ValueError, match="per image: attacks on DAE need the same seeds and images"):
        Results([*ROWS, other]).smallest_change(DAE)


def test_a_measurement_has_one_row():
    with pytest.raises(ValueError, match="different measurements, got two of"):
        Results([*ROWS, row(GREY, 1, "1111")])


def test_two_runs_may_add_to_one_file_at_once(tmp_path):
    path = tmp_path / "deep" / "fast.csv"
    rows = [[row(GREY, seed, "1111") for seed in range(first, 40, 2)] for first in (0, 1)]

    def add(ours):
        for each in ours:
            _add_rows(path, [each])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add, rows))
    assert sorted(each.reformer_seed for each in _read_results(path)) == list(range(40))


def test_rows_of_two_budgets_are_refused():
    with pytest.raises(ValueError, match="one dataset and one budget"):
        Results([*ROWS, row(GREY, 0, "1111", budget="paper")])


def test_the_note_says_where_the_numbers_come_from():
    assert Results(ROWS).note == "MNIST · fast budget (not the paper's) · seeds 0, 1 · n = 8"
    assert Results([]).note == "no results"


# ---- tables


def test_the_table_has_an_interval_in_every_cell():
    one = accuracy_frame(
        Results([each for each in ROWS if each.reformer_seed == 0]), [DAE], [GREY, ITERATED, WHITE], worst_case=True
    )
    assert one.loc["DAE", GREY.name] == str(Accuracy(4, 8))
    assert one.loc["DAE", "worst case"] == str(Accuracy(2, 8))
    assert one.loc["DAE", WHITE.name] == "–"
    several = accuracy_frame(Results(ROWS), [DAE], [GREY, SMALLEST], worst_case=True)
    assert several.loc["DAE", GREY.name] == Results(ROWS).accuracy(DAE, GREY).in_percent()
    assert list(accuracy_frame(Results(ROWS), [DAE], [GREY]).columns) == [GREY.name]
    assert several.loc["DAE", "worst case"] == several.loc["DAE", GREY.name], (
        "of the columns that are shown and bounded"
    )


def test_a_number_of_fewer_seeds_than_its_table_says_so():
    rows = [row(threat, seed, "1100") for threat in (GREY, WHITE) for seed in (0, 1, 2)]
    whole = accuracy_frame(Results(rows), [DAE], [GREY, WHITE], worst_case=True)
    assert "without" not in whole.to_string()
    filtered = Results(rows[:-2])
    assert filtered.note.endswith("seeds 0, 1, 2 · n = 4")
    frame = accuracy_frame(filtered, [DAE], [GREY, WHITE])
    assert frame.loc["DAE", GREY.name] == whole.loc["DAE", GREY.name]
    assert frame.loc["DAE", WHITE.name] == f"{Accuracy(2, 4)} (without seeds 1, 2)"
    beside = accuracy_frame(filtered, [DAE], [GREY, WHITE], beside_paper=True)
    assert beside.loc["DAE", "seeds"] == 3
    assert beside.loc["DAE", "white box, ours"].endswith(" (without seeds 1, 2)")


def test_never_in_several_seeds_has_an_interval_too():
    rows = [row(GREY, seed, "00000000") for seed in (0, 1)]
    # 0 of 8 images is compatible with every share p for which (1 - p)^8 > 0.025
    assert (
        accuracy_frame(Results(rows), [DAE], [GREY]).loc["DAE", GREY.name]
        == f"0.0 ± {100 * (1 - 0.025 ** (1 / 8)):.1f}"
    )


# ---- the file


def test_results_files_grow_and_keep_what_is_there(tmp_path):
    path = tmp_path / "attacks.csv"
    _add_rows(path, ROWS[:2])
    newer = row(GREY, 0, "00000000")
    _add_rows(path, [ROWS[2], newer])
    assert _read_results(path) == [newer, ROWS[1], ROWS[2]]
    assert len({line.identity for line in ROWS}) == len(ROWS)


def test_the_projects_own_study_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no made_up_attacks\.csv in .*attack"):
        load_attack_results("made_up")
    _add_rows(tmp_path / "data" / "results" / "made_up_attacks.csv", [row(GREY, 0, "1101")])
    assert load_attack_results("made_up").accuracy(DAE, GREY) == Accuracy(3, 4)


# ---- more tables


def test_the_worst_case_of_detectors_waits_for_the_attack_that_knows_them():
    weak = [row(GREY, 0, "1111", defense=MAGNET)]
    frame = accuracy_frame(Results(weak), [MAGNET], [GREY, ADAPTIVE], worst_case=True)
    assert list(frame.loc[MAGNET.label]) == [str(Accuracy(4, 4)), "–", "–"]
    both = [*weak, row(ADAPTIVE, 0, "1000", defense=MAGNET)]
    frame = accuracy_frame(Results(both), [MAGNET], [GREY, ADAPTIVE], worst_case=True)
    assert frame.loc[MAGNET.label, "worst case"] == str(Accuracy(1, 4))


def test_a_study_without_confident_images_has_no_rows_of_them():
    assert confidence_frame(Results(ROWS), ElasticNet).empty


def test_tables_of_confidence_change_and_cost():
    first, second, *others = confident_threats(FAST, ElasticNet)
    rows = [row(first, 0, "1100", defense=part, made=3, seconds=2.0) for part in MAGNETS_PARTS]
    rows += [row(second, 0, "1000", defense=part, made=4, seconds=4.0) for part in MAGNETS_PARTS]
    frame = confidence_frame(Results(rows), ElasticNet)
    assert list(frame.index) == ["0", "5"]
    assert frame.loc["5", "MagNet, complete"] == str(Accuracy(1, 4))
    assert frame.loc["5", "MagNet, complete, Lu et al."] == "44.4"
    assert list(frame["made"]) == ["3 of 4", "4 of 4"]
    costs = cost_frame(Results(rows), [*others, second, first])
    assert costs["seconds"].to_dict() == {"EAD, κ = 0": "2.0", "EAD, κ = 5": "4.0"}
    sizes = smallest_change_frame(Results(ROWS), [DAE])
    assert sizes.loc["DAE"].to_dict() == {"25 %": "1.00", "median": "1.00", "75 %": "4.00"}


# ---- other papers


def test_every_published_curve_has_a_number_for_each_confidence():
    assert all(len(percents) == len(LU_CONFIDENCES) for percents in LU.values())
    assert all(0 <= percent <= 100 for percents in LU.values() for percent in percents)
    for attack in ("C&W", "EAD"):
        both = LU[attack, "reformer and detectors"]
        assert min(both) < min(both[0], both[-1]), "the dip"
