"""Checks for lesson 04: passing images on, what a stage is trained on, a step of the joint training."""

from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from magnet_helpers.checks.feedback import Feedback, attempt, check, compare, off, plainly
from magnet_helpers.inference import frozen
from magnet_helpers.seeds import initial_weights_from


def _stages(count: int, *, noisy: bool = False) -> list[nn.Module]:
    """Return small untrained stages; noisy ones answer otherwise, and learn on their own, in training mode."""
    with initial_weights_from(11):
        return [
            nn.Sequential(
                nn.Conv2d(1, 3, 3, padding="same"),
                *((nn.BatchNorm2d(3), nn.Dropout(0.5)) if noisy else ()),
                nn.Tanh(),
                nn.Conv2d(3, 1, 3, padding="same"),
                nn.Sigmoid(),
            )
            for _ in range(count)
        ]


def _images(count: int, seed: int) -> Tensor:
    return torch.rand(count, 1, 7, 6, generator=torch.Generator().manual_seed(seed))


def _one_by_one(stages: Sequence[nn.Module], images: Tensor) -> list[Tensor]:
    """Return the images after each stage, without gradients, in evaluation mode."""
    after = []
    for stage in stages:
        with frozen(stage), torch.no_grad():
            images = stage(images)
        after.append(images)
    return after


@plainly
def check_repeated(repeated: Callable[..., object]) -> Feedback:
    """Check `repeated(autoencoder, images (N, 1, H, W), times) → the images after that many passes`.

    Lesson 04, "Try it", exercise 1.
    """
    (autoencoder,) = _stages(1)
    images = _images(3, 12)
    after = [images, *_one_by_one([autoencoder] * 5, images)]
    cases = [
        (
            (autoencoder, images, times),
            after[times],
            {
                "that is one pass: what comes out must go in again": after[1],
                "that is one pass too many": after[times + 1],
                "that is one pass too few": after[times - 1],
            },
        )
        for times in (3, 2, 1)
    ]
    return check(repeated, cases, success="what comes out goes in again, as often as asked")


@plainly
def check_after_each_stage(after_each_stage: Callable[..., object]) -> Feedback:
    """Check `after_each_stage(stages, images (N, 1, H, W)) → list of the images after stage 1, after stage 2, …`.

    Assignment 04, "What comes out of each stage".
    """
    stages, images = _stages(3), _images(4, 13)
    cases = []
    for stack in (stages, stages[:2], stages[:1]):
        after = _one_by_one(stack, images)
        mistakes: dict[str, object] = {
            "every stage was given the original images; it should get what the stage before it returned": [
                _one_by_one([stage], images)[0] for stage in stack
            ],
            "that is what comes out of the last stage; wanted is a list, with what comes out of each": after[-1],
            "the first is what goes in; wanted is what comes out of each stage": [images, *after[:-1]],
            "there is one too many: the images that go in do not belong to it": [images, *after],
            "the order is from the last stage to the first; wanted is from the first on": after[::-1],
            "the last is missing": after[:-1],
        }
        cases.append(((stack, images), after, mistakes))
    return check(after_each_stage, cases, success="each stage gets what the one before it returned")


@plainly
def check_stage_images(stage_images: Callable[..., object]) -> Feedback:
    """Check `stage_images(stages, k, images (N, 1, H, W)) → the "clean" images of stage k`, counted from 1.

    They are what the stages before it make of the images, in evaluation mode, without gradients. The stages stay as
    they were.

    Assignment 04, "What a stage learns from".
    """
    images = _images(4, 14)
    for k in (3, 2, 1):
        stages = _stages(4, noisy=True)
        stages[1].eval()
        chain = [images, *_one_by_one(stages, images)]
        copies = deepcopy(stages)
        answer = attempt(stage_images, copies, k, images)
        mistakes: dict[str, object] = {
            f"stage {k} itself was applied: wanted is what it is *trained on*": chain[k],
            f"that is one stage too few: k counts from 1, so {k - 1} of the stages stand before stage {k}": chain[
                max(k - 2, 0)
            ],
            "that is what comes out of the whole stack": chain[-1],
            "each stage should get what the one before it returned": _one_by_one([stages[k - 2]], images)[0],
        }
        feedback = answer if isinstance(answer, Feedback) else compare(answer, chain[k - 1], mistakes=mistakes)
        if not feedback and isinstance(answer, Tensor) and _looks_noisy(stage_images, copies, k, images, answer):
            return off(
                "the answer is another one at each call: noise comes later, and dropout stops in evaluation mode only"
            )
        if not feedback:
            return feedback
        if isinstance(answer, Tensor) and answer.requires_grad:
            return off(f"the images are right, but they carry gradients: training stage {k} must not reach back")
        changed = _what_changed(stages, copies)
        if changed:
            return off(f"the images are right, but {changed}")
    return Feedback(True, "these are the images that stage k learns from, and the stages are as they were")


