"""What attackers do and what they know: every attack that lesson 09 puts the defences to, with a budget's steps."""

from dataclasses import dataclass
from typing import Literal

from magnet_helpers.attacks import (
    DDN,
    PGD,
    Attack,
    CarliniWagner,
    DetectorAwareCarliniWagner,
    DetectorAwarePGD,
    ElasticNet,
    Square,
)
from magnet_helpers.lab.budget import Budget
from magnet_helpers.lab.lab import PAPER_ATTACK

Knowledge = Literal["classifier", "own autoencoders", "reformer", "everything"]


@dataclass(frozen=True)
class Threat:
    """An attack and what the attacker makes it on.

    Args:
        name: in tables and figures.
        attack: with its settings.
        knows: `"classifier"`: it alone, the grey box; `"own autoencoders"`: it, and reformers that the attacker trained
            himself; `"reformer"`: the defender's reformer and classifier, the white box; `"everything"`: the detectors
            as well.
    """

    name: str
    attack: Attack
    knows: Knowledge


GREY, WHITE = "FGSM, grey box", "FGSM, white box"
TRANSFERRED, OWN, QUERIES = "PGD, grey box", "PGD, own autoencoders", "Square, answers only"
ITERATED, ADAPTIVE = "PGD, white box", "PGD, detectors known"
SMALLEST, ADAPTIVE_SMALLEST = "DDN, white box", "C&W, detectors known"
WITHIN_EPSILON = (GREY, WHITE, TRANSFERRED, OWN, QUERIES, ITERATED, ADAPTIVE)
WITHOUT_BOUND = (SMALLEST, ADAPTIVE_SMALLEST)


def all_threats(budget: Budget) -> tuple[Threat, ...]:
    """Return the attacks on every defence, from what the paper did to what an attacker would do.

    All but the last two keep every pixel within the paper's ε = 0.3. Those two look for the smallest change in L2.
    """
    epsilon = PAPER_ATTACK.epsilon
    steps = budget.attack_steps
    iterated = PGD(epsilon, "given", steps=steps, step_size=4 * epsilon / steps, restarts=budget.attack_restarts)
    # One attempt, from the image itself: a random start is rough, and detectors see roughness to the end.
    # docs/attacks.md has what else was tried.
    careful = DetectorAwarePGD(epsilon, "given", steps=steps, step_size=10 * epsilon / steps)
    return (
        Threat(GREY, PAPER_ATTACK, "classifier"),
        Threat(WHITE, PAPER_ATTACK, "reformer"),
        Threat(TRANSFERRED, iterated, "classifier"),
        Threat(OWN, iterated, "own autoencoders"),
        Threat(QUERIES, Square(epsilon, queries=budget.queries), "reformer"),
        Threat(ITERATED, iterated, "reformer"),
        Threat(ADAPTIVE, careful, "everything"),
        Threat(SMALLEST, DDN(budget.attack_steps), "reformer"),
        Threat(ADAPTIVE_SMALLEST, _search(DetectorAwareCarliniWagner, budget), "everything"),
    )


def confident_threats(budget: Budget, kind: type[CarliniWagner] | type[ElasticNet]) -> tuple[Threat, ...]:
    """Return one attack for each confidence κ, on the classifier alone: its image has to be wrong by κ logits.

    Args:
        budget: its `confidences`, `search_steps` and `searches`.
        kind: `CarliniWagner` or `ElasticNet`.
    """
    name = {CarliniWagner: "C&W", ElasticNet: "EAD"}[kind]
    return tuple(
        Threat(f"{name}, κ = {confidence:g}", _search(kind, budget, confidence), "classifier")
        for confidence in budget.confidences
    )


def _search(kind: type[CarliniWagner] | type[ElasticNet], budget: Budget, confidence: float = 0.0) -> Attack:
    # With fewer steps longer ones: C&W has to go far for a large κ. More than 0.2 and its tanh saturates.
    rate = 0.05 if kind is ElasticNet else min(0.2, 10 / budget.search_steps)
    return kind(confidence, budget.search_steps, budget.searches, learning_rate=rate, first_c=1.0)
