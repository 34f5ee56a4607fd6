"""Checks for lesson 07: the ledger's rule, an interval over seeds, a paired difference, several attacks at once."""

from collections.abc import Callable
from math import sqrt

import numpy as np
import torch
from scipy.stats import binomtest, chi2, norm, t
from torch import Tensor

from magnet_helpers.checks.feedback import Case, Feedback, attempt, check, off, plainly

HOLDS, FALLS, UNDECIDED = "holds", "does not hold", "undecided"


def _by_the_rule(low: float, high: float, threshold: float) -> str:
    return HOLDS if low > threshold else FALLS if high < threshold else UNDECIDED


@plainly
def check_ledger_rule(ledger_rule: Callable[..., object]) -> Feedback:
    """Check `ledger_rule(low, high, threshold) → "holds"`, `"does not hold"` or `"undecided"`, for an interval.

    Lesson 07, "Try it", exercise 1.
    """
    cases = [(0.5, 2.0, 0.0), (-1.0, 2.0, 0.0), (-3.0, -1.0, 0.0), (-0.8, -0.2, -1.0), (-1.8, -0.5, -1.0)]
    cases += [(0.2, 0.6, 1.0), (-2.0, 0.5, 0.0)]
    mistakes: dict[str, Callable[[float, float, float], str]] = {
        "the threshold is not used": lambda low, high, _: _by_the_rule(low, high, 0),
        "the middle of the interval decides; wanted is the whole interval": lambda low, high, threshold: _by_the_rule(
            (low + high) / 2, (low + high) / 2, threshold
        ),
        "what is undecided counts as fallen": lambda low, _, threshold: HOLDS if low > threshold else FALLS,
        "what is undecided counts as held": lambda _, high, threshold: FALLS if high < threshold else HOLDS,
        "the two sides of the threshold are exchanged": lambda low, high, threshold: _by_the_rule(
            -high, -low, -threshold
        ),
    }
    answers = []
    for case in cases:
        answer = attempt(ledger_rule, *case)
        if isinstance(answer, Feedback):
            return answer
        if answer is None or answer is Ellipsis:
            return off("the function returned nothing: does it end in `return`?")
        if answer not in (HOLDS, FALLS, UNDECIDED):
            return off(f"expected one of {HOLDS!r}, {FALLS!r} and {UNDECIDED!r}, got {answer!r}")
        answers.append(answer)
    wanted = [_by_the_rule(*case) for case in cases]
    if answers == wanted:
        return Feedback(True, "the rule of the ledger")
    for hint, rule in mistakes.items():
        if answers == [rule(*case) for case in cases]:
            return off(hint)
    (low, high, threshold), answer = next(
        (case, answer) for case, answer, right in zip(cases, answers, wanted, strict=True) if answer != right
    )
    return off(f"the interval [{low}, {high}] with the threshold {threshold} got {answer!r}")


@plainly
def check_mean_with_interval(mean_with_interval: Callable[..., object]) -> Feedback:
    """Check `mean_with_interval(values, a list) → (mean, half-width of its 95 % interval)`, by Student's t.

    Assignment 07, "A mean with its interval".
    """
    cases = []
    for values in ([62.0, 57.4, 64.7], [1.0, 4.0], [3.0, -1.0, 2.5, 0.5, 7.0, 2.0]):
        n, mean = len(values), float(np.mean(values))
        std, factor = float(np.std(values, ddof=1)), float(t.ppf(0.975, len(values) - 1))
        half = factor * std / sqrt(n)
        mistakes = {
            "z = 1.96 holds for very many values; with few of them the standard deviation is uncertain too": (
                mean,
                norm.ppf(0.975) * std / sqrt(n),
            ),
            "the squares are divided by n; then the standard deviation comes out too small": (
                mean,
                factor * float(np.std(values)) / sqrt(n),
            ),
            "this is about one value; wanted is how uncertain the *mean* is": (mean, factor * std),
            "the standard deviation is divided by n: the error of a mean falls more slowly": (mean, factor * std / n),
            "the degrees of freedom are not n: the mean was estimated too": (mean, t.ppf(0.975, n) * std / sqrt(n)),
            "5 % are left out on each side, so this is a 90 % interval": (mean, t.ppf(0.95, n - 1) * std / sqrt(n)),
            "this is the standard error; the interval is wider": (mean, std / sqrt(n)),
            "this is the whole width; wanted is half of it": (mean, 2 * half),
            "these are the two ends; wanted are the mean and the half-width": (mean - half, mean + half),
        }
        cases.append(((values,), (mean, half), mistakes))
    cases.append((([5.0, 5.0, 5.0],), (5.0, 0.0), {}))
    return check(mean_with_interval, cases, success="the mean and its half-width agree, for two values too")


