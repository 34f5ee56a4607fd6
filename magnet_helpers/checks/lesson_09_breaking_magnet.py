"""Checks for lesson 09: attacks through what has no gradient, of many steps, on a random reformer, on detectors."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magnet_helpers.checks.feedback import Case, Feedback, attempt, check, check_gradient, off, plainly

Network = Callable[[Tensor], Tensor]


def _slope(loss_of: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return the gradient of a loss, summed over the images, with respect to them."""
    images = images.clone().requires_grad_()
    return torch.autograd.grad(loss_of(images).sum(), images)[0]


def _tiny(generator: torch.Generator, *sizes: int) -> nn.Sequential:
    """Return a bent network from images (N, 1, 6, 6): float64, so that rounding turns no sign."""
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes):
        linear = nn.Linear(inputs, outputs, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(3 * torch.randn(outputs, inputs, generator=generator) / inputs**0.5)
            linear.bias.copy_(torch.randn(outputs, generator=generator))
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


@plainly
def check_straight_through(straight_through: Callable[..., object]) -> Feedback:
    """Check `straight_through(function, images) → function(images)`, with the gradient of the identity.

    Lesson 09, "Try it", exercise 1.
    """
    images = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(90))
    weights = torch.linspace(-1, 2, 48).reshape(3, 1, 4, 4)
    bent, success = (lambda x: x**2), "the function's values, with the identity's gradient"

    def rounded(x: Tensor) -> Tensor:
        return (4 * x).round() / 4

    mistakes = {"these are the images as they came: forwards it is the real function": images}
    cases: list[Case] = [((rounded, images), rounded(images), mistakes), ((bent, images), images**2, {})]
    feedback = check(straight_through, cases, success=success)
    if not feedback:
        return feedback
    for function, hint in (
        (rounded, "the values are right, the gradient is not that of the identity"),
        (bent, "the function's own gradient comes through as well: only the identity's should"),
    ):

        def weighted(x: Tensor, function: Network = function) -> object:
            return weights * straight_through(function, x)  # type: ignore[operator]

        feedback = check_gradient(weighted, (images,), weights, success=success)
        if not feedback:
            return feedback if "no gradient" in feedback.message else off(hint)
    return feedback


