"""The ledger: what the paper claims, what it shows for it, what several seeds of ours show, and a verdict.

A claim is a difference of two accuracies (or a count of collapses) and a threshold. The rule is the same for all: it
*holds* if the whole 95 % interval of our difference lies where the claim says, *does not hold* if the whole interval
lies elsewhere, and is *undecided* otherwise. One seed is never enough for a verdict.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from magnet_helpers.defenses import NO_REFORMER, VANILLA, Defense, contractive, denoising, stacked
from magnet_helpers.intervals import Estimate, difference, estimate, share
from magnet_helpers.lab.budget import get_budget
from magnet_helpers.lab.lab import PAPER_ATTACK
from magnet_helpers.study.published import Setting, paper_number
from magnet_helpers.study.reproduce import STRONG_ATTACK, TRUE_LABELS_ATTACK, Row
from magnet_helpers.study.result_files import check_one_kind, note_of, unpack_bits

Verdict = Literal["holds", "does not hold", "undecided"]
Key = tuple[Defense, Setting, str]
FGSM_SETTINGS, PGD_SETTINGS, TRUE_LABELS_SETTINGS = map(repr, (PAPER_ATTACK, STRONG_ATTACK, TRUE_LABELS_ATTACK))


class Results:
    """Rows of one results file, asked by defence, setting, attack and the classifier's length of training.

    Args:
        rows: as `result_files.read_rows` returns them; of one dataset and one budget.

    Raises:
        ValueError: if the rows are of several datasets or budgets: numbers of different budgets are never mixed.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)
        check_one_kind(self.rows)
        self.epochs = get_budget(self.rows[0].budget).classifier_epochs if self.rows else 0

    @property
    def seeds(self) -> list[int]:
        """Every seed of a reformer or classifier."""
        return sorted({seed for row in self.rows for seed in (row.classifier_seed, row.reformer_seed)})

    @property
    def note(self) -> str:
        """Dataset, budget, seeds and number of images: they stand with every number."""
        return note_of(self.rows, self.seeds)

    def under(self, attack: str) -> "Results":
        """Return the rows of one attack, so that `note` names their images alone."""
        return Results(row for row in self.rows if row.attack == attack)

    def find(
        self, defense: Defense, setting: Setting, attack: str = FGSM_SETTINGS, epochs: int | None = None
    ) -> dict[int, Row]:
        """Return the rows of a cell by seed, reformer and classifier of the same seed; empty if it was not measured.

        Args:
            defense: which defence.
            setting: clean, grey or white box.
            attack: the attack with its settings.
            epochs: of the classifier's training; default: the budget's.
        """
        wanted = (defense.label, setting, attack, self.epochs if epochs is None else epochs)
        return {
            row.reformer_seed: row
            for row in self.rows
            if (row.defence, row.setting, row.attack, row.classifier_epochs) == wanted
            and row.classifier_seed == row.reformer_seed
        }

    def right(self, key: Key, seeds: Sequence[int], epochs: int | None = None) -> Tensor:
        """Return which answers were right, booleans (S, N), for these seeds."""
        found = self.find(*key, epochs)
        return torch.stack([unpack_bits(found[seed].right, found[seed].n) for seed in seeds])

    def accuracy(
        self, defense: Defense, setting: Setting, attack: str = FGSM_SETTINGS, epochs: int | None = None
    ) -> Estimate | None:
        """Return the mean accuracy over all seeds; None if the cell was not measured."""
        seeds = sorted(self.find(defense, setting, attack, epochs))
        return estimate(self.right((defense, setting, attack), seeds, epochs)) if seeds else None

    def gain(self, first: Key, second: Key) -> Estimate | None:
        """Return by how much the second is more accurate than the first, paired; None if they share no seed."""
        seeds = sorted(set(self.find(*first)) & set(self.find(*second)))
        return difference(self.right(first, seeds), self.right(second, seeds)) if seeds else None

    def jacobian(self, defense: Defense, setting: Setting = "clean") -> dict[int, float]:
        """Return the measured ‖J‖²_F of a contractive autoencoder by seed, of the seeds that have this setting."""
        found = self.find(defense, setting)
        return {seed: row.jacobian for seed, row in found.items() if row.jacobian is not None}

    def gain_at_equal_jacobian(self, defense: Defense, curve: Sequence[Defense], setting: Setting) -> Estimate | None:
        """Return by how much a defence is more accurate than one of a family with the same measured ‖J‖²_F would be.

        For each seed and image, the answer of the family at that norm is interpolated, linearly in log ‖J‖²_F, between
        its two nearest members. Seeds where the norm lies outside of the family's are left out.

        Args:
            defense: a contractive autoencoder.
            curve: the family, for example the paper's penalty for several λ.
            setting: clean, grey or white box.

        Returns:
            The paired difference; None if no seed is left.
        """
        pairs = []
        for seed, own in self.jacobian(defense, setting).items():
            family = {each: norms[seed] for each in curve if (norms := self.jacobian(each, setting)).get(seed)}
            below = [each for each, norm in family.items() if norm <= own]
            above = [each for each, norm in family.items() if norm >= own]
            if own and below and above:  # a collapsed one's norm is 0
                ends = max(below, key=family.__getitem__), min(above, key=family.__getitem__)
                low, high = (math.log(family[each]) for each in ends)
                share_of_high = (math.log(own) - low) / (high - low) if high > low else 0.0
                first, second = (self.right((each, setting, FGSM_SETTINGS), [seed])[0].double() for each in ends)
                theirs = (1 - share_of_high) * first + share_of_high * second
                pairs.append((theirs, self.right((defense, setting, FGSM_SETTINGS), [seed])[0].double()))
        if not pairs:
            return None
        return difference(*(torch.stack(each) for each in zip(*pairs, strict=True)))

    def crossed(self, defense: Defense, setting: Setting) -> dict[tuple[int, int], float]:
        """Return the accuracy for each pair (classifier's seed, reformer's seed) that was measured."""
        wanted = (defense.label, setting, FGSM_SETTINGS, self.epochs)
        return {
            (row.classifier_seed, row.reformer_seed): row.correct / row.n
            for row in self.rows
            if (row.defence, row.setting, row.attack, row.classifier_epochs) == wanted
        }


