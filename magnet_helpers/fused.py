"""The same networks with fewer passes over memory: what is fast on a CPU stands here, behind the plain `models`.

`run(layers, images)` returns what `layers(images)` returns. On a CPU it finds three patterns and does each at once, in
the loops of `kernels`: convolution of one channel, max-pooling and ReLU; bias, max-pooling and ReLU behind PyTorch's
own convolution of many channels; ReLU and transposed convolution to one channel. Everything else that is in `layers`
runs as it is, and so does everything on CUDA and MPS, under `torch.func`, and where numba is not installed.
"""

import importlib.util
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import Function, once_differentiable
from torch.nn import functional as F

Array = NDArray[Any]
Gradients = tuple[Tensor | None, ...]
HAS_NUMBA = importlib.util.find_spec("numba") is not None


def is_usable(images: Tensor) -> bool:
    """Return whether the fused layers can take these images."""
    return (
        HAS_NUMBA
        and images.device.type == "cpu"
        and images.dtype in (torch.float32, torch.float64)
        and not torch._C._functorch.is_functorch_wrapped_tensor(images)
        and images.ndim == 4
    )


def run(layers: nn.Sequential, images: Tensor) -> Tensor:
    """Return `layers(images)`: the same values and gradients, up to the order in which a sum is taken.

    Hooks on the layers inside are not called, and what was fused can be differentiated once: for a gradient of a
    gradient use `torch.func`, or the layers themselves.

    Args:
        layers: one layer after the other.
        images: shape (N, C, H, W).
    """
    if not is_usable(images):
        return cast("Tensor", layers(images))
    todo = list(layers)
    while todo:
        match todo:
            case [nn.Conv2d() as conv, nn.MaxPool2d() as pool, nn.ReLU(), *rest] if _fit(images, conv, pool):
                images = _pooled_convolution(conv, images, None)[0]
            case [nn.ReLU(), nn.ConvTranspose2d() as conv, *rest] if _doubles(conv) and conv.out_channels == 1:
                images = _apply(_LastLayer, images.to(conv.weight.dtype), conv.weight, conv.bias)
            case [layer, *rest]:
                images = layer(images)
        todo = rest
    return images