def _walk(
    loss_of: Callable[[Tensor], Tensor],
    clean: Tensor,
    steps: int,
    move: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Return where `steps` moves lead: each makes the next images of the last ones and the gradient there."""
    images = clean
    for _ in range(steps):
        images = move(images, _slope(loss_of, images))
    return images


@plainly
def check_pgd(pgd: Callable[..., object]) -> Feedback:
    """Check `pgd(network, images (N, 1, H, W), labels (N,), epsilon, step_size, steps) → images`, from the clean ones.

    It raises the cross entropy; after each step a pixel is within ε of the clean one, and in [0, 1].

    Assignment 09, "PGD".
    """
    generator = torch.Generator().manual_seed(91)
    network = _tiny(generator, 36, 20, 10)
    clean = (1.4 * torch.rand(6, 1, 6, 6, generator=generator, dtype=torch.float64) - 0.2).clamp(0, 1)
    labels = torch.randint(0, 10, (6,), generator=generator)
    epsilon, size, steps = 0.2, 0.07, 8
    sum_of_slopes = torch.zeros_like(clean)

    def loss_of(images: Tensor, wanted: Tensor = labels) -> Tensor:
        return F.cross_entropy(network(images), wanted, reduction="none")

    def near(images: Tensor, middle: Tensor = clean) -> Tensor:
        return torch.minimum(torch.maximum(images, middle - epsilon), middle + epsilon)

    def step(images: Tensor, slope: Tensor) -> Tensor:
        return near(images + size * slope.sign()).clamp(0, 1)

    def summed(images: Tensor, slope: Tensor) -> Tensor:
        sum_of_slopes.add_(slope)
        return step(images, sum_of_slopes)

    with torch.no_grad():
        answers = network(clean).argmax(dim=1)
    at_clean = _slope(loss_of, clean)
    mistakes = {
        "the loss of the right labels is made *smaller*; the attacker raises it": _walk(
            lambda images: -loss_of(images), clean, steps, step
        ),
        "a step has to move each pixel by the step size: the sign of the gradient is missing": _walk(
            loss_of, clean, steps, lambda images, slope: near(images + size * slope).clamp(0, 1)
        ),
        "some pixels end further than ε from the *clean* image: the middle of the ball moves along": _walk(
            loss_of, clean, steps, lambda images, slope: near(images + size * slope.sign(), images).clamp(0, 1)
        ),
        "some pixels leave [0, 1]": _walk(
            loss_of, clean, steps, lambda images, slope: near(images + size * slope.sign())
        ),
        "[0, 1] is kept at the end alone; it has to be kept after each step": _walk(
            loss_of, clean, steps, lambda images, slope: near(images + size * slope.sign())
        ).clamp(0, 1),
        "ε is kept at the end alone; it has to be kept after each step": near(
            _walk(loss_of, clean, steps, lambda images, slope: (images + size * slope.sign()).clamp(0, 1))
        ),
        "the gradients of earlier steps are added up: ask for a new one at each step": _walk(
            loss_of, clean, steps, summed
        ),
        "one gradient decides everything, that of the clean image: ask again after each step": _walk(
            loss_of, clean, steps, lambda images, _: step(images, at_clean)
        ),
        "this is a single step": step(clean, at_clean),
        "it leads away from the network's answers; the attacker knows the labels": _walk(
            lambda images: loss_of(images, answers), clean, steps, step
        ),
    }
    arguments = (network, clean, labels, epsilon, size, steps)
    first, second = attempt(pgd, *arguments), attempt(pgd, *arguments)
    if isinstance(first, Tensor) and isinstance(second, Tensor) and not torch.equal(first, second):
        return off("two calls give two answers: this one begins at the clean image, not at a random point")
    large = (network, clean, labels, epsilon, 0.5, 1)  # the step is longer than ε
    cases: list[Case] = [
        (arguments, _walk(loss_of, clean, steps, step), mistakes),
        (large, near(clean + 0.5 * at_clean.sign()).clamp(0, 1), {}),
    ]
    return check(pgd, cases, success="the images that PGD from the clean image leads to, within ε and in [0, 1]")


@plainly
def check_average_gradient(average_gradient: Callable[..., object]) -> Feedback:
    """Check `average_gradient(network, reformers, images (N, 1, H, W), labels (N,)) → gradient`, shaped as images.

    The mean over the reformers of the gradient of each image's own cross entropy.

    Assignment 09, "Against a random reformer".
    """
    generator = torch.Generator().manual_seed(92)
    network = _tiny(generator, 36, 20, 10)
    reformers = [nn.Sequential(_tiny(generator, 36, 8, 36), nn.Unflatten(1, (1, 6, 6))) for _ in range(3)]
    images = torch.rand(5, 1, 6, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 10, (5,), generator=generator)

    def loss_of(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, reduction="none")

    def reformed(x: Tensor) -> Tensor:
        return torch.stack([reformer(x) for reformer in reformers])

    def answers(x: Tensor) -> list[Tensor]:
        return [network(images_of_one) for images_of_one in reformed(x)]

    def behind(reformer: nn.Module) -> Callable[[Tensor], Tensor]:
        return lambda x: loss_of(network(reformer(x)))

    slopes = torch.stack([_slope(behind(reformer), images) for reformer in reformers])
    right = slopes.mean(dim=0)
    mistakes: dict[str, Tensor] = {
        "this is the sum over the reformers; wanted is the mean": slopes.sum(dim=0),
        "each image's gradient is divided by the number of images: sum the images' losses, or it depends on who else "
        "is in the batch": right / len(images),
        "the sign is taken before the mean: then a reformer with a tiny gradient counts as much as the others": (
            slopes.sign().mean(dim=0)
        ),
        "the sign is taken after the mean; wanted is the gradient itself": right.sign(),
        "this is the gradient for the mean of the reformed images, an image that no reformer makes": _slope(
            lambda x: loss_of(network(reformed(x).mean(dim=0))), images
        ),
        "the probabilities are averaged, then differentiated; average the gradients": _slope(
            lambda x: loss_of(torch.stack(answers(x)).softmax(dim=2).mean(dim=0).log()), images
        ),
        "the logits are averaged, then differentiated; average the gradients": _slope(
            lambda x: loss_of(torch.stack(answers(x)).mean(dim=0)), images
        ),
        "no reformer is in it": _slope(lambda x: loss_of(network(x)), images),
        "this is the gradient at the reformed images: it has to go back through the reformers": torch.stack(
            [_slope(lambda x: loss_of(network(x)), images_of_one.detach()) for images_of_one in reformed(images)]
        ).mean(dim=0),
    }
    hint = "this is one reformer's gradient alone: the attacker does not know which one it will be"
    for number, slope in enumerate(slopes, start=1):
        mistakes[f"{hint} (here number {number})"] = slope
    cases: list[Case] = [
        ((network, reformers, images, labels), right, mistakes),
        ((network, reformers[:1], images[:1], labels[:1]), slopes[0, :1], {}),
    ]
    return check(average_gradient, cases, success="the mean of the reformers' gradients, for each image by itself")


@plainly
def check_detector_aware_gain(detector_aware_gain: Callable[..., object]) -> Feedback:
    """Check `detector_aware_gain(logits, labels, scores (N, D), thresholds (D,), weight, confidence) → gains (N,)`.

    min(margin, confidence) − weight · Σ max((score − threshold) / threshold, 0), the sum over the detectors.

    Assignment 09, "The aim of an attacker who knows the detectors".
    """
    generator = torch.Generator().manual_seed(93)
    n, weight, confidence = 8, 2.0, 1.5
    logits, labels = 3 * torch.randn(n, 10, generator=generator), torch.randint(0, 10, (n,), generator=generator)
    labels[:3] = logits[:3].argmax(dim=1)  # not fooled yet
    logits[2:5] -= 20  # here all logits are negative
    thresholds = torch.tensor([0.02, 0.5, 4.0])
    scores = thresholds * (0.5 + 1.2 * torch.rand(n, 3, generator=generator))
    scores[0] = 0.5 * thresholds  # no detector sees this one
    is_right = F.one_hot(labels, 10).bool()

    def gain(logits: Tensor, scores: Tensor) -> Tensor:
        return margin(logits).clamp(max=confidence) - weight * excess(scores).clamp(min=0).sum(dim=1)

    def margin(logits: Tensor) -> Tensor:
        return logits.masked_fill(is_right, -torch.inf).amax(dim=1) - logits[is_right]

    def excess(scores: Tensor) -> Tensor:
        return (scores - thresholds) / thresholds

    capped, hinged = margin(logits).clamp(max=confidence), excess(scores).clamp(min=0)
    largest = logits.amax(dim=1) - logits[is_right]
    plain = (scores - thresholds).clamp(min=0)
    right = gain(logits, scores)
    mistakes = {
        "the detectors pay the attacker: their part has to lower his gain": capped + weight * hinged.sum(dim=1),
        "a detector that is satisfied has to weigh nothing; here it pays for the others": (
            capped - weight * excess(scores).sum(dim=1)
        ),
        "a detector that is satisfied must not pay for another: each has a hinge of its own": (
            capped - weight * excess(scores).sum(dim=1).clamp(min=0)
        ),
        "the excess is counted in thresholds: else the detector with the largest scores is the only one that counts": (
            capped - weight * plain.sum(dim=1)
        ),
        "the largest *wrong* logit is wanted: here the right one may be the largest": (
            largest.clamp(max=confidence) - weight * hinged.sum(dim=1)
        ),
        "the right logit was set to 0, and where all logits are negative 0 is the largest": (
            (logits * ~is_right).amax(dim=1) - logits[is_right]
        ).clamp(max=confidence)
        - weight * hinged.sum(dim=1),
        "the margin has the other sign: it grows as the wrong answer wins": (
            (-margin(logits)).clamp(max=confidence) - weight * hinged.sum(dim=1)
        ),
        "the margin is not capped: beyond the confidence it is worth no more": (
            margin(logits) - weight * hinged.sum(dim=1)
        ),
        "the margin is capped from the wrong side: an image that is not fooled yet has to gain": (
            margin(logits).clamp(min=confidence) - weight * hinged.sum(dim=1)
        ),
        "only the worst detector counts here; all that see the image have to": capped - weight * hinged.amax(dim=1),
        "this is the mean over the detectors; wanted is their sum": capped - weight * hinged.mean(dim=1),
        "the weight is not used": capped - hinged.sum(dim=1),
        "it is one number for all images; wanted is one for each": right.mean(),
        "it is one number for all images; wanted is one for each, not their sum": right.sum(),
    }
    success = "the gain, with a gradient through the classifier and through the detectors"
    arguments = (logits, labels, scores, thresholds, weight, confidence)
    feedback = check(detector_aware_gain, [(arguments, right, mistakes)], success=success)

    def of_logits(x: Tensor) -> object:
        return detector_aware_gain(x, labels, scores, thresholds, weight, confidence)

    def of_scores(x: Tensor) -> object:
        return detector_aware_gain(logits, labels, x, thresholds, weight, confidence)

    ways: Sequence[tuple[str, Callable[[Tensor], object], Tensor, Tensor]] = (
        ("classifier", of_logits, logits, _slope(lambda x: gain(x, scores), logits)),
        ("detectors", of_scores, scores, _slope(lambda x: gain(logits, x), scores)),
    )
    for name, function, at, slope in ways:
        if feedback:
            feedback = check_gradient(function, (at,), slope, success=success)
            feedback = feedback if feedback else off(f"through the {name}: {feedback.message}")
    return feedback
