"""What a check says of an answer: right, or what is off. It never says how to do it.

A check computes the right values itself, on inputs of its own, and compares. Mistakes that people really make are
computed too: an answer that equals one of them gets that mistake's hint.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magnet_helpers.device import plain_circumstances

Numbers = NDArray[np.float64]
Case = tuple[tuple[object, ...], object, Mapping[str, object]]  # arguments, right values, hint → what a mistake gives
_FACTORS = (2.0, 3.0, 10.0, 28.0, 100.0, 784.0)  # of two, of a batch, percent, the sides and the pixels of an image

plainly = plain_circumstances(torch.device("cpu"))  # decorates a check: it judges alike whatever mode PyTorch is in


@dataclass(frozen=True)
class Feedback:
    """What a check found.

    Attributes:
        right: whether the answer is right.
        message: what was found, in a sentence.
    """

    right: bool
    message: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return f"{'✓ right' if self.right else '✗ not yet'}: {self.message}"


def off(message: str) -> Feedback:
    """Return the feedback that something is off."""
    return Feedback(False, message)


class CannotReadError(ValueError):
    """An answer is not made of numbers."""


def _as_numbers(answer: object) -> Numbers:
    """Return a number, a tensor, an array, or a list or tuple of them as one float64 array.

    Raises:
        CannotReadError: if it cannot be read so.
    """
    if answer is None or answer is Ellipsis:
        raise CannotReadError("the function returned nothing: does it end in `return`?")
    if isinstance(answer, str | bytes | dict | set):
        raise CannotReadError(f"expected numbers, got a {type(answer).__name__}")
    if isinstance(answer, Tensor):
        answer = answer.detach().cpu()
    elif isinstance(answer, list | tuple):
        parts = [_as_numbers(part) for part in answer]
        if len({part.shape for part in parts}) > 1:
            raise CannotReadError(f"expected parts of one shape, got {[part.shape for part in parts]}")
        return np.stack(parts) if parts else np.zeros(0)
    try:
        array = np.asarray(answer)
        if np.iscomplexobj(array):
            raise TypeError("complex numbers")
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise CannotReadError(f"expected numbers, got a {type(answer).__name__}") from error


def _is_near(answer: Numbers, right: Numbers, tolerance: float) -> bool:
    """Whether two arrays of one shape agree to `tolerance`, relative to the largest of the right values."""
    scale = max(float(np.abs(right).max(initial=0.0)), 1e-12)
    return (
        answer.shape == right.shape
        and bool(np.isfinite(answer).all())
        and bool(np.abs(answer - right).max(initial=0.0) <= tolerance * scale)
    )


def compare(
    answer: object, right: object, *, mistakes: Mapping[str, object] | None = None, tolerance: float = 1e-4
) -> Feedback:
    """Return whether an answer equals the right values and, if not, what is off.

    Args:
        answer: what a student's function returned.
        right: the right values.
        mistakes: hint → the values that this mistake gives. The first that equals the answer is named.
        tolerance: largest difference, relative to the largest right value.
    """
    expected = _as_numbers(right)
    try:
        numbers = _as_numbers(answer)
    except CannotReadError as error:
        return off(str(error))
    for hint, values in (mistakes or {}).items():
        wrong = _as_numbers(values)
        if _is_near(numbers, wrong, tolerance) and not _is_near(numbers, expected, tolerance):
            return off(hint)
    if numbers.shape != expected.shape:
        return off(f"expected the shape {expected.shape}, got {numbers.shape}")
    if not np.isfinite(numbers).all():
        return off("some values are infinite or not a number (nan)")
    if _is_near(numbers, expected, tolerance):
        return Feedback(True, "all values agree")
    if _is_near(-numbers, expected, tolerance):
        return off("the size is right, the sign is not")
    for factor in _FACTORS:
        if _is_near(numbers / factor, expected, tolerance):
            return off(f"every value is {factor:g} times too large")
        if _is_near(numbers * factor, expected, tolerance):
            return off(f"every value is {factor:g} times too small")
    gap = np.abs(numbers - expected)
    count = int((gap > tolerance * np.abs(expected).max()).sum())
    return off(f"{count} of {gap.size} values are off, the worst by {gap.max():.3g}")


def attempt(function: Callable[..., object], *arguments: object) -> object:
    """Return what a student's function returns for these arguments, or the feedback that it raised an error.

    Tensors are handed over as copies, so that a function that writes into its arguments cannot spoil the check; that it
    wrote into them is something that is off, too.
    """
    copies = [argument.clone() if isinstance(argument, Tensor) else argument for argument in arguments]
    try:
        answer = function(*copies)
    except NotImplementedError:
        return off("nothing written yet")
    except Exception as error:  # whatever a student's code raises is what the student should read
        return off(f"it raised {type(error).__name__}: {error}")
    for argument, copy in zip(arguments, copies, strict=True):
        if isinstance(argument, Tensor) and isinstance(copy, Tensor) and not torch.equal(argument, copy):
            return off("the function changes its arguments: work on a copy, as in `x + …`, not `x += …`")
    return answer


def check(
    function: Callable[..., object],
    cases: Sequence[Case],
    *,
    success: str,
    tolerance: float = 1e-4,
) -> Feedback:
    """Return the first feedback that something is off, or that all cases are right.

    Args:
        function: the student's.
        cases: what it is tried on.
        success: what is said when all agree.
        tolerance: as in `compare`.
    """
    for arguments, right, mistakes in cases:
        answer = attempt(function, *arguments)
        feedback = (
            answer if isinstance(answer, Feedback) else compare(answer, right, mistakes=mistakes, tolerance=tolerance)
        )
        if not feedback:
            return feedback
    return Feedback(True, success)


def check_gradient(
    function: Callable[..., object], arguments: tuple[Tensor, ...], right: Tensor, *, success: str
) -> Feedback:
    """Return whether the gradient of what a function returns, summed, reaches its first argument as it should.

    Args:
        function: the student's.
        arguments: tensors; the first one is differentiated.
        right: the right gradient.
        success: what is said when it agrees.
    """
    first = arguments[0].clone().requires_grad_()
    answer = attempt(function, first, *arguments[1:])
    if isinstance(answer, Feedback):
        return answer
    if not isinstance(answer, Tensor) or not answer.requires_grad:
        return off("the value is right, but no gradient comes through: was it detached, or turned into a plain number?")
    (gradient,) = torch.autograd.grad(answer.sum(), first, allow_unused=True)
    if gradient is None:
        return off("the value is right, but no gradient comes through to the first argument")
    feedback = compare(gradient, right)
    return Feedback(True, success) if feedback else off(f"the value is right, its gradient is not: {feedback.message}")
