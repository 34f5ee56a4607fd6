"""The one judge of settings: numbers and counts as people write them, and words from a list.

A setting stands in the `repr` that names results, so a number has one spelling, whatever it was written as: `1`, `1.0`,
`Fraction(1)`, `np.float32(1)` and a tensor without dimensions are all the float 1.0. A number of less precision than a
float's is the shortest decimal that it stands for: `np.float32(0.3)` is 0.3 and not 0.30000001192092896.
"""

import math
import reprlib
from collections.abc import Collection
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import torch


def as_number(
    name: str,
    value: object,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    unit: str = "",
) -> float:
    """Return a finite real number as a float.

    Args:
        name: of the setting, for the error.
        value: int, float, Fraction, Decimal, a scalar of NumPy, or an array or tensor without dimensions.
        least, most: bounds that it may reach.
        above, below: bounds that it may not reach.
        unit: for the error.

    Raises:
        TypeError: for anything else: a bool, a text, a complex number, several numbers.
        ValueError: for NaN, an infinite number, and one outside its bounds.

    >>> as_number("epsilon", np.float32(0.3)), as_number("epsilon", 1), as_number("epsilon", torch.tensor(0.3))
    (0.3, 1.0, 0.3)
    """
    ends = ((least, "at least"), (above, "more than"), (most, "at most"), (below, "less than"))
    range_ = " and ".join(f"{word} {end:g}" for end, word in ends if end is not None)
    if least is not None and most is not None:
        range_ = f"in [{least:g}, {most:g}]"
    range_ += unit
    try:
        number = float(_plain(value)) + 0.0  # -0.0 is 0.0
    except TypeError:
        raise TypeError(_refusal(name, "a number", range_, value)) from None
    except (ValueError, OverflowError):  # a signalling NaN; an integer larger than any float
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(_refusal(name, "a finite number", range_, value))
    if (
        (least is not None and number < least)
        or (most is not None and number > most)
        or (above is not None and number <= above)
        or (below is not None and number >= below)
    ):
        raise ValueError(_refusal(name, "", range_, value))
    return number


def as_count(name: str, value: object, *, least: int | None = 0) -> int:
    """Return a whole number as an int, also if it was written as 10.0.

    Args:
        name: of the setting, for the error.
        value: as in `as_number`.
        least: that it may be; None if the caller asks for a range itself.

    Raises:
        TypeError: for what is no real number.
        ValueError: for a number that is not whole, NaN, an infinite one, or one less than `least`.

    >>> as_count("steps", 10.0), as_count("seed", np.int64(3))
    (10, 3)
    """
    range_ = "" if least is None else f"at least {least}"
    try:
        number = _plain(value)
        count = int(number)
    except TypeError:
        raise TypeError(_refusal(name, "a whole number", range_, value)) from None
    except (ValueError, OverflowError):  # NaN and infinite numbers
        raise ValueError(_refusal(name, "a whole number", range_, value)) from None
    if count != number:
        raise ValueError(_refusal(name, "a whole number", range_, value))
    if least is not None and count < least:
        raise ValueError(_refusal(name, "", range_, value))
    return count


def as_numbers(name: str, values: Any, count: int, **bounds: Any) -> tuple[float, ...]:
    """Return so many numbers as floats; bounds and errors as in `as_number`.

    Raises:
        TypeError: for what is no row of numbers.
        ValueError: for more or fewer.
    """
    if not isinstance(values, list | tuple):
        raise TypeError(_refusal(name, f"{count} numbers", "", values))
    if len(values) != count:
        raise ValueError(_refusal(name, f"{count} numbers", "", values))
    return tuple(as_number(name, value, **bounds) for value in values)


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise a ValueError unless a setting is one of these words."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {_shown(value)}")


def set_numbers(settings: object, *names: str, **bounds: Any) -> None:
    """Make these fields of a frozen dataclass floats; bounds and errors as in `as_number`."""
    for name in names:
        object.__setattr__(settings, name, as_number(name, getattr(settings, name), **bounds))


def set_counts(settings: object, **least: int | None) -> None:
    """Make these fields of a frozen dataclass ints, each at least so many; errors as in `as_count`."""
    for name, smallest in least.items():
        object.__setattr__(settings, name, as_count(name, getattr(settings, name), least=smallest))


def _plain(value: Any) -> Any:
    """Return a number of Python's own; raise a TypeError for what is no real number."""
    if isinstance(value, torch.Tensor) and value.is_meta:
        raise TypeError
    if isinstance(value, np.generic | np.ndarray | torch.Tensor) and value.ndim == 0:
        value = _shortest(value)
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise TypeError
    return value


def _shortest(value: Any) -> Any:
    """Return the number of fewest digits that is this one in its own precision."""
    exact = value.item()
    if not isinstance(exact, float):
        return exact
    for digits in range(1, 17):
        decimal = float(f"{exact:.{digits}g}")
        with np.errstate(over="ignore"):
            again = value.dtype.type(decimal) if not isinstance(value, torch.Tensor) else value.new_tensor(decimal)
        if again.item() == exact:
            return decimal
    return exact


def _shown(value: object) -> str:
    shape = getattr(value, "shape", ())
    return f"a {type(value).__name__} of shape {tuple(shape)}" if shape else reprlib.repr(value)


def _refusal(name: str, kind: str, range_: str, value: object) -> str:
    return f"{name} must be {', '.join(filter(None, (kind, range_)))}, got {_shown(value)}"
