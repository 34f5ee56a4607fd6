"""What the loops of `first_layer` and `later_layers` have in common: how they are compiled, how a number is treated.

All arrays lie channels-last: the innermost loop runs over channels and becomes vector instructions.

Letters: N images, H and W pixels (even), h = H/2, w = W/2, C channels, K the kernel size; float32 or float64. What lies
between two layers (all that has C channels, except weights) may be bfloat16 too: numpy knows no such type, so it is
uint16 here, the upper half of a float32. Sums are taken in float32. Read and written by the loops themselves, bfloat16
needs no copies in another type; those took a quarter of an autoencoder's training step (one thread, AMX).

`choice` (N, h, w, C) holds which of the four values under a pooled one was the largest (0 to 3, the first of equals),
or `SHUT` where the ReLU lets nothing through. What a function computes, it writes into its last arguments; gradients of
weights are added to what is there.

numba keeps what it compiled beside each file until *that* file changes. So the two files name this one's hash: whoever
changes a line here has to change them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

SHUT = 4
# Sums may be reordered. NaN and infinity keep their meaning: a training that diverges has to be noticed.
_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "nsz", "arcp", "contract"}}


def compiled(function: Callable[..., Any]) -> Any:
    """Return the function as numba compiles it, at its first call with arguments of new types."""
    try:
        return njit(function, cache=True, **_OPTIONS)
    except RuntimeError:  # there is no folder to keep compiled code in: each process compiles anew
        return njit(function, **_OPTIONS)


def wide(number: Any) -> Any:
    """Return a float as it is, and the float32 that uint16 holds the upper half of."""
    raise NotImplementedError("only inside compiled loops")


def narrow(number: Any, array: Any) -> Any:
    """Return a float as this array holds it: as it is, or rounded to bfloat16 (to even, as PyTorch rounds)."""
    raise NotImplementedError("only inside compiled loops")


@overload(wide)
def _wide_of(number):  # type: ignore[no-untyped-def]
    if number == types.uint16:
        return lambda number: np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)
    return lambda number: number


@overload(narrow)
def _narrow_of(number, array):  # type: ignore[no-untyped-def]
    if array.dtype != types.uint16:
        return lambda number, array: number

    def rounded(number, array):  # type: ignore[no-untyped-def]
        bits = np.float32(number).view(np.uint32)
        upper = np.uint32(bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        return np.uint16(0x7FC0) if number != number else np.uint16(upper)

    return rounded


@compiled
def choose(a, b, c, d):  # type: ignore[no-untyped-def]  # numba infers the types of all that follows
    """Return the largest of four numbers, and which it is: 0 to 3, the first of equals."""
    number = np.int32(0)
    largest = a
    number = np.int32(1) if b > largest else number
    largest = b if b > largest else largest
    number = np.int32(2) if c > largest else number
    largest = c if c > largest else largest
    number = np.int32(3) if d > largest else number
    largest = d if d > largest else largest
    return largest, number


@compiled
def chosen(number, a, b, c, d, zero):  # type: ignore[no-untyped-def]
    """Return the one of four numbers that was chosen, or zero if none was."""
    chosen = a if number == 0 else zero
    chosen = b if number == 1 else chosen
    chosen = c if number == 2 else chosen
    return d if number == 3 else chosen
