"""The inner loops of `fused`, compiled for the processor at hand by numba.

A convolution of one channel is too small a matrix product for a convolution library: PyTorch's first layer with its
pooling took 20 to 30 times as long as the loops below (one thread, AVX-512). All arrays lie channels-last: the
innermost loop runs over channels and becomes vector instructions.

Letters: N images, H and W pixels (even), h = H/2, w = W/2, C channels, K the kernel size; float32 or float64. What lies
between two layers (all that has C channels, except weights) may be bfloat16 too: numpy knows no such type, so it is
uint16 here, the upper half of a float32. Sums are taken in float32. Read and written by the loops themselves, bfloat16
needs no copies in another type; those took a quarter of an autoencoder's training step (one thread, AMX).

`choice` (N, h, w, C) holds which of the four values under a pooled one was the largest (0 to 3, the first of equals),
or `SHUT` where the ReLU lets nothing through. What a function computes, it writes into its last arguments; gradients of
weights are added to what is there.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import overload

SHUT = 4
# Sums may be reordered. NaN and infinity keep their meaning: a training that diverges has to be noticed.
_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "nsz", "arcp", "contract"}}


def _compiled(function: Callable[..., Any]) -> Any:
    try:
        return njit(function, cache=True, **_OPTIONS)
    except RuntimeError:  # there is no folder to keep compiled code in: each process compiles anew
        return njit(function, **_OPTIONS)


def _wide(number: Any) -> Any:
    """Return a float as it is, and the float32 that uint16 holds the upper half of."""
    raise NotImplementedError("only inside compiled loops")


def _narrow(number: Any, array: Any) -> Any:
    """Return a float as this array holds it: as it is, or rounded to bfloat16 (to even, as PyTorch rounds)."""
    raise NotImplementedError("only inside compiled loops")


@overload(_wide)
def _wide_of(number):  # type: ignore[no-untyped-def]
    if number == types.uint16:
        return lambda number: np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)
    return lambda number: number


@overload(_narrow)
def _narrow_of(number, array):  # type: ignore[no-untyped-def]
    if array.dtype != types.uint16:
        return lambda number, array: number

    def rounded(number, array):  # type: ignore[no-untyped-def]
        bits = np.float32(number).view(np.uint32)
        upper = np.uint32(bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        return np.uint16(0x7FC0) if number != number else np.uint16(upper)

    return rounded


@_compiled
def _choose(a, b, c, d):  # type: ignore[no-untyped-def]  # numba infers the types of all that follows
    number = np.int32(0)
    largest = a
    number = np.int32(1) if b > largest else number
    largest = b if b > largest else largest
    number = np.int32(2) if c > largest else number
    largest = c if c > largest else largest
    number = np.int32(3) if d > largest else number
    largest = d if d > largest else largest
    return largest, number


@_compiled
def _chosen(number, a, b, c, d, zero):  # type: ignore[no-untyped-def]
    chosen = a if number == 0 else zero
    chosen = b if number == 1 else chosen
    chosen = c if number == 2 else chosen
    return d if number == 3 else chosen


class FirstLayer(NamedTuple):
    """The compiled loops of a convolution of one channel (zero-padded to the same size), max-pooling and ReLU."""

    forward: Any
    along: Any
    weight_gradient: Any
    image_gradient: Any


@cache
def first_layer(kernel_size: int) -> FirstLayer:
    """Return the loops for a kernel size; it is a constant inside, so that loops over it are unrolled.

    - `forward(images (N, H, W), weight (K·K, C), bias (C,), out (N, h, w, C), choice)`
    - `along(directions (N, H, W), weight, choice, out)`: the derivative of the output along a change of the images.
    - `weight_gradient(images, gradient (N, h, w, C), choice, out (K·K, C), bias_out (C,))`; with directions, that of
      `along`, whose output does not depend on the bias.
    - `image_gradient(gradient, choice, weight, out (N, H, W))`.
    """
    size, margin, patch_size = kernel_size, kernel_size // 2, kernel_size + 1
    # `forward` and `along` repeat their inner loops on purpose: taken out into a function of their own they are not
    # unrolled in time to become vector instructions (143 us an image instead of 11).

    @_compiled
    def forward(images, weight, bias, out, choice):  # type: ignore[no-untyped-def]
        _, height, width = images.shape
        padded = np.zeros((height + 2 * margin, width + 2 * margin), images.dtype)
        patch = np.empty((patch_size, patch_size), images.dtype)
        zero = images.dtype.type(0)
        for n in range(len(images)):
            padded[margin : margin + height, margin : margin + width] = images[n]
            for i in range(height // 2):
                for j in range(width // 2):
                    for u in range(patch_size):
                        for v in range(patch_size):
                            patch[u, v] = padded[2 * i + u, 2 * j + v]
                    for c in range(len(bias)):
                        a = b = d = e = zero
                        for u in range(size):
                            for v in range(size):
                                factor = weight[u * size + v, c]
                                a += patch[u, v] * factor
                                b += patch[u, v + 1] * factor
                                d += patch[u + 1, v] * factor
                                e += patch[u + 1, v + 1] * factor
                        largest, number = _choose(a, b, d, e)
                        largest += bias[c]
                        out[n, i, j, c] = _narrow(zero if largest <= 0 else largest, out)
                        choice[n, i, j, c] = SHUT if largest <= 0 else number

    @_compiled
    def along(directions, weight, choice, out):  # type: ignore[no-untyped-def]
        _, height, width = directions.shape
        padded = np.zeros((height + 2 * margin, width + 2 * margin), directions.dtype)
        patch = np.empty((patch_size, patch_size), directions.dtype)
        zero = directions.dtype.type(0)
        for n in range(len(directions)):
            padded[margin : margin + height, margin : margin + width] = directions[n]
            for i in range(height // 2):
                for j in range(width // 2):
                    for u in range(patch_size):
                        for v in range(patch_size):
                            patch[u, v] = padded[2 * i + u, 2 * j + v]
                    for c in range(weight.shape[1]):
                        a = b = d = e = zero
                        for u in range(size):
                            for v in range(size):
                                factor = weight[u * size + v, c]
                                a += patch[u, v] * factor
                                b += patch[u, v + 1] * factor
                                d += patch[u + 1, v] * factor
                                e += patch[u + 1, v + 1] * factor
                        out[n, i, j, c] = _narrow(_chosen(np.int32(choice[n, i, j, c]), a, b, d, e, zero), out)

    @_compiled
    def weight_gradient(images, gradient, choice, out, bias_out):  # type: ignore[no-untyped-def]
        _, height, width = images.shape
        channels = gradient.shape[3]
        padded = np.zeros((height + 2 * margin, width + 2 * margin), images.dtype)
        parts = np.empty((4, channels), images.dtype)
        for n in range(len(images)):
            padded[margin : margin + height, margin : margin + width] = images[n]
            for i in range(height // 2):
                for j in range(width // 2):
                    _spread(gradient, choice, n, i, j, parts)
                    for c in range(channels):
                        bias_out[c] += parts[0, c] + parts[1, c] + parts[2, c] + parts[3, c]
                    for u in range(size):
                        for v in range(size):
                            a, b = padded[2 * i + u, 2 * j + v], padded[2 * i + u, 2 * j + v + 1]
                            d, e = padded[2 * i + u + 1, 2 * j + v], padded[2 * i + u + 1, 2 * j + v + 1]
                            for c in range(channels):
                                out[u * size + v, c] += (
                                    a * parts[0, c] + b * parts[1, c] + d * parts[2, c] + e * parts[3, c]
                                )

    @_compiled
    def image_gradient(gradient, choice, weight, out):  # type: ignore[no-untyped-def]
        _, height, width = out.shape
        channels = gradient.shape[3]
        padded = np.empty((height + 2 * margin, width + 2 * margin), out.dtype)
        parts = np.empty((4, channels), out.dtype)
        zero = out.dtype.type(0)
        for n in range(len(out)):
            padded[:] = 0
            for i in range(height // 2):
                for j in range(width // 2):
                    _spread(gradient, choice, n, i, j, parts)
                    for u in range(size):
                        for v in range(size):
                            a = b = d = e = zero
                            for c in range(channels):
                                factor = weight[u * size + v, c]
                                a += parts[0, c] * factor
                                b += parts[1, c] * factor
                                d += parts[2, c] * factor
                                e += parts[3, c] * factor
                            padded[2 * i + u, 2 * j + v] += a
                            padded[2 * i + u, 2 * j + v + 1] += b
                            padded[2 * i + u + 1, 2 * j + v] += d
                            padded[2 * i + u + 1, 2 * j + v + 1] += e
            out[n] = padded[margin : margin + height, margin : margin + width]

    return FirstLayer(forward, along, weight_gradient, image_gradient)


@_compiled
def _spread(gradient, choice, n, i, j, parts):  # type: ignore[no-untyped-def]
    """Give the gradient of each channel at (n, i, j) to the one of the four values (4, C) that was chosen."""
    zero = parts.dtype.type(0)
    for c in range(gradient.shape[3]):
        value, number = _wide(gradient[n, i, j, c]), np.int32(choice[n, i, j, c])
        parts[0, c] = value if number == 0 else zero
        parts[1, c] = value if number == 1 else zero
        parts[2, c] = value if number == 2 else zero
        parts[3, c] = value if number == 3 else zero


@_compiled
def pool(values, bias, out, choice):  # type: ignore[no-untyped-def]
    """Bias, max-pooling and ReLU of values (N, H, W, C), into `out` (N, h, w, C) and `choice`."""
    n_images, height, width, channels = out.shape
    zero = bias.dtype.type(0)
    for n in range(n_images):
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    largest, number = _choose(
                        _wide(values[n, 2 * i, 2 * j, c]),
                        _wide(values[n, 2 * i, 2 * j + 1, c]),
                        _wide(values[n, 2 * i + 1, 2 * j, c]),
                        _wide(values[n, 2 * i + 1, 2 * j + 1, c]),
                    )
                    largest += bias[c]
                    out[n, i, j, c] = _narrow(zero if largest <= 0 else largest, out)
                    choice[n, i, j, c] = SHUT if largest <= 0 else number


@_compiled
def pool_along(values, choice, out):  # type: ignore[no-untyped-def]
    """The derivative of `pool` along a change `values` (N, H, W, C) of its input, into `out` (N, h, w, C)."""
    n_images, height, width, channels = out.shape
    zero = values.dtype.type(0)
    for n in range(n_images):
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    out[n, i, j, c] = _chosen(
                        np.int32(choice[n, i, j, c]),
                        values[n, 2 * i, 2 * j, c],
                        values[n, 2 * i, 2 * j + 1, c],
                        values[n, 2 * i + 1, 2 * j, c],
                        values[n, 2 * i + 1, 2 * j + 1, c],
                        zero,
                    )


@_compiled
def pool_gradient(gradient, choice, out, bias_out):  # type: ignore[no-untyped-def]
    """From the gradient (N, h, w, C) of `pool`'s output, that of its values (N, H, W, C) and of its bias (C,)."""
    n_images, height, width, channels = gradient.shape
    zero = out.dtype.type(0)
    nothing = bias_out.dtype.type(0)
    for n in range(n_images):
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    value, number = gradient[n, i, j, c], np.int32(choice[n, i, j, c])
                    out[n, 2 * i, 2 * j, c] = value if number == 0 else zero
                    out[n, 2 * i, 2 * j + 1, c] = value if number == 1 else zero
                    out[n, 2 * i + 1, 2 * j, c] = value if number == 2 else zero
                    out[n, 2 * i + 1, 2 * j + 1, c] = value if number == 3 else zero
                    bias_out[c] += _wide(value) if number != SHUT else nothing


