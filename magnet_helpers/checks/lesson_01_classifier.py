"""Checks for lesson 01: counting right answers, cross entropy, the Wilson interval."""

from collections.abc import Callable
from math import sqrt

import torch
from scipy.stats import binomtest
from torch import Tensor
from torch.nn import functional as F

from magnet_helpers.checks.feedback import Feedback, check, check_gradient, plainly

_Z = 1.959964


@plainly
def check_count(count_correct: Callable[..., object]) -> Feedback:
    """Check `count_correct(logits (N, 10), labels (N,)) → (correct, total)`.

    Assignment 01, "Count the right answers".
    """
    generator = torch.Generator().manual_seed(1)
    cases = []
    for n in (7, 1):
        logits, labels = torch.randn(n, 10, generator=generator), torch.randint(0, 10, (n,), generator=generator)
        labels[0] = logits[0].argmax()
        right = int((logits.argmax(dim=1) == labels).sum())
        mistakes = {
            "the first number is a share; wanted are two counts": (right / n, n),
            "the two counts are in the other order: first the right answers, then all": (n, right),
            "the largest logit of each *column* is no answer: one image is one row": (
                int((logits.argmax(dim=0)[:n] == labels[: min(n, 10)]).sum()),
                n,
            ),
        }
        cases.append(((logits, labels), (right, n), {} if n == 1 else mistakes))
    return check(count_correct, cases, success="correct answers are counted, and how many there were")


@plainly
def check_cross_entropy(cross_entropy: Callable[..., object]) -> Feedback:
    """Check `cross_entropy(logits (N, 10), labels (N,)) → mean in nats`, also for very large logits.

    Assignment 01, "Cross entropy that does not overflow".
    """
    generator = torch.Generator().manual_seed(2)
    logits, labels = 3 * torch.randn(5, 10, generator=generator), torch.tensor([3, 1, 4, 1, 5])

    def loss(reduction: str, logits: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, reduction=reduction)

    mistakes = {
        "it is the sum over the images; wanted is the mean": loss("sum", logits),
        "it is one number for each image; wanted is their mean": loss("none", logits),
        "softmax was applied twice, or to the wrong numbers": loss("mean", logits.softmax(dim=1)),
        "the probabilities of *one image* must sum to 1: which dimension is that?": -logits.log_softmax(dim=0)[
            torch.arange(5), labels
        ].mean(),
        "this is in bits: the logarithm is the natural one": loss("mean", logits) / torch.tensor(2.0).log(),
    }
    large, success = 1000 * logits, "the mean cross entropy in nats, also for logits in the thousands"
    feedback = check(
        cross_entropy,
        [((logits, labels), loss("mean", logits), mistakes), ((large, labels), loss("mean", large), {})],
        success=success,
    )
    gradient = (logits.softmax(dim=1) - F.one_hot(labels, 10)) / len(labels)
    return check_gradient(cross_entropy, (logits, labels), gradient, success=success) if feedback else feedback


@plainly
def check_wilson_interval(wilson_interval: Callable[..., object]) -> Feedback:
    """Check `wilson_interval(correct, total) → (low, high)`, the 95 % score interval of a share (Wilson 1927).

    Lesson 01, "Try it", exercise 1; assignment 01, "The Wilson interval".
    """
    cases = []
    for k, n in ((95, 100), (0, 20), (20, 20), (7, 9)):
        bounds = binomtest(k, n).proportion_ci(0.95, method="wilson")
        share = k / n
        plain = _Z * sqrt(share * (1 - share) / n)
        middle, reach = share + _Z**2 / (2 * n), _Z * sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
        mistakes = {
            "this is the simple interval, p ± z·√(p(1−p)/n): at k = n it has no width": (share - plain, share + plain),
            "the division by 1 + z²/n is missing": (middle - reach, middle + reach),
            "in percent; wanted are shares between 0 and 1": (100 * bounds.low, 100 * bounds.high),
            "the two ends are in the other order": (bounds.high, bounds.low),
        }
        cases.append(((k, n), (bounds.low, bounds.high), mistakes))
    return check(
        wilson_interval, cases, success="the interval agrees, also where all answers are right or none", tolerance=1e-4
    )
