"""An evaluation that doubts itself: the worst case over attacks, and the checks that an honest attack passes.

Source of the checks: N. Carlini et al., "On evaluating adversarial robustness" (2019).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from magnet_helpers.attacks import FGSM, PGD, PGDL2, Attack, AttackResult, HopSkipJump, RandomNoise, Square
from magnet_helpers.attacks.base import check_inputs
from magnet_helpers.intervals import Accuracy

_ALLOWED = 0.01  # share of the images that may go the wrong way before a check speaks


def worst_case(runs: Mapping[str, AttackResult] | Sequence[AttackResult]) -> Accuracy:
    """Return the accuracy that is left if each image meets the attack that fools it.

    The mean over attacks would be a promise to the attacker's worst day. As in lesson 09, image by image.

    Args:
        runs: attacks on the same images.

    Raises:
        ValueError: if there is no run, or if they are of different images.
    """
    results = list(runs.values()) if isinstance(runs, Mapping) else list(runs)
    if not results:
        raise ValueError("the worst case needs at least one attack, got none")
    first = results[0]
    if any(not (torch.equal(run.images, first.images) and torch.equal(run.labels, first.labels)) for run in results):
        raise ValueError(
            "the worst case is per image: all attacks must be on the same images in the same order, and have the "
            "same labels"
        )
    fooled = torch.stack([run.success for run in results]).any(dim=0)
    return Accuracy(int((~fooled).sum()), len(fooled))


def security_curve(run: AttackResult, norm: str, sizes: Sequence[float]) -> list[Accuracy]:
    """Return the accuracy left to an attacker who may change an image by no more than each size.

    For an attack that looks for the smallest change: one run gives the whole curve.

    Args:
        run: of such an attack.
        norm: one of `attacks.base.NORMS`.
        sizes: in pixel units.
    """
    fooled = [int(run.within(norm, size).sum()) for size in sizes]
    return [Accuracy(len(run.success) - count, len(run.success)) for count in fooled]


@dataclass(frozen=True, eq=False)  # tensors have no single truth value to compare by
class CheckUp:
    """What a check-up tried, and what is doubtful about it.

    Attributes:
        runs: attack by name.
        doubts: one sentence each; empty if the attacks behave as honest ones do.
    """

    runs: Mapping[str, AttackResult]
    doubts: tuple[str, ...]

    @property
    def accuracies(self) -> dict[str, Accuracy]:
        """The accuracy under each attack, and in the worst case."""
        by_attack = {name: Accuracy(int((~run.success).sum()), len(run.success)) for name, run in self.runs.items()}
        return {**by_attack, "worst case": worst_case(self.runs)}


NOISE, ONE_STEP, ITERATED, TWICE, QUERIES, HUGE = (
    "random noise",
    "FGSM",
    "PGD",
    "PGD, twice the steps",
    "Square",
    "PGD, ε = 1",
)


def check_up(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    iterated: PGD | None = None,
    queries: Attack | None = None,
    transferred: Mapping[str, Attack] | None = None,
) -> CheckUp:
    """Attack a defence in ways whose order is known, and say where the order is broken.

    A defence may be strong; then all attacks fail. If a *weak* attack succeeds where a strong one fails, the strong one
    was misled, and the accuracy it reports is no robustness. Only like is compared with like: images that were answered
    rightly before, fooled by the judged attack's own measure, with a change within its norm and ε.

    Args:
        model: maps images (N, C, H, W) to logits (N, K); a `MagNet` if the judged attack knows detectors.
        images: in [0, 1].
        labels: the right answers, shape (N,).
        iterated: the gradient attack that is judged; default: PGD, ε = 0.3, 20 steps of 0.03.
        queries: an attack without gradients, within the same ε if it has one; default: Square with 300 questions, and
            in L2 `HopSkipJump`.
        transferred: more attacks that know less than `iterated` does, by name. Where they go beyond its ε, it does not
            count.

    Raises:
        TypeError: if `iterated` is no PGD.
        TypeError, ValueError: unless images, labels and model fit together.
        ValueError: if its ε is 0, which forbids any change, or if `queries` has another norm or ε.
    """
    iterated = iterated or PGD(0.3, "given", steps=20, step_size=0.03)
    if not isinstance(iterated, PGD):
        raise TypeError(f"a check-up is of an iterated attack: PGD, PGDL2 or DetectorAwarePGD, got {iterated!r}")
    labels, _ = check_inputs(model, images, labels)
    if taken := {NOISE, ONE_STEP, ITERATED, TWICE, QUERIES, HUGE} & set(transferred or {}):
        raise ValueError(
            f"these names are the check-up's own, got {sorted(taken)}: call `transferred` attacks otherwise"
        )
    if not iterated.epsilon:
        raise ValueError("a check-up needs an ε of more than 0, got 0: no attack may change anything")
    epsilon, pixels = iterated.epsilon, math.prod(images.shape[1:])
    weak: tuple[Attack, Attack, Attack] = (
        (
            RandomNoise(epsilon),
            FGSM(epsilon, iterated.labels),
            Square(epsilon, queries=300),
        )
        if iterated.bound[0] == "L∞"
        else (
            RandomNoise(min(1.0, epsilon / math.sqrt(pixels))),  # every pixel by so much is an L2 norm of ε
            PGDL2(epsilon, iterated.labels, steps=1, step_size=epsilon),
            HopSkipJump("L2"),
        )
    )
    queries = queries or weak[2]
    if queries.bound not in (None, iterated.bound):
        raise ValueError(f"queries must keep within the ε of {iterated!r}, got {queries!r}: give both the same ε")
    any_image = 1.0 if iterated.bound[0] == "L∞" else math.sqrt(pixels)
    attacks: dict[str, Attack] = {
        NOISE: weak[0],
        ONE_STEP: weak[1],
        ITERATED: iterated,
        TWICE: replace(iterated, steps=2 * iterated.steps),
        QUERIES: queries,
        HUGE: replace(iterated, epsilon=any_image, step_size=max(iterated.step_size, 2.5 * any_image / iterated.steps)),
        **(transferred or {}),
    }
    wrong = iterated.fooled(model, images, labels)
    runs = {}
    for name, attack in attacks.items():
        run = attack.run(model, images, labels)
        if iterated.needs_detectors and not attack.needs_detectors:  # what a detector rejects fools nobody
            run = replace(run, success=iterated.fooled(model, run.adversarial, labels))
        runs[name] = run
    return CheckUp(runs, tuple(_doubts(runs, list(transferred or {}), iterated.bound, wrong)))


def _doubts(
    runs: Mapping[str, AttackResult], transferred: Sequence[str], bound: tuple[str, float], wrong: Tensor
) -> list[str]:
    n = len(wrong)
    few = _ALLOWED * n
    strong = runs[ITERATED].success | runs[TWICE].success | wrong

    def missed(name: str) -> int:
        """How many images this attack fools within the bound that the iterated one does not."""
        return int((runs[name].within(*bound) & ~strong).sum())

    doubts = []
    if missed(NOISE) > few:
        doubts.append(f"random noise fools {missed(NOISE)} of {n} images that {ITERATED} does not")
    if missed(ONE_STEP) > few:
        doubts.append(
            f"one step fools {missed(ONE_STEP)} of {n} images that many steps do not: the gradient leads astray"
        )
    gained = int((runs[TWICE].success & ~wrong).sum() - (runs[ITERATED].success & ~wrong).sum())
    if gained > few:
        doubts.append(f"twice the steps fool {gained} of {n} images more: the attack had not converged")
    for name in (QUERIES, *transferred):
        if missed(name) > few:
            doubts.append(
                f"{name}, which knows less, fools {missed(name)} of {n} images that {ITERATED} does not: the gradient "
                "is masked"
            )
    stuck = _unmoved(runs[ONE_STEP])
    if stuck > few:
        doubts.append(f"{stuck} of {n} images have a gradient of zero")
    left = int((~runs[HUGE].success & ~wrong).sum())
    if left > few:
        doubts.append(
            f"with ε = {1 if bound[0] == 'L∞' else 'the whole range'}, which allows any image at all, {left} of {n} "
            "images are not fooled"
        )
    return doubts


def _unmoved(run: AttackResult) -> int:
    """How many images an attack left as they were although they did not fool the model."""
    unmoved = (run.adversarial == run.images).flatten(start_dim=1).all(dim=1)
    return int((unmoved & ~run.success).sum())