@_compiled
def last_layer(values, bias, weight, last_bias, out):  # type: ignore[no-untyped-def]
    """Bias, ReLU and transposed convolution (3×3, stride 2) to one channel.

    values (N, h, w, C), bias (C,), weight (9, C), last_bias a number, out (N, H, W).
    """
    n_images, height, width, channels = values.shape
    padded = np.empty((2 * height + 1, 2 * width + 1), out.dtype)
    rectified = np.empty(channels, out.dtype)
    zero = out.dtype.type(0)
    for n in range(n_images):
        padded[:] = last_bias
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    value = _wide(values[n, i, j, c]) + bias[c]
                    rectified[c] = zero if value <= 0 else value
                for u in range(3):
                    a = b = d = zero
                    for c in range(channels):
                        a += rectified[c] * weight[3 * u, c]
                        b += rectified[c] * weight[3 * u + 1, c]
                        d += rectified[c] * weight[3 * u + 2, c]
                    padded[2 * i + u, 2 * j] += a
                    padded[2 * i + u, 2 * j + 1] += b
                    padded[2 * i + u, 2 * j + 2] += d
        out[n] = padded[1:, 1:]


@_compiled
def last_layer_gradient(values, bias, weight, gradient, out, bias_out, weight_out):  # type: ignore[no-untyped-def]
    """From the gradient (N, H, W) of `last_layer`'s output, that of its values (N, h, w, C), bias and weight (9, C)."""
    n_images, height, width, channels = values.shape
    padded = np.zeros((2 * height + 1, 2 * width + 1), gradient.dtype)
    rectified = np.empty(channels, gradient.dtype)
    back = np.empty(channels, gradient.dtype)
    zero = gradient.dtype.type(0)
    for n in range(n_images):
        padded[1:, 1:] = gradient[n]
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    value = _wide(values[n, i, j, c]) + bias[c]
                    rectified[c] = zero if value <= 0 else value
                    back[c] = zero
                for u in range(3):
                    a, b, d = padded[2 * i + u, 2 * j], padded[2 * i + u, 2 * j + 1], padded[2 * i + u, 2 * j + 2]
                    for c in range(channels):
                        weight_out[3 * u, c] += a * rectified[c]
                        weight_out[3 * u + 1, c] += b * rectified[c]
                        weight_out[3 * u + 2, c] += d * rectified[c]
                        back[c] += a * weight[3 * u, c] + b * weight[3 * u + 1, c] + d * weight[3 * u + 2, c]
                for c in range(channels):
                    passed = zero if rectified[c] <= 0 else back[c]
                    bias_out[c] += passed
                    out[n, i, j, c] = _narrow(passed, out)
