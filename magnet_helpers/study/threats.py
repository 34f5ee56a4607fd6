"""What the studies put defences to: the paper's attack and its variants, and every attack of lesson 09.

The attacks on every defence go from what the paper did to what an attacker would do, with a budget's steps.
"""

from typing import NamedTuple

from magnet_helpers.attacks import (
    DDN,
    FGSM,
    PGD,
    Attack,
    CarliniWagner,
    DetectorAwareCarliniWagner,
    DetectorAwarePGD,
    ElasticNet,
    Knowledge,
    Square,
    Threat,
)
from magnet_helpers.lab.budget import Budget
from magnet_helpers.lab.lab import PAPER_ATTACK

# The paper's three settings: FGSM on predicted labels.
CLEAN, GREY_BOX, WHITE_BOX = (
    Threat(PAPER_ATTACK, knows) for knows in (Knowledge.NOTHING, Knowledge.CLASSIFIER, Knowledge.REFORMER)
)
PAPERS_SETTINGS = (CLEAN, GREY_BOX, WHITE_BOX)
TRUE_LABELS_ATTACK = FGSM(PAPER_ATTACK.epsilon, labels="given")
STRONG_ATTACK = PGD(epsilon=0.3, labels="given", steps=100, step_size=0.01, restarts=5)


class Threats(NamedTuple):
    """The attacks on every defence; all but the last two keep every pixel within the paper's ε = 0.3.

    The last two look for the smallest change in L2.
    """

    fgsm_grey_box: Threat
    fgsm_white_box: Threat
    pgd_grey_box: Threat
    pgd_own_autoencoders: Threat
    square: Threat
    pgd_white_box: Threat
    pgd_detectors_known: Threat
    ddn: Threat
    carlini_wagner: Threat

    @property
    def within_epsilon(self) -> tuple[Threat, ...]:
        """Those that keep within ε."""
        return self[:7]

    @property
    def without_bound(self) -> tuple[Threat, ...]:
        """Those that look for the smallest change."""
        return self[7:]


def all_threats(budget: Budget) -> Threats:
    """Return the attacks on every defence, with a budget's steps."""
    epsilon = PAPER_ATTACK.epsilon
    steps = budget.attack_steps
    iterated = PGD(epsilon, "given", steps=steps, step_size=4 * epsilon / steps, restarts=budget.attack_restarts)
    # One attempt, from the image itself: a random start is rough, and detectors see roughness to the end.
    # docs/attacks.md has what else was tried.
    careful = DetectorAwarePGD(epsilon, "given", steps=steps, step_size=10 * epsilon / steps)
    square = Square(epsilon, queries=budget.queries)
    return Threats(
        Threat(PAPER_ATTACK, Knowledge.CLASSIFIER),
        Threat(PAPER_ATTACK, Knowledge.REFORMER),
        Threat(iterated, Knowledge.CLASSIFIER),
        Threat(iterated, Knowledge.OWN_AUTOENCODERS),
        Threat(square, Knowledge.REFORMER, "Square, answers only"),
        Threat(iterated, Knowledge.REFORMER),
        Threat(careful, Knowledge.EVERYTHING, "PGD, detectors known"),
        Threat(DDN(budget.attack_steps), Knowledge.REFORMER),
        Threat(_search(DetectorAwareCarliniWagner, budget), Knowledge.EVERYTHING, "C&W, detectors known"),
    )


def confident_threats(budget: Budget, kind: type[CarliniWagner] | type[ElasticNet]) -> tuple[Threat, ...]:
    """Return one attack for each confidence κ, on the classifier alone: its image has to be wrong by κ logits.

    Args:
        budget: its `confidences`, `search_steps` and `searches`.
        kind: `CarliniWagner` or `ElasticNet`.
    """
    name = {CarliniWagner: "C&W", ElasticNet: "EAD"}[kind]
    return tuple(
        Threat(_search(kind, budget, confidence), Knowledge.CLASSIFIER, f"{name}, κ = {confidence:g}")
        for confidence in budget.confidences
    )


def _search(kind: type[CarliniWagner] | type[ElasticNet], budget: Budget, confidence: float = 0.0) -> Attack:
    # With fewer steps longer ones: C&W has to go far for a large κ. More than 0.2 and its tanh saturates.
    rate = 0.05 if kind is ElasticNet else min(0.2, 10 / budget.search_steps)
    return kind(confidence, budget.search_steps, budget.searches, learning_rate=rate, first_c=1.0)
