"""The first layer's loops: convolution of one channel, max-pooling and ReLU, compiled for the processor at hand.

A convolution of one channel is too small a matrix product for a convolution library: PyTorch's first layer with its
pooling took 20 to 30 times as long as the loops below (one thread, AVX-512). Letters and arrays as in `primitives`
(sha256 fbca136ecfa2).
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from magnet_helpers.fast.primitives import SHUT, choose, chosen, compiled, narrow, wide


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

    @compiled
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
                        largest, number = choose(a, b, d, e)
                        largest += bias[c]
                        out[n, i, j, c] = narrow(zero if largest <= 0 else largest, out)
                        choice[n, i, j, c] = SHUT if largest <= 0 else number

    @compiled
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
                        out[n, i, j, c] = narrow(chosen(np.int32(choice[n, i, j, c]), a, b, d, e, zero), out)

    @compiled
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

    @compiled
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


@compiled
def _spread(gradient, choice, n, i, j, parts):  # type: ignore[no-untyped-def]
    """Give the gradient of each channel at (n, i, j) to the one of the four values (4, C) that was chosen."""
    zero = parts.dtype.type(0)
    for c in range(gradient.shape[3]):
        value, number = wide(gradient[n, i, j, c]), np.int32(choice[n, i, j, c])
        parts[0, c] = value if number == 0 else zero
        parts[1, c] = value if number == 1 else zero
        parts[2, c] = value if number == 2 else zero
        parts[3, c] = value if number == 3 else zero
