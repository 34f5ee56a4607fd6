"""What documents say of the kept results: each phrase with its numbers, computed from `data/results/`."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from magnet_helpers.attacks import CarliniWagner, ElasticNet, Knowledge, Threat
from magnet_helpers.defenses import NO_REFORMER, VANILLA, Defense, contractive, denoising, stacked
from magnet_helpers.lab.budget import BUDGETS, FAST, PAPER, SMOKE
from magnet_helpers.study.grid import (
    GRID,
    MAGNET,
    MAGNETS_PARTS,
    OTHER_PENALTIES,
    TABLE_2,
    TABLE_4,
    UNDER_ATTACK,
)
from magnet_helpers.study.ledger import ledger_entries
from magnet_helpers.study.plan import protocol
from magnet_helpers.study.published import LU, LU_CONFIDENCES, paper_number
from magnet_helpers.study.results import Results, load_attack_results, load_results
from magnet_helpers.study.threats import (
    CLEAN,
    GREY_BOX,
    PAPERS_SETTINGS,
    STRONG_ATTACK,
    WHITE_BOX,
    all_threats,
    confident_threats,
)

ROOT = Path(__file__).parents[1]
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
    under_attack = [(defense, box) for defense in TABLE_4 for box in (GREY_BOX, WHITE_BOX)]
    apart = {key: max(by_seed("fast", *key)) - min(by_seed("fast", *key)) for key in under_attack}
    noisy = [round(apart[key]) for key in under_attack if key[0].noise_std]
    yield f"Under attack they differ by {min(noisy)} to {max(noisy)} points for denoising autoencoders and stacks"
    cae = contractive(1e-3)
    two = sorted(round(apart[key]) for key in ((cae, WHITE_BOX), (NO_REFORMER, WHITE_BOX)))
    yield f"by {two[0]} to {two[1]} for the contractive one in the white box and without a reformer"
    assert min(apart[VANILLA, GREY_BOX], apart[VANILLA, WHITE_BOX], apart[cae, GREY_BOX]) > 10
    lost = [defense for defense in TABLE_2 if paper_number(defense, CLEAN).percent < 15]
    kept = {round(percent(paper, defense, CLEAN)) for defense in lost}
    attacked = [
        percent(paper, defense, box) for defense in lost if defense.noise_std > 0.1 for box in (GREY_BOX, WHITE_BOX)
    ]
    yield (
        f"Where the paper stands near 10 %, ours keep {' or '.join(map(str, kept))} % of the clean images, "
        f"and from noise 0.2 on, {min(attacked):.0f} to {max(attacked):.0f} % under attack."
    )
    yield f"Its fall to {paper_number(contractive(0.1), WHITE_BOX).percent:.1f} % in the white box at"
    yield f"and end at {paper_number(denoising(0.1), CLEAN).percent} %, the paper's own number"
    yield "fixed noise, a wider decoder and the stages' noisy inputs move no mean by more than 0.6 points"
    as_variance = denoising(0.4**0.5)
    costs = [100 * paper.gain((denoising(0.4), threat), (as_variance, threat)).value for threat in PAPERS_SETTINGS]
    yield "costs about {:.0f} point of clean accuracy, {:.0f} in the grey box and {:.0f} in the white box".format(
        *(-cost for cost in costs)
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
    yield "MagNet with detectors keeps about 99 % under those of the attacks within ε that ignore"
    yield "adversarially trained network keeps about 88 % under the best attack on the public leaderboard"
    parts = MAGNETS_PARTS[3], MAGNET
    of_ead, of_cw = (
        [[percent(kept, part, threat) for threat in confident_threats(PAPER, kind)] for part in parts]
        for kind in (ElasticNet, CarliniWagner)
    )
    printed = LU["EAD", "reformer and detectors"], LU["EAD", "MagNet, complete"]
    yield f"Under EAD their reformer and detectors fall to about {min(printed[0]):.0f} %"
    at_30 = LU_CONFIDENCES.index(30)
    assert max(abs(of_ead[0][at_30] - later) for later in of_ead[0][at_30:]) < 2, "and stay there"
    yield f"Under EAD reformer and detectors fall to about {of_ead[0][at_30]:.0f} % at κ = 30"
    lowest = min(of_ead[1])
    yield f"The whole MagNet falls to about {lowest:.0f} % at κ = {LU_CONFIDENCES[of_ead[1].index(lowest)]}"
    assert min(min(of_cw[0]), min(of_cw[1])) > 90
    yield "Under C&W both stay above 90 %."


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
