"""Checks for lesson 08: how strange an image is, a threshold and its price, two accuracies of one defence."""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.special import rel_entr
from torch import Tensor

from magnet_helpers.checks.feedback import Feedback, check, check_gradient, off, plainly


def _relative_entropy(first: Tensor, second: Tensor) -> Tensor:
    """Return p · log(p / q) of each pair of probabilities, by SciPy: 0 where p is 0."""
    return torch.from_numpy(rel_entr(first.numpy(), second.numpy()))


@plainly
def check_jensen_shannon(jensen_shannon: Callable[..., object]) -> Feedback:
    """Check `jensen_shannon(first (N, K), second (N, K)) → divergences (N,) in nats`, of float64 probabilities.

    Lesson 08, "Try it", exercise 1.
    """
    generator = torch.Generator().manual_seed(80)
    logits, changes = 3 * torch.randn(2, 5, 10, generator=generator, dtype=torch.float64)
    r, s, near = (values.softmax(dim=1) for values in (logits, changes, logits + 1e-4 * changes))
    mean = (r + s) / 2
    from_r, from_s = _relative_entropy(r, mean), _relative_entropy(s, mean)
    one_way, other_way = (_relative_entropy(*pair).sum(dim=1) for pair in ((r, s), (s, r)))
    right = (from_r + from_s).sum(dim=1) / 2
    mistakes = {
        "this is in bits: the logarithm is the natural one": right / math.log(2),
        "the two halves are missing: half of one divergence plus half of the other": 2 * right,
        "this is KL(r‖s): each of the two is compared with their mean": one_way,
        "the two are compared with each other: each is compared with their mean": (one_way + other_way) / 2,
        "one half is missing: the second one has a divergence from the mean, too": from_r.sum(dim=1) / 2,
        "this is its square root, a distance": right.sqrt(),
        "it is one number for all images; wanted is one for each": right.mean(),
        "the probabilities of *one image* are summed: which dimension is that?": (from_r + from_s).sum(dim=0) / 2,
    }
    feedback = check(jensen_shannon, [((r, s), right, mistakes)], success="")
    if not feedback:
        return feedback
    mean = (r + near) / 2
    tiny = (_relative_entropy(r, mean) + _relative_entropy(near, mean)).sum(dim=1) / 2
    if not check(jensen_shannon, [((r, near), tiny, {})], success=""):
        return off("right for large divergences, lost in rounding for tiny ones: is each step still in float64?")
    certain = torch.eye(3, dtype=torch.float64)[[0, 0]]
    other = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]], dtype=torch.float64)
    known = torch.tensor([math.log(2), 0.75 * math.log(4 / 3)], dtype=torch.float64)
    if not check(jensen_shannon, [((certain, other), known, {})], success=""):
        return off("right, but not where a probability is 0: what does p · log p become as p goes to 0?")
    return Feedback(True, "the divergences agree, also tiny ones and where a probability is 0")


@plainly
def check_reconstruction_score(reconstruction_score: Callable[..., object]) -> Feedback:
    """Check `reconstruction_score(images (N, 1, 28, 28), reconstructions, p) → scores (N,)`, for p = 1 and 2.

    Assignment 08, "How strange is an image?".
    """
    generator = torch.Generator().manual_seed(81)
    images, reconstructions = torch.rand(2, 4, 1, 28, 28, generator=generator)
    reconstructions = 0.8 * reconstructions  # so that differences of both signs do not cancel
    cases = []
    for p, n in ((1, 4), (2, 4), (1, 1)):
        change = (images - reconstructions)[:n].double()
        power = change.abs() ** p
        right = power.flatten(1).mean(dim=1)
        mistakes = {
            "it is the sum over the pixels; wanted is the mean": power.flatten(1).sum(dim=1),
            "it is one number for all images; wanted is one for each": power.mean(),
            "the mean is over the images; wanted is the one over the pixels": power.mean(dim=0),
            "differences of opposite sign cancel: a missing stroke and a new one are both strange": change.flatten(
                1
            ).mean(dim=1),
            "p changes nothing in it": change.abs().flatten(1).mean(dim=1),
            "the p-th root was taken, as in a norm; wanted is the mean of the powers": right ** (1 / p),
            "each is raised to p before the difference; wanted is the power of the difference": (
                (images[:n].double() ** p - reconstructions[:n].double() ** p).abs().flatten(1).mean(dim=1)
            ),
        }
        cases.append(((images[:n], reconstructions[:n], p), right, {} if n == 1 else mistakes))
    success = "one score for each image, with a gradient that an attacker could follow"
    feedback = check(reconstruction_score, cases, success=success)
    if not feedback:
        return feedback

    def of_squares(inputs: Tensor) -> object:  # an autoencoder of one line: the gradient has two ways to the image
        return reconstruction_score(inputs, inputs**2, 2)

    slope = 2 * (images - images**2) * (1 - 2 * images) / 784
    return check_gradient(of_squares, (images,), slope, success=success)


