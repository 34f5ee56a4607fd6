"""Numbers of the kept results that stand in prose: computed here from `data/results/`, and looked for as they are."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from magnet_helpers.attacks import Knowledge, Threat
from magnet_helpers.defenses import NO_REFORMER, VANILLA, Defense, contractive, denoising, stacked
from magnet_helpers.lab.budget import BUDGETS, FAST, PAPER, SMOKE
from magnet_helpers.study.differences import crossed_frame, variant_frame
from magnet_helpers.study.grid import (
    GRID,
    MAGNET,
    NOISE_LEVELS,
    OTHER_PENALTIES,
    STACK_SIZES,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    UNDER_ATTACK,
)
from magnet_helpers.study.ledger import ledger_entries
from magnet_helpers.study.plan import protocol
from magnet_helpers.study.published import paper_number
from magnet_helpers.study.results import Results, load_attack_results, load_results
from magnet_helpers.study.threats import (
    CLEAN,
    GREY_BOX,
    PAPERS_SETTINGS,
    STRONG_ATTACK,
    WHITE_BOX,
    all_threats,
)

ROOT = Path(__file__).parents[2]
THREATS = all_threats(PAPER)
PGD_GREY, PGD_WHITE = (Threat(STRONG_ATTACK, knows) for knows in (Knowledge.CLASSIFIER, Knowledge.REFORMER))
WORDS = dict(enumerate(["no", "one", "two", "three", "four", "five", "six", "seven", "eight"]))
results, attack_results = cache(load_results), cache(load_attack_results)


def text_of(document: str) -> str:
    lines = (ROOT / document).read_text(encoding="utf-8").splitlines()
    return " ".join(" ".join(line.removeprefix("#") for line in lines).split())


def gain(budget: str, first: Defense, second: Defense, threat: Threat, second_threat: Threat | None = None) -> str:
    """Return a difference as prose has it: with a real minus, a gain without its plus."""
    found = results(budget).gain((first, threat), (second, second_threat or threat))
    return found.in_percent(signed=True).replace("-", "−").removeprefix("+")


def percent(study: Results, defense, threat: Threat) -> float:
    return 100 * study.accuracy(defense, threat).value


def by_seed(budget: str, defense: Defense, threat: Threat) -> list[float]:
    return [100 * row.right / row.n for _, row in sorted(results(budget).find(defense, threat).items())]


def printed_differences() -> list:
    return [entry for entry in ledger_entries(results("paper")) if entry.papers_gain is not None]


def count(verdict: str) -> int:
    return sum(entry.verdict == verdict for entry in printed_differences())


def what_the_readme_says() -> Iterator[str]:
    control, strong = contractive(0.0), OTHER_PENALTIES["dense layer"][-1]
    assert count("does not hold") == 0
    yield (
        f"Of the {len(printed_differences())} differences that it prints {count('holds')} hold, {count('undecided')} "
        "are undecided, none falls."
    )
    collapsed = sum(paper_number(defense, CLEAN).percent < 15 for defense in TABLE_2)
    yield f"{collapsed} of its {len(TABLE_2)} denoising rows stand near 10 %; none of ours does"
    low_noise, trained = (
        [denoising(level).but(start="keras") for level in (0.1, 0.2)],
        denoising(0.4).but(start="keras"),
    )
    ends = {f"{right:.2f}" for defense in low_noise for right in by_seed("paper", defense, CLEAN)}
    assert min(by_seed("paper", trained, CLEAN)) > 98
    yield f"noise 0.1 or 0.2 collapses here too, each time to its {' and '.join(ends)} %; with 0.4 it trains"
    yield f"gains a doubtful {gain('paper', control, contractive(1e-3), GREY_BOX)} points in the grey box"
    lost = gain("paper", control, contractive(0.1), WHITE_BOX)
    yield f"loses {lost.removeprefix('−')} in the white box at λ = 0.1"
    yield f"gains {gain('paper', control, strong, GREY_BOX)} in the grey box: the best of fourteen such lines"
    whole = {
        threat: percent(attack_results("paper"), MAGNET, threat)
        for threat in (*THREATS.within_epsilon[:6], *THREATS[6:])
    }
    assert {round(whole[threat]) for threat in THREATS.within_epsilon[2:6]} == {99}
    assert min(whole[threat] for threat in THREATS.within_epsilon[:2]) > 99
    yield "MagNet with detectors keeps about 99 % under those attacks tried here that ignore the detectors"
    yield f"(DDN, bound by no ε) leaves {whole[THREATS.ddn]:.0f} %."
    assert whole[THREATS.carlini_wagner] < 0.1
    yield f"leave at most {whole[THREATS.pgd_detectors_known]:.0f} % within ε, and hardly any where no ε binds"


def test_the_readme_s_findings_that_are_no_number():
    paper, attacked = results("paper"), attack_results("paper")
    assert not any(row.collapsed for defense in TABLE_2 for row in paper.find(defense).values())
    for size in STACK_SIZES:
        order = sorted(NOISE_LEVELS, key=lambda level, size=size: -percent(paper, stacked(size, level), WHITE_BOX))
        assert set(order[:2]) == {0.2, 0.3}, "noise 0.2 and 0.3 give the highest white-box accuracy"
    lines = [
        (defense, threat)
        for family in OTHER_PENALTIES.values()
        for defense in family
        for threat in (GREY_BOX, WHITE_BOX)
    ]
    gains = {line: paper.gain((contractive(0.0), line[1]), line).value for line in lines}
    assert len(gains) == 14
    assert max(gains, key=gains.__getitem__) == (OTHER_PENALTIES["dense layer"][-1], GREY_BOX)
    left = [percent(paper, defense, PGD_WHITE) for defense in TABLE_4]
    left += [percent(attacked, defense, THREATS.pgd_white_box) for defense in UNDER_ATTACK[:-1]]
    assert max(left) < 12, "at most about a tenth"
    for defense in (VANILLA, contractive(1e-3)):
        assert percent(paper, defense, PGD_WHITE) == 0
    assert "many steps through the reformer leave at most about a tenth" in text_of("README.md")


def what_lesson_05_says() -> Iterator[str]:
    pair = contractive(0.0), contractive(0.1)
    grey, white = (gain("paper", *pair, threat) for threat in (GREY_BOX, WHITE_BOX))
    yield f"Over three seeds it was +{gain('fast', *pair, GREY_BOX)} points beside λ = 0"
    yield f"With the paper's budget it was {grey} in the grey box and {white} in the white box."


def what_lesson_07_says() -> Iterator[str]:
    paper, control = results("paper"), contractive(0.0)
    yield f"over three seeds λ = 0.1 is +{gain('fast', control, contractive(0.1), GREY_BOX)} points beside λ = 0"
    yield f"over three seeds it is {gain('fast', control, contractive(1e-3), GREY_BOX)}."
    yield f"the penalty gains {gain('paper', control, contractive(1e-3), GREY_BOX)} points in the grey box"
    yield f"At 0.1 the penalty *costs* {gain('paper', control, contractive(0.1), WHITE_BOX).removeprefix('−')} points"
    dense = OTHER_PENALTIES["dense layer"]
    yield (
        f"beside λ = 0 by {gain('paper', control, dense[3], GREY_BOX)} points in the grey box at λ = 1, and by "
        f"{gain('paper', control, dense[2], WHITE_BOX)} in the white box at 0.1"
    )
    yield f"{gain('fast', control, dense[2], WHITE_BOX)} points in the white box at 0.1 being the only line"
    differences = [paper.gain((VANILLA, threat), (denoising(0.4), threat)).value for threat in (GREY_BOX, WHITE_BOX)]
    yield "denoising beats vanilla by {:.0f} and {:.0f} points".format(*(100 * each for each in differences))
    printed = len(printed_differences())
    yield f"Of the {printed} differences that it prints {count('holds')} hold, {count('undecided')} are undecided"
    fast = {entry.claim: entry.verdict for entry in ledger_entries(results("fast"))}
    fell = [entry for entry in printed_differences() if fast[entry.claim] == "does not hold"]
    yield f"Of these {printed} {WORDS[len(fell)]} fell with the fast budget, and none falls here."
    two, three = (gain("paper", NO_REFORMER, stacked(size, 0.4), CLEAN) for size in (2, 3))
    yield f"what a stack costs in clean accuracy ({two} for two and {three} for three"
    third = gain("paper", stacked(2, 0.4), stacked(3, 0.4), WHITE_BOX)
    yield f"it helps by {third} where the paper says that it does not"
    falls = [
        percent(paper, defense, PGD_GREY) - percent(paper, defense, PGD_WHITE) for defense in (VANILLA, denoising(0.3))
    ]
    yield "{:.0f} points less than the grey box for the vanilla autoencoder, {:.0f} less for DAE 0.3".format(*falls)
    yield f"All {len(GRID)} rows of your run"


def test_lesson_07_s_findings_that_are_no_number():
    for seed in range(3):  # "in each of our three runs with this budget, yes to all"
        grey, white = (
            {defense: by_seed("fast", defense, threat)[seed] for defense in TABLE_4} for threat in (GREY_BOX, WHITE_BOX)
        )
        bare, single, cae = white[NO_REFORMER], denoising(0.4), contractive(1e-3)
        assert all(box[defense] > bare for box in (grey, white) for defense in TABLE_4[1:])
        assert all(box[VANILLA] < box[cae] < box[single] for box in (grey, white))
        assert min(grey[stacked(2, 0.4)], grey[stacked(3, 0.4)]) > grey[single]
        assert white[VANILLA] > grey[VANILLA]
    pairs = [
        (paper_number(defense, threat), results("paper").accuracy(defense, threat))
        for defense in {*TABLE_2, *TABLE_3, *TABLE_4}
        for threat in PAPERS_SETTINGS
    ]
    assert not any(number.percent / 100 > ours.interval[1] for number, ours in pairs if number and ours)
    fast = results("fast")
    dense = [
        fast.gain((contractive(0.0), box), (each, box))
        for each in OTHER_PENALTIES["dense layer"]
        for box in (GREY_BOX, WHITE_BOX)
    ]
    assert sum(each.interval[0] > 0 for each in dense) == 1
    assert all(row.collapsed for row in fast.find(OTHER_PENALTIES["published"][-1]).values())
    crossed = crossed_frame(fast)
    attacked = crossed[~crossed.index.str.endswith("clean")]
    assert (attacked["of the classifier"].astype(float) >= attacked["of the reformer"].astype(float)).all()
    variants = variant_frame(results("paper"))
    small = variants[variants.index.str.contains("fixed noise|decoder|noisy")]
    assert len(small) == 4
    assert all(
        abs(float(cell.split()[0])) <= 0.6 for column in ("clean", "grey box", "white box") for cell in small[column]
    )


def what_lesson_09_says() -> Iterator[str]:
    kept = attack_results("paper")
    yield f"the white box is {gain('paper', VANILLA, VANILLA, GREY_BOX, WHITE_BOX)} points *above* the grey box"
    vanilla = [percent(kept, VANILLA, threat) for threat in (GREY_BOX, WHITE_BOX)]
    both = 100 * kept.worst_case(VANILLA, [GREY_BOX, WHITE_BOX]).double().mean().item()
    yield f"the two leave {vanilla[0]:.0f} and {vanilla[1]:.0f} % alone, and {both:.0f} % together"
    boxes = sorted(percent(kept, UNDER_ATTACK[4], threat) for threat in (GREY_BOX, WHITE_BOX))
    yield f"The stack of three keeps {boxes[0]:.0f} to {boxes[1]:.0f} % under the paper's attack"
    assert 40 < percent(kept, UNDER_ATTACK[4], THREATS.pgd_own_autoencoders) < 50
    yield "Under attackers with autoencoders of their own it keeps a little under half"
    assert 25 < percent(kept, UNDER_ATTACK[4], THREATS.square) < 100 / 3
    assert 8 < percent(kept, UNDER_ATTACK[4], THREATS.pgd_white_box) < 12
    yield "less than a third, under PGD through the reformer about a tenth"
    for defense in (UNDER_ATTACK[1], *UNDER_ATTACK[5:7]):
        assert kept.worst_case(defense).sum() == 0
    known = percent(kept, MAGNET, THREATS.pgd_detectors_known)
    yield f"and about {known:.0f} % under the one that follows them."
    yield f"passes more easily, and leaves {percent(kept, MAGNET, THREATS.ddn):.0f} %."
    rows = kept.find(MAGNET, THREATS.pgd_detectors_known)
    yield f"Now it leaves {100 * (rows[0].rejected + rows[0].right) / rows[0].n:.1f} % of that seed"
    medians = {defense.label: kept.smallest_change(defense).flatten().median().item() for defense in UNDER_ATTACK}
    bare, whole = medians["no reformer"], medians[MAGNET.label]
    noisy = sorted(medians[defense.label] for defense in UNDER_ATTACK[2:5])
    yield f"from {bare:.2f} to between {noisy[0]:.2f} and {noisy[-1]:.2f}"
    yield f"({whole:.2f} beside {bare:.2f})"


def what_the_page_of_the_attacks_says() -> Iterator[str]:
    rows = attack_results("paper").find(MAGNET, THREATS.pgd_detectors_known)
    first, second, third = (f"{100 * (row.rejected + row.right) / row.n:.1f}" for _, row in sorted(rows.items()))
    yield f"Now it is {first}, {second} and {third} % (seeds 0, 1, 2), still an upper bound."
    budgets = SMOKE, FAST, PAPER
    assert {budget.name for budget in budgets} == set(BUDGETS)
    steps, starts, questions, images = (
        [getattr(budget, name) for budget in budgets]
        for name in ("attack_steps", "attack_restarts", "queries", "trial_images")
    )
    yield "{}, {}, {} steps; {}, {}, {} random starts".format(*steps, *starts)
    yield "without gradients | {}, {}, {} questions".format(*questions)
    searches = [f"{budget.searches} · {budget.search_steps}" for budget in budgets]
    yield f"{', '.join(searches)} steps, smallest change in L2"
    yield f"Every row has {images[0]}, {images[1]} or {images[2]:,} test images"


def what_the_page_of_the_protocol_says() -> Iterator[str]:
    trained: set = set()

    def gather(task) -> None:
        for parent in task.needs:
            gather(parent)
            trained.update([parent] if type(parent).__name__ == "TrainingSpec" else [])

    for report in protocol(PAPER, [0], ["grid"], 10_000)[0]:
        gather(report)
    yield f"One seed of the grid is {len(trained)} trainings."


SAID: dict[str, Callable[[], Iterator[str]]] = {
    "README.md": what_the_readme_says,
    "docs/attacks.md": what_the_page_of_the_attacks_says,
    "docs/reproduce.md": what_the_page_of_the_protocol_says,
    "notebooks/source/05_contractive_autoencoder.py": what_lesson_05_says,
    "notebooks/source/07_comparison.py": what_lesson_07_says,
    "notebooks/source/09_breaking_magnet.py": what_lesson_09_says,
}


@pytest.mark.parametrize("document", SAID)
def test_numbers_of_the_kept_results_stand_in_the_text_as_they_are(document):
    text = text_of(document)
    assert [phrase for phrase in SAID[document]() if phrase not in text] == []


def test_the_precision_table_counts_its_rows():
    rows = [line for line in (ROOT / "tools/benchmarks/README.md").read_text().splitlines() if line.count("|") == 7]
    measured = [line for line in rows if "clean" in line or "box" in line or "under FGSM" in line]
    assert len(measured) == 14
    for line in measured:
        shift, spread = (float(cell.strip().replace("−", "-")) for cell in line.split("|")[5:7])
        assert abs(shift) <= spread
    assert "All fourteen accuracies agree" in text_of("tools/benchmarks/README.md")