def _images(won: int, lost: int, both: int, neither: int) -> tuple[Tensor, Tensor]:
    """Return which images the first and the second defence get right, in a mixed order."""
    counts = torch.tensor([won, lost, both, neither])
    first = torch.repeat_interleave(torch.tensor([False, True, True, False]), counts)
    second = torch.repeat_interleave(torch.tensor([True, False, True, False]), counts)
    order = torch.randperm(len(first), generator=torch.Generator().manual_seed(len(first)))
    return first[order], second[order]


@plainly
def check_paired_difference(paired_difference: Callable[..., object]) -> Feedback:
    """Check `paired_difference(first (N,), second (N,)) → (won, lost, p)` of which images two defences get right.

    p is exact and two-sided: the chance of a split at least as uneven if each image falls to either side like a coin.

    Assignment 07, "A paired difference".
    """

    def parts(select: Callable[[list[object]], object]) -> Callable[[Tensor, Tensor], object]:
        def of(first: Tensor, second: Tensor) -> object:
            answer = paired_difference(first, second)
            if answer is None or answer is Ellipsis:
                return answer
            three = list(answer) if isinstance(answer, list | tuple | Tensor | np.ndarray) else []
            return select(three) if len(three) == 3 else off("expected three values: won, lost and p")

        return of

    counts: list[Case] = []
    chances: list[Case] = []
    # Of an odd number, of an even one split evenly, of none at all, and of too many for factorials in floats.
    for won, lost, both, neither in ((9, 4, 20, 7), (3, 10, 5, 2), (4, 4, 3, 3), (0, 0, 6, 4), (1060, 940, 2500, 500)):
        first, second = _images(won, lost, both, neither)
        n, total = won + lost, won + lost + both + neither
        counts.append(
            (
                (first, second),
                (won, lost),
                {
                    "won and lost are exchanged: an image is won if only the *second* gets it right": (lost, won),
                    "these count all right answers; wanted are the images that tell the two apart": (
                        won + both,
                        lost + both,
                    ),
                    "these are shares; wanted are counts": (won / total, lost / total),
                },
            )
        )
        if not n:
            chances.append(((first, second), 1.0, {}))
            continue
        right = binomtest(won, n).pvalue
        one_sided = binomtest(max(won, lost), n, alternative="greater").pvalue
        without = 2 * float(binomtest(max(won, lost) + 1, n, alternative="greater").pvalue)
        statistic = (won - lost) ** 2 / n
        corrected = max(abs(won - lost) - 1, 0) ** 2 / n
        mistakes: dict[str, object] = {
            "p is one-sided: a split as uneven to the other side counts too": one_sided,
            "p is one-sided: only splits in favour of the first count": binomtest(
                lost, n, alternative="greater"
            ).pvalue,
            "p is above 1: with an even split both sides were counted twice": 2 * one_sided,
            "p leaves out the very split that was seen: *at least* as uneven includes it": without,
            "p is that of the χ² approximation; wanted is the exact one": chi2.sf(statistic, 1),
            "p is that of the χ² approximation with a correction; wanted is the exact one": chi2.sf(corrected, 1),
            "the coin is thrown for all images; only those that tell the two apart are throws": binomtest(
                won, total
            ).pvalue,
        }
        chances.append(((first, second), right, mistakes))
    success = "won, lost and the exact two-sided p agree, for thousands of images too"
    feedback = check(parts(lambda three: three[:2]), counts, success=success)
    return feedback and check(parts(lambda three: three[2]), chances, success=success)


@plainly
def check_worst_case(worst_case: Callable[..., object]) -> Feedback:
    """Check `worst_case(correct (A, N) booleans) → share of the images that survive all attacks`.

    Assignment 07, "The worst of several attacks".
    """
    generator = torch.Generator().manual_seed(70)
    cases = []
    for attacks, images in ((3, 12), (4, 4), (1, 5)):
        correct = torch.rand(attacks, images, generator=generator) < 0.75
        correct[:, 0] = True
        survived, shares = correct.all(dim=0), correct.float().mean(dim=1)
        mistakes = {
            "this is the number of images; wanted is their share": survived.sum(),
            "this is the accuracy under the best single attack; another attack may fool other images": shares.min(),
            "this is the mean over the attacks": shares.mean(),
            "an image that survives *one* of the attacks counts here": correct.any(dim=0).float().mean(),
            "this is the share of attacks that no image falls to": correct.all(dim=1).float().mean(),
            "it is one answer for each image; wanted is one share": survived,
        }
        cases.append(((correct,), survived.float().mean(), {} if attacks == 1 else mistakes))
    return check(worst_case, cases, success="an image counts only if it survives every attack")