def _looks_noisy(
    function: Callable[..., object], stages: list[nn.Module], k: int, images: Tensor, answer: Tensor
) -> bool:
    again = attempt(function, stages, k, images)
    return isinstance(again, Tensor) and not torch.equal(again, answer)


def _what_changed(before: Sequence[nn.Module], after: Sequence[nn.Module]) -> str:
    """Say what differs between stages and what a function left of them, or nothing."""
    for number, (first, second) in enumerate(zip(before, after, strict=True), start=1):
        if any(
            not torch.equal(a, b)
            for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
        ):
            return f"the weights or statistics of stage {number} changed: was it in training mode?"
        if any(a.training != b.training for a, b in zip(first.modules(), second.modules(), strict=True)):
            return f"stage {number} came back in another mode: leave each stage in the mode in which it came"
        if any(
            a.requires_grad != b.requires_grad for a, b in zip(first.parameters(), second.parameters(), strict=True)
        ):
            return f"the weights of stage {number} came back frozen: the joint training could not move them"
    return ""


@plainly
def check_joint_step(joint_step: Callable[..., object]) -> Feedback:
    """Check `joint_step(stages, images (N, 1, H, W), noisy, step_size) → the loss before the step`.

    It must move every weight θ of every stage to θ − step_size·∂L/∂θ, with L the mean of ‖x − x̂‖² over the images.

    Assignment 04, "One step of the joint training".
    """
    stages = [stage.double() for stage in _stages(3)]
    images, noisy = _images(4, 15).double(), _images(4, 16).double()
    for step_size in (0.02, 0.3):
        copies = deepcopy(stages)
        for parameter in (p for stage in copies for p in stage.parameters()):
            parameter.grad = torch.full_like(parameter, 0.5)  # as an earlier step leaves it
        chain = nn.Sequential(*stages)
        loss = (chain(noisy) - images).square().sum() / len(images)
        gradients = [torch.autograd.grad(loss, list(stage.parameters()), retain_graph=True) for stage in stages]
        answer = attempt(joint_step, copies, images, noisy, step_size)
        with torch.no_grad():
            mistakes = {
                "the output was compared with the *noisy* images": (chain(noisy) - noisy).square().sum() / len(images),
                "the stack was shown the clean images": (chain(images) - images).square().sum() / len(images),
                "it is the mean over the pixels too; wanted is their sum": loss / images[0].numel(),
                "it is the sum over the images; wanted is their mean": loss * len(images),
                "that is the loss after the step; wanted is that before it": (nn.Sequential(*copies)(noisy) - images)
                .square()
                .sum()
                / len(images),
            }
        feedback = answer if isinstance(answer, Feedback) else compare(answer, loss, mistakes=mistakes)
        if not feedback:
            return feedback
        moves = [_move(before, after) for before, after in zip(stages, copies, strict=True)]
        still = [str(number) for number, move in enumerate(moves, start=1) if not move.any()]
        if still:
            return off(
                f"the loss is right, but no weight moved in stage {' and '.join(still)}: does the gradient reach it, "
                "and does the optimiser know of it?"
            )
        right = torch.cat([-step_size * part.flatten() for parts in gradients for part in parts])
        feedback = compare(
            torch.cat(moves),
            right,
            mistakes={"a gradient that an earlier step left was added": right - step_size * 0.5},
        )
        if not feedback:
            return off(f"the loss is right, the step is not: {feedback.message}")
    return Feedback(True, "one step of the whole stack: every stage learns from the joint loss")


def _move(before: nn.Module, after: nn.Module) -> Tensor:
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    return torch.cat([(moved.detach() - still.detach()).flatten() for still, moved in pairs])
