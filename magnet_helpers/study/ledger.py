"""The ledger: what the paper claims, what it shows for it, what several seeds of ours show, and a verdict.

A claim is a difference of two accuracies (or a count of collapses) and a threshold. The rule is the same for all: it
*holds* if the whole 95 % interval of our difference lies where the claim says, *does not hold* if the whole interval
lies elsewhere, and is *undecided* otherwise. One seed is never enough for a verdict.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from magnet_helpers.attacks import Knowledge, Threat
from magnet_helpers.defenses import NO_REFORMER, VANILLA, Defense, contractive, denoising, stacked
from magnet_helpers.intervals import Estimate, share
from magnet_helpers.study.published import paper_number
from magnet_helpers.study.results import Results
from magnet_helpers.study.threats import CLEAN, GREY_BOX, STRONG_ATTACK, WHITE_BOX

Verdict = Literal["holds", "does not hold", "undecided"]
Key = tuple[Defense, Threat]


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
        first, second = (paper_number(*key) for key in (self.first, self.second))
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


def _grey(defense: Defense) -> Key:
    return defense, GREY_BOX


def _white(defense: Defense) -> Key:
    return defense, WHITE_BOX


def _clean(defense: Defense) -> Key:
    return defense, CLEAN


def _strong(defense: Defense, knows: Knowledge) -> Key:
    return defense, Threat(STRONG_ATTACK, knows)


_DAE, _SDAE_2, _SDAE_3, _CAE = denoising(0.4), stacked(2, 0.4), stacked(3, 0.4), contractive(1e-3)

CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(
            f"{defense.label} raises accuracy under FGSM (grey box)",
            _white(NO_REFORMER),
            _grey(defense),
            remark="beside the classifier alone, on the same attacked images",
        )
        for defense in (VANILLA, _DAE, _SDAE_3, _CAE)
    ),
    Claim("denoising beats vanilla (grey box)", _grey(VANILLA), _grey(_DAE)),
    Claim("denoising beats vanilla (white box)", _white(VANILLA), _white(_DAE)),
    Claim("a stack of two beats one denoising autoencoder (grey box)", _grey(_DAE), _grey(_SDAE_2)),
    Claim("a stack of two beats one denoising autoencoder (white box)", _white(_DAE), _white(_SDAE_2)),
    Claim("a third autoencoder helps in the grey box", _grey(_SDAE_2), _grey(_SDAE_3)),
    Claim("a third autoencoder does not help in the white box", _white(_SDAE_3), _white(_SDAE_2)),
    *(
        Claim(
            f"{defense.label} costs less than 1 point of clean accuracy",
            _clean(NO_REFORMER),
            _clean(defense),
            -0.01,
            "the paper claims it of all; its own SDAE(2) and SDAE(3) lose more",
        )
        for defense in (VANILLA, _DAE, _SDAE_2, _SDAE_3, _CAE)
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
            f"{defense.label}: the white box is easier to survive than the grey box",
            _grey(defense),
            _white(defense),
            remark="no robustness: who knows the reformer can replay the grey-box images",
        )
        for defense in (VANILLA, denoising(0.3))
    ),
    *(
        Claim(
            f"{defense.label}: the same under PGD, 100 steps and 5 restarts",
            _strong(defense, Knowledge.CLASSIFIER),
            _strong(defense, Knowledge.REFORMER),
            remark="a stronger attack on the same networks, with the true labels",
        )
        for defense in (VANILLA, denoising(0.3))
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
        shared = set(results.find(*claim.first)) & set(results.find(*claim.second))
        verdict, why = claim.verdict(gain), _marked(claim.why(gain), results, shared)
        entries.append(Entry(claim.text, papers, ours, seeds, verdict, gain, claim.papers, 100 * claim.threshold, why))
    return entries + [_collapse(results, defense) for defense in LOW_NOISE]


def _marked(why: str, results: Results, seeds: Collection[int]) -> str:
    """Return what a verdict rests on, and after it which of the results' seeds were not there for it."""
    missing = results.without(seeds) if seeds else ""
    return f"{why}; {missing}" if missing else why


def _collapse(results: Results, defense: Defense) -> Entry:
    rows = results.find(defense)
    count = sum(bool(row.collapsed) for row in rows.values())
    text = f"{defense.label} does not converge (its output is constant)"
    if not rows:
        return Entry(text, "1 of 1", "not measured", 0, "undecided", why="not measured")
    low, high = share(count, len(rows))
    # "It does not converge" is refuted by trainings that do; that some do and some do not decides nothing.
    verdict: Verdict = "undecided"
    if len(rows) > 1 and count in (0, len(rows)):
        verdict = "holds" if count else "does not hold"
    ours = f"{count} of {len(rows)} [{100 * low:.0f}, {100 * high:.0f}] %"
    whys = {
        "holds": "every training collapsed",
        "does not hold": "no training collapsed",
        "undecided": "some trainings collapsed" if len(rows) > 1 else "one seed is no evidence",
    }
    return Entry(text, "1 of 1", ours, len(rows), verdict, why=_marked(whys[verdict], results, rows))