def run_along(layers: nn.Sequential, images: Tensor, directions: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return `layers(images)` and its derivative along `directions`; None if not all layers can be fused.

    Args:
        layers: convolutions, each with max-pooling and ReLU.
        images: shape (N, C, H, W).
        directions: shape (k·N, C, H, W): first the k of the first image.
    """
    if not is_usable(images):
        return None
    todo = list(layers)
    while todo:
        match todo:
            case [nn.Conv2d() as conv, nn.MaxPool2d() as pool, nn.ReLU(), *rest] if _fit(images, conv, pool):
                images, directions = _pooled_convolution(conv, images, directions)
            case _:
                return None
        todo = rest
    return images, directions


def _fit(images: Tensor, conv: nn.Conv2d, pool: nn.MaxPool2d) -> bool:
    size = conv.kernel_size
    margin = (size[0] // 2, size[1] // 2)
    return (
        size[0] == size[1]
        and size[0] % 2 == 1
        and conv.padding in ("same", margin)
        and conv.padding_mode == "zeros"
        and (*conv.stride, *conv.dilation, conv.groups) == (1, 1, 1, 1, 1)
        and conv.bias is not None
        and (pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode) == (2, 2, 0, 1, False)
        and images.shape[2] % 2 == images.shape[3] % 2 == 0
    )


def _doubles(conv: nn.ConvTranspose2d) -> bool:
    return (
        (*conv.kernel_size, *conv.stride, *conv.padding, *conv.output_padding) == (3, 3, 2, 2, 1, 1, 1, 1)
        and (*conv.dilation, conv.groups) == (1, 1, 1)
        and conv.bias is not None
    )


def _pooled_convolution(conv: nn.Conv2d, images: Tensor, directions: Tensor | None) -> Any:
    if conv.in_channels == 1:
        images, directions = _apply(_FirstLayer, images, directions, conv.weight, conv.bias)
        return images, directions
    both = images if directions is None else torch.cat([images, directions])
    values = F.conv2d(both, conv.weight, padding=conv.kernel_size[0] // 2).to(both.dtype)  # under autocast: bfloat16
    images, directions = _apply(_Pool, values, conv.bias, len(images))
    return images, directions


def _apply(function: type[Function], *arguments: object) -> Any:
    return function.apply(*arguments)


def _array(tensor: Tensor) -> Array:
    """Return (N, C, H, W) as an array (N, H, W, C); what lies channels-last is not copied."""
    return tensor.detach().permute(0, 2, 3, 1).contiguous().numpy()


def _tensor(array: Array) -> Tensor:
    """Return an array (N, H, W, C) as a channels-last tensor (N, C, H, W)."""
    return torch.from_numpy(array).permute(0, 3, 1, 2)


def _planes(images: Tensor) -> Array:
    """Return images of one channel as an array (N, H, W)."""
    return images.detach()[:, 0].contiguous().numpy()


def _for_each(choice: Array, directions: Tensor | Array) -> Array:
    """Return each image's choice once for each of its directions."""
    each = len(directions) // len(choice)
    return choice if each == 1 else choice.repeat(each, axis=0)


def _taps(weight: Tensor) -> Array:
    """Return a convolution's weight, one of whose sides is a single channel, as an array (K·K, C)."""
    return weight.detach().reshape(max(weight.shape[:2]), -1).t().contiguous().numpy()


def _as_weight(taps: Array, weight: Tensor) -> Tensor:
    return torch.from_numpy(taps).t().reshape(weight.shape)


class _FirstLayer(Function):
    """Images (N, 1, H, W), directions or None, weight, bias → ReLU(max-pool(convolution)) and its change along them."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, directions: Tensor | None, weight: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        from magnet_helpers import kernels  # numba takes a second to import

        loops = kernels.first_layer(weight.shape[-1])
        planes, taps = _planes(images), _taps(weight)
        count, height, width = planes.shape
        out = np.empty((count, height // 2, width // 2, len(bias)), planes.dtype)
        choice = np.empty(out.shape, np.uint8)
        loops.forward(planes, taps, bias.detach().numpy(), out, choice)
        ctx.save_for_backward(images, directions, weight)
        ctx.choice = choice
        if directions is None:
            return _tensor(out), None
        moved = np.empty((len(directions), *out.shape[1:]), out.dtype)
        loops.along(_planes(directions), taps, _for_each(choice, directions), moved)
        return _tensor(out), _tensor(moved)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        from magnet_helpers import kernels

        images, directions, weight = ctx.saved_tensors
        loops, taps = kernels.first_layer(weight.shape[-1]), _taps(weight)
        gradient_of_taps, gradient_of_bias = np.zeros_like(taps), np.zeros(taps.shape[1], taps.dtype)
        results: list[Tensor | None] = [None, None, None, None]
        for position, (gradient, source) in enumerate(zip(gradients, (images, directions), strict=True)):
            if gradient is None or source is None:
                continue
            array, choice = _array(gradient), _for_each(ctx.choice, gradient)
            if ctx.needs_input_grad[position]:
                planes = np.empty((len(array), *source.shape[2:]), array.dtype)
                loops.image_gradient(array, choice, taps, planes)
                results[position] = torch.from_numpy(planes)[:, None]
            if ctx.needs_input_grad[2]:
                loops.weight_gradient(_planes(source), array, choice, gradient_of_taps, gradient_of_bias)
                results[2] = _as_weight(gradient_of_taps, weight)
                if position == 0:  # a change along a direction does not depend on the bias
                    results[3] = torch.from_numpy(gradient_of_bias.copy())
        return tuple(results)


class _Pool(Function):
    """Values (M, C, H, W), bias, N → ReLU(max-pool(values + bias)) of the first N; the change along the others."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, bias: Tensor, count: int) -> tuple[Tensor, Tensor | None]:
        from magnet_helpers import kernels

        array = _array(values)
        _, height, width, channels = array.shape
        out = np.empty((count, height // 2, width // 2, channels), array.dtype)
        ctx.choice = np.empty(out.shape, np.uint8)
        kernels.pool(array[:count], bias.detach().numpy(), out, ctx.choice)
        ctx.shape = array.shape
        if len(array) == count:
            return _tensor(out), None
        moved = np.empty((len(array) - count, *out.shape[1:]), out.dtype)
        kernels.pool_along(array[count:], _for_each(ctx.choice, moved), moved)
        return _tensor(out), _tensor(moved)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        from magnet_helpers import kernels

        count, channels = len(ctx.choice), ctx.shape[3]
        arrays = [None if one is None else _array(one) for one in gradients]
        dtype = next(one.dtype for one in arrays if one is not None)
        out, gradient_of_bias, unused = np.zeros(ctx.shape, dtype), np.zeros(channels, dtype), np.zeros(channels, dtype)
        if arrays[0] is not None:
            kernels.pool_gradient(arrays[0], ctx.choice, out[:count], gradient_of_bias)
        if arrays[1] is not None:
            kernels.pool_gradient(arrays[1], _for_each(ctx.choice, arrays[1]), out[count:], unused)
        return _tensor(out), torch.from_numpy(gradient_of_bias), None


class _LastLayer(Function):
    """Values (N, C, h, w), weight, bias → transposed convolution of ReLU(values), (N, 1, 2h, 2w)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        from magnet_helpers import kernels

        array = _array(values)
        count, height, width, _ = array.shape
        out = np.empty((count, 2 * height, 2 * width), array.dtype)
        kernels.last_layer(array, _taps(weight), bias.detach().numpy()[0], out)
        ctx.save_for_backward(values, weight)
        return torch.from_numpy(out)[:, None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        from magnet_helpers import kernels

        values, weight = ctx.saved_tensors
        array, taps = _array(values), _taps(weight)
        out, gradient_of_taps = np.empty_like(array), np.zeros_like(taps)
        kernels.last_layer_gradient(array, taps, _planes(gradient), out, gradient_of_taps)
        return _tensor(out), _as_weight(gradient_of_taps, weight), gradient.sum().reshape(1)