@dataclass(frozen=True)
class Claim:
    """One claim: `second` is more accurate than `first` by more than `threshold`.

    Attributes:
        text: in one line.
        first: what is compared with.
        second: what should be better.
        threshold: as a share: 0 for "better", −0.01 for "at most one point worse".
        remark: what a reader should know to weigh the number, whatever the verdict.
    """

    text: str
    first: Key
    second: Key
    threshold: float = 0.0
    remark: str = ""

    @property
    def papers(self) -> float | None:
        """The paper's difference in points; None if it prints no such numbers."""
        if {self.first[2], self.second[2]} != {FGSM_SETTINGS}:
            return None
        first, second = (paper_number(defense, setting) for defense, setting, _ in (self.first, self.second))
        return second.percent - first.percent if first and second else None

    def verdict(self, gain: Estimate | None) -> Verdict:
        """Return the verdict on our own difference."""
        if gain is None or gain.n_seeds < 2:
            return "undecided"
        low, high = gain.interval
        if low > self.threshold:
            return "holds"
        return "does not hold" if high < self.threshold else "undecided"

    def why(self, gain: Estimate | None) -> str:
        """Return what the verdict rests on, and the remark."""
        limit = f"{100 * self.threshold:+.0f}" if self.threshold else "0"
        reasons = {
            "holds": f"the whole interval is above {limit}",
            "does not hold": f"the whole interval is below {limit}",
            "undecided": f"the interval includes {limit}",
        }
        reason = reasons[self.verdict(gain)]
        if gain is None:
            reason = "not measured"
        elif gain.n_seeds < 2:
            reason = "one seed is no evidence"
        return f"{reason}; {self.remark}" if self.remark else reason


def _grey(defense: Defense, attack: str = FGSM_SETTINGS) -> Key:
    return defense, "grey_box", attack


def _white(defense: Defense, attack: str = FGSM_SETTINGS) -> Key:
    return defense, "white_box", attack


def _clean(defense: Defense) -> Key:
    return defense, "clean", FGSM_SETTINGS


_DAE, _SDAE_2, _SDAE_3, _CAE = denoising(0.4), stacked(2, 0.4), stacked(3, 0.4), contractive(1e-3)

CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(
            f"{each.label} raises accuracy under FGSM (grey box)",
            _white(NO_REFORMER),
            _grey(each),
            remark="beside the classifier alone, on the same attacked images",
        )
        for each in (VANILLA, _DAE, _SDAE_3, _CAE)
    ),
    Claim("denoising beats vanilla (grey box)", _grey(VANILLA), _grey(_DAE)),
    Claim("denoising beats vanilla (white box)", _white(VANILLA), _white(_DAE)),
    Claim("a stack of two beats one denoising autoencoder (grey box)", _grey(_DAE), _grey(_SDAE_2)),
    Claim("a stack of two beats one denoising autoencoder (white box)", _white(_DAE), _white(_SDAE_2)),
    Claim("a third autoencoder helps in the grey box", _grey(_SDAE_2), _grey(_SDAE_3)),
    Claim("a third autoencoder does not help in the white box", _white(_SDAE_3), _white(_SDAE_2)),
    *(
        Claim(
            f"{each.label} costs less than 1 point of clean accuracy",
            _clean(NO_REFORMER),
            _clean(each),
            -0.01,
            "the paper claims it of all; its own SDAE(2) and SDAE(3) lose more",
        )
        for each in (VANILLA, _DAE, _SDAE_2, _SDAE_3, _CAE)
    ),
    Claim("the contractive autoencoder is worse than the denoising one (grey box)", _grey(_CAE), _grey(_DAE)),
    Claim("the contractive penalty helps (grey box, beside λ = 0)", _grey(contractive(0.0)), _grey(_CAE)),
    Claim("the contractive penalty helps (white box, beside λ = 0)", _white(contractive(0.0)), _white(_CAE)),
    *(
        Claim(f"a penalty a hundred times as strong helps ({name} box, λ = 0.1 beside λ = 0)", *pair)
        for name, pair in {
            "grey": (_grey(contractive(0.0)), _grey(contractive(0.1))),
            "white": (_white(contractive(0.0)), _white(contractive(0.1))),
        }.items()
    ),
    *(
        Claim(
            f"{each.label}: the white box is easier to survive than the grey box",
            _grey(each),
            _white(each),
            remark="no robustness: who knows the reformer can replay the grey-box images",
        )
        for each in (VANILLA, denoising(0.3))
    ),
    *(
        Claim(
            f"{each.label}: the same under PGD, 100 steps and 5 restarts",
            _grey(each, PGD_SETTINGS),
            _white(each, PGD_SETTINGS),
            remark="a stronger attack on the same networks, with the true labels",
        )
        for each in (VANILLA, denoising(0.3))
    ),
)

LOW_NOISE: tuple[Defense, ...] = tuple(
    defense for level in (0.1, 0.2) for defense in (denoising(level), denoising(level).but(start="keras"))
)


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    Attributes:
        claim: in one line.
        paper: the paper's difference in points, or its count.
        ours: our difference in points with its 95 % interval, or our count.
        seeds: how many seeds of ours.
        verdict: by the rule at the top of this module.
        gain: our difference; None for counts and for what was not measured.
        papers_gain: the paper's difference in points; None if it prints no such numbers.
        threshold: what our difference is held against, in points.
        why: what the verdict rests on.
    """

    claim: str
    paper: str
    ours: str
    seeds: int
    verdict: Verdict
    gain: Estimate | None = None
    papers_gain: float | None = None
    threshold: float = 0.0
    why: str = ""


def ledger_entries(results: Results) -> list[Entry]:
    """Return the ledger: a line for each claim, and for each low noise level whether its training collapses."""
    entries = []
    for claim in CLAIMS:
        gain = results.gain(claim.first, claim.second)
        papers = "–" if claim.papers is None else f"{claim.papers:+.1f}"
        ours = "not measured" if gain is None else gain.in_percent(signed=True)
        seeds = gain.n_seeds if gain else 0
        verdict, why = claim.verdict(gain), claim.why(gain)
        entries.append(Entry(claim.text, papers, ours, seeds, verdict, gain, claim.papers, 100 * claim.threshold, why))
    return entries + [_collapse(results, defense) for defense in LOW_NOISE]


def _collapse(results: Results, defense: Defense) -> Entry:
    found = results.find(defense, "clean")
    count = sum(row.collapsed for row in found.values())
    text = f"{defense.label} does not converge (its output is constant)"
    if not found:
        return Entry(text, "1 of 1", "not measured", 0, "undecided", why="not measured")
    low, high = share(count, len(found))
    # "It does not converge" is refuted by trainings that do; that some do and some do not decides nothing.
    verdict: Verdict = "undecided"
    if len(found) > 1 and count in (0, len(found)):
        verdict = "holds" if count else "does not hold"
    ours = f"{count} of {len(found)} [{100 * low:.0f}, {100 * high:.0f}] %"
    whys = {
        "holds": "every training collapsed",
        "does not hold": "no training collapsed",
        "undecided": "some trainings collapsed" if len(found) > 1 else "one seed is no evidence",
    }
    return Entry(text, "1 of 1", ours, len(found), verdict, why=whys[verdict])
