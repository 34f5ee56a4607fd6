"""The same networks with fewer passes over memory: what is fast on a CPU stands here, behind the plain `models`.

`run(layers, images)` returns what `layers(images)` returns. On a CPU it finds three patterns and does each at once, in
the loops of `kernels`: convolution of one channel, max-pooling and ReLU; bias, max-pooling and ReLU behind PyTorch's
own convolution of many channels; bias and ReLU behind its transposed convolution, and another to one channel.
Everything else that is in `layers` runs as it is, and so does everything on CUDA and MPS, under `torch.func`, and where
numba is not installed.

Under autocast to bfloat16 the loops read and write what PyTorch's own layers take and give, so nothing is copied into
another type. Biases are added by the loops: their gradients are sums that cost nothing there, and alone took a tenth of
an autoencoder's step in PyTorch's transposed convolution (bfloat16, one thread, AMX).
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
        and images.dtype in (torch.float32, torch.float64, _between_layers(torch.float32))
        and not torch._C._functorch.is_functorch_wrapped_tensor(images)
        and images.ndim == 4
    )


def _between_layers(dtype: torch.dtype) -> torch.dtype:
    """Return the type in which layers hand on what is of this type: bfloat16 under autocast."""
    under_autocast = dtype == torch.float32 and torch.is_autocast_enabled("cpu")
    return torch.bfloat16 if under_autocast and torch.get_autocast_dtype("cpu") == torch.bfloat16 else dtype


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
            case [nn.ConvTranspose2d() as conv, nn.ReLU(), nn.ConvTranspose2d() as last, *rest] if (
                conv.bias is not None and _doubles(last) and last.out_channels == 1
            ):
                images = _apply(_LastLayer, _without_bias(conv, images), conv.bias, last.weight, last.bias)
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
        and (
            conv.in_channels > 1 or images.dtype != torch.bfloat16
        )  # the first layer's own loops take images as they are
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
    values = F.conv2d(both, conv.weight, padding=conv.kernel_size[0] // 2)
    images, directions = _apply(_Pool, values, conv.bias, len(images))
    return images, directions


def _without_bias(conv: nn.ConvTranspose2d, images: Tensor) -> Tensor:
    return F.conv_transpose2d(
        images,
        conv.weight,
        stride=conv.stride,
        padding=cast("tuple[int, ...]", conv.padding),
        output_padding=conv.output_padding,
        groups=conv.groups,
        dilation=conv.dilation,
    )


def _apply(function: type[Function], *arguments: object) -> Any:
    return function.apply(*arguments)


def _array(tensor: Tensor) -> Array:
    """Return (N, C, H, W) as an array (N, H, W, C), bfloat16 as uint16; what lies channels-last is not copied."""
    values = tensor.detach().permute(0, 2, 3, 1).contiguous()
    return (values.view(torch.uint16) if values.dtype == torch.bfloat16 else values).numpy()


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> Array:
    """Return an array in which `kernels` may write what is to be a tensor of this type."""
    return np.empty(shape, np.uint16 if dtype == torch.bfloat16 else str(dtype).removeprefix("torch."))


def _tensor(array: Array) -> Tensor:
    """Return an array (N, H, W, C) as a channels-last tensor (N, C, H, W), uint16 as bfloat16."""
    values = torch.from_numpy(array)
    return (values.view(torch.bfloat16) if values.dtype == torch.uint16 else values).permute(0, 3, 1, 2)


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
        from magnet_helpers.fast import kernels  # numba takes a second to import

        loops = kernels.first_layer(weight.shape[-1])
        planes, taps = _planes(images), _taps(weight)
        count, height, width = planes.shape
        out = _empty((count, height // 2, width // 2, len(bias)), _between_layers(images.dtype))
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
        from magnet_helpers.fast import kernels

        images, directions, weight = ctx.saved_tensors
        loops, taps = kernels.first_layer(weight.shape[-1]), _taps(weight)
        gradient_of_taps, gradient_of_bias = np.zeros_like(taps), np.zeros(taps.shape[1], taps.dtype)
        results: list[Tensor | None] = [None, None, None, None]
        for position, (gradient, source) in enumerate(zip(gradients, (images, directions), strict=True)):
            if gradient is None or source is None:
                continue
            array, choice = _array(gradient), _for_each(ctx.choice, gradient)
            if ctx.needs_input_grad[position]:
                planes = np.empty((len(array), *source.shape[2:]), taps.dtype)
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
        from magnet_helpers.fast import kernels

        array = _array(values)
        _, height, width, channels = array.shape
        out = np.empty((count, height // 2, width // 2, channels), array.dtype)
        ctx.choice = np.empty(out.shape, np.uint8)
        biases = bias.detach().numpy()
        kernels.pool(array[:count], biases, out, ctx.choice)
        ctx.shape, ctx.dtype, ctx.bias_dtype = array.shape, array.dtype, biases.dtype
        if len(array) == count:
            return _tensor(out), None
        moved = np.empty((len(array) - count, *out.shape[1:]), out.dtype)
        kernels.pool_along(array[count:], _for_each(ctx.choice, moved), moved)
        return _tensor(out), _tensor(moved)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        from magnet_helpers.fast import kernels

        count = len(ctx.choice)
        out = np.zeros(ctx.shape, ctx.dtype)
        gradient_of_bias, unused = np.zeros(ctx.shape[3], ctx.bias_dtype), np.zeros(ctx.shape[3], ctx.bias_dtype)
        if gradients[0] is not None:
            kernels.pool_gradient(_array(gradients[0]), ctx.choice, out[:count], gradient_of_bias)
        if gradients[1] is not None:
            array = _array(gradients[1])
            kernels.pool_gradient(array, _for_each(ctx.choice, array), out[count:], unused)
        return _tensor(out), torch.from_numpy(gradient_of_bias), None


class _LastLayer(Function):
    """Values (N, C, h, w), bias, weight, last bias → transposed convolution of ReLU(values + bias), (N, 1, 2h, 2w)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, bias: Tensor, weight: Tensor, last_bias: Tensor) -> Tensor:
        from magnet_helpers.fast import kernels

        array, taps = _array(values), _taps(weight)
        count, height, width, _ = array.shape
        out = np.empty((count, 2 * height, 2 * width), taps.dtype)
        kernels.last_layer(array, bias.detach().numpy(), taps, last_bias.detach().numpy()[0], out)
        ctx.save_for_backward(values, bias, weight)
        return torch.from_numpy(out)[:, None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        from magnet_helpers.fast import kernels

        values, bias, weight = ctx.saved_tensors
        array, biases, taps = _array(values), bias.detach().numpy(), _taps(weight)
        out, gradient_of_bias, gradient_of_taps = np.empty_like(array), np.zeros_like(biases), np.zeros_like(taps)
        planes = _planes(gradient)
        kernels.last_layer_gradient(array, biases, taps, planes, out, gradient_of_bias, gradient_of_taps)
        results = (_tensor(out), torch.from_numpy(gradient_of_bias), _as_weight(gradient_of_taps, weight))
        return *results, gradient.sum().reshape(1)
