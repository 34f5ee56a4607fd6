"""The later layers' loops: what follows convolutions of many channels, compiled for the processor at hand.

Letters and arrays as in `primitives` (sha256 fbca136ecfa2).
"""

import numpy as np

from magnet_helpers.fast.primitives import SHUT, choose, chosen, compiled, narrow, wide


@compiled
def pool(values, bias, out, choice):  # type: ignore[no-untyped-def]
    """Bias, max-pooling and ReLU of values (N, H, W, C), into `out` (N, h, w, C) and `choice`."""
    n_images, height, width, channels = out.shape
    zero = bias.dtype.type(0)
    for n in range(n_images):
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    largest, number = choose(
                        wide(values[n, 2 * i, 2 * j, c]),
                        wide(values[n, 2 * i, 2 * j + 1, c]),
                        wide(values[n, 2 * i + 1, 2 * j, c]),
                        wide(values[n, 2 * i + 1, 2 * j + 1, c]),
                    )
                    largest += bias[c]
                    out[n, i, j, c] = narrow(zero if largest <= 0 else largest, out)
                    choice[n, i, j, c] = SHUT if largest <= 0 else number


@compiled
def pool_along(values, choice, out):  # type: ignore[no-untyped-def]
    """The derivative of `pool` along a change `values` (N, H, W, C) of its input, into `out` (N, h, w, C)."""
    n_images, height, width, channels = out.shape
    zero = values.dtype.type(0)
    for n in range(n_images):
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    out[n, i, j, c] = chosen(
                        np.int32(choice[n, i, j, c]),
                        values[n, 2 * i, 2 * j, c],
                        values[n, 2 * i, 2 * j + 1, c],
                        values[n, 2 * i + 1, 2 * j, c],
                        values[n, 2 * i + 1, 2 * j + 1, c],
                        zero,
                    )


@compiled
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
                    bias_out[c] += wide(value) if number != SHUT else nothing


@compiled
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
                    value = wide(values[n, i, j, c]) + bias[c]
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


@compiled
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
                    value = wide(values[n, i, j, c]) + bias[c]
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
                    out[n, i, j, c] = narrow(passed, out)