@plainly
def check_threshold(choose_threshold: Callable[..., object]) -> Feedback:
    """Check `choose_threshold(clean_scores (n,), false_positive_rate) → (threshold, rejected)`.

    Rejected is what scores *above* the threshold. It is the smallest with which no more than this share is rejected.

    Assignment 08, "A threshold that keeps its price".
    """
    generator = torch.Generator().manual_seed(82)

    def shuffled(scores: Tensor) -> Tensor:
        return scores[torch.randperm(len(scores), generator=generator)]

    cases = []
    for n, rate, allowed in ((40, 0.1, 4), (37, 0.1, 3)):
        scores = shuffled(torch.randint(1, 6, (n,), generator=generator).cumsum(0) / 4.0)
        ascending = scores.sort().values.tolist()
        descending = ascending[::-1]
        between = float(np.quantile(ascending, 1 - rate))
        mistakes = {
            "this is the wrong end: the *largest* scores are rejected": (ascending[allowed], n - 1 - allowed),
            "this is the wrong end, and those below it are counted: the *largest* scores are rejected": (
                ascending[allowed],
                allowed,
            ),
            "rejected is what scores *above* the threshold: a score that equals it is accepted": (
                descending[allowed - 1],
                allowed,
            ),
            "too careful: with a smaller threshold no more than this share would be rejected": (
                descending[allowed - 1],
                allowed - 1,
            ),
            f"too many are rejected: {allowed + 1} of {n} are more than a share of {rate:g}": (
                descending[allowed + 1],
                allowed + 1,
            ),
            "this lies between two scores, as an interpolated quantile does: count what is above it and above its "
            "neighbours": (between, sum(score > between for score in ascending)),
            "the second number is a share; wanted is how many clean scores are rejected": (
                descending[allowed],
                allowed / n,
            ),
        }
        cases.append(((scores, rate), (descending[allowed], allowed), mistakes))
    ties = shuffled(torch.tensor([9.0, 8.0, 7.0, 7.0, 7.0, 7.0, *(0.25 * number for number in range(10))]))
    mistakes = {
        "equal scores are all rejected or all accepted: count what is above the threshold": (7.0, 4),
        "too many are rejected: of scores that are equal to each other none can be rejected alone": (2.25, 6),
    }
    cases.append(((ties, 0.25), (7.0, 2), mistakes))
    cases.append(((ties, 0.0), (9.0, 0), {}))
    return check(choose_threshold, cases, success="the smallest threshold that keeps the price, also with equal scores")


@plainly
def check_two_accuracies(two_accuracies: Callable[..., object]) -> Feedback:
    """Check `two_accuracies(rejected (N, D), answers (N,), labels (N,)) → (rejected is wrong, rejected is right)`.

    Assignment 08, "Two accuracies".
    """
    generator = torch.Generator().manual_seed(83)
    cases = []
    for n, detectors in ((40, 3), (7, 1)):
        rejected = torch.rand(n, detectors, generator=generator) < 0.3
        labels = torch.randint(0, 10, (n,), generator=generator)
        answers = torch.where(torch.rand(n, generator=generator) < 0.6, labels, (labels + 1) % 10)

        def shares(gone: Tensor, good: Tensor = answers == labels) -> tuple[float, float]:
            return (~gone & good).double().mean().item(), (gone | good).double().mean().item()

        gone, good = rejected.any(dim=1), answers == labels
        right = shares(gone)
        among_accepted = good[~gone].double().mean().item()
        mistakes = {
            "the two are in the other order: first the one that counts a rejected image as wrong": right[::-1],
            "an image is rejected if *any* detector rejects it; here all must": shares(rejected.all(dim=1)),
            "a rejected image still counts by its answer": (good.double().mean(), good.double().mean()),
            "this is the share among the accepted images; both are shares of all": (among_accepted, among_accepted),
            "the first is a share of the accepted images; both are shares of all": (among_accepted, right[1]),
            "an image that is rejected *and* would be read rightly was counted twice": (
                right[0],
                (gone.double() + good.double()).mean(),
            ),
            "these are counts; wanted are shares of all images": (n * right[0], n * right[1]),
        }
        cases.append(((rejected, answers, labels), right, {} if n == 7 else mistakes))
    return check(two_accuracies, cases, success="both accuracies agree: the clean one and the one under attack")
