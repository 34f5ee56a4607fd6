"""The loops as functions that PyTorch can differentiate.

A gradient is a loop of its own. Where that gradient is to be differentiated again, or is transformed, it is computed
by the same formula in PyTorch's operations.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import Function
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

from magnet_helpers.fast.loops import LoopError, are_there, call, give_up

SHUT = 4  # `primitives.SHUT`, without numba
Array = NDArray[Any]
Gradients = tuple[Tensor | None, ...]
Backward = Callable[..., Gradients]


def between_layers(dtype: torch.dtype) -> torch.dtype:
    """Return the type in which layers hand on what is of this type: bfloat16 under autocast."""
    under_autocast = dtype == torch.float32 and torch.is_autocast_enabled("cpu")
    return torch.get_autocast_dtype("cpu") if under_autocast else dtype


def apply(function: type[Function], *arguments: object) -> Any:
    """Return the function's outcome, recorded by autograd."""
    return function.apply(*arguments)


def _may_loop(*gradients: Tensor | None) -> bool:
    """Return whether loops may take these gradients: nobody differentiates what comes out, and none is a batch."""
    return are_there() and not torch.is_grad_enabled() and not any(map(_is_batch, gradients))


def _or(formula: Backward) -> Callable[[Backward], Backward]:
    """Let a formula take the place of a `backward` whose loops may not run, or do not."""

    def decorator(backward: Backward) -> Backward:
        @wraps(backward)
        def either(ctx: Any, *gradients: Tensor | None) -> Gradients:
            if _may_loop(*gradients):
                try:
                    return backward(ctx, *gradients)
                except LoopError as error:
                    give_up(error)
            with torch.autocast("cpu", enabled=False):
                return formula(ctx, *gradients)

        return either

    return decorator


def _is_batch(gradient: Tensor | None) -> bool:
    of = torch._C._functorch
    return gradient is not None and (of.is_functorch_wrapped_tensor(gradient) or of.is_legacy_batchedtensor(gradient))


def _array(tensor: Tensor) -> Array:
    """Return (N, C, H, W) as an array (N, H, W, C), bfloat16 as uint16; what lies channels-last is not copied."""
    values = tensor.detach().permute(0, 2, 3, 1).contiguous()
    return (values.view(torch.uint16) if values.dtype == torch.bfloat16 else values).numpy()


def _in_numpy(dtype: torch.dtype) -> str:
    """Return the type of the arrays in which the loops read and write tensors of this type."""
    return "uint16" if dtype == torch.bfloat16 else str(dtype).removeprefix("torch.")


def _tensor(array: Array) -> Tensor:
    """Return an array (N, H, W, C) as a channels-last tensor (N, C, H, W), uint16 as bfloat16."""
    values = torch.from_numpy(array)
    return (values.view(torch.bfloat16) if values.dtype == torch.uint16 else values).permute(0, 3, 1, 2)


def _planes(images: Tensor) -> Array:
    """Return images of one channel as an array (N, H, W)."""
    return images.detach()[:, 0].contiguous().numpy()


def _vector(bias: Tensor) -> Array:
    return bias.detach().contiguous().numpy()


def _for_each(choice: Array, directions: Tensor | Array) -> Array:
    """Return each image's choice once for each of its directions."""
    per_image = len(directions) // len(choice)
    return choice if per_image == 1 else choice.repeat(per_image, axis=0)


def _taps(weight: Tensor) -> Array:
    """Return a convolution's weight, one of whose sides is a single channel, as an array (K·K, C)."""
    return weight.detach().reshape(max(weight.shape[:2]), -1).t().contiguous().numpy()


def _as_weight(taps: Array, weight: Tensor) -> Tensor:
    return torch.from_numpy(taps).t().reshape(weight.shape)


def _unpooled(gradient: Tensor, choice: Array, dtype: torch.dtype) -> Tensor:
    """Return the gradient (…, C, h, w) given to the one of four values that was chosen, (…, C, 2h, 2w)."""
    _, height, width, _ = choice.shape
    below = np.tile(np.array([[0, 1], [2, 3]], np.uint8), (height, width))[:, :, None]
    is_chosen = torch.from_numpy(choice.repeat(2, axis=1).repeat(2, axis=2) == below).permute(0, 3, 1, 2)
    return torch.where(is_chosen, F.interpolate(gradient, scale_factor=2), 0).to(dtype)


def _passed(gradient: Tensor, choice: Array, dtype: torch.dtype) -> Tensor:
    """Return the sum over images and pixels of what a ReLU lets through of the gradient (N, C, h, w), shape (C,)."""
    is_shut = torch.from_numpy(choice).permute(0, 3, 1, 2) == SHUT
    return gradient.to(dtype).masked_fill(is_shut, 0).sum(dim=(0, 2, 3))


class FirstLayer(Function):
    """Images (N, 1, H, W), directions or None, weight, bias → ReLU(max-pool(convolution)) and its change along them."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, directions: Tensor | None, weight: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return what stands behind the arrow above."""
        from magnet_helpers.fast.first_layer import first_layer  # numba takes a second to import

        loops = first_layer(weight.shape[-1])
        planes, taps = _planes(images), _taps(weight)
        count, height, width = planes.shape
        out = np.empty((count, height // 2, width // 2, len(bias)), _in_numpy(between_layers(images.dtype)))
        choice = np.empty(out.shape, np.uint8)
        call(loops.forward, planes, taps, _vector(bias), out, choice)
        ctx.save_for_backward(images, directions, weight)
        ctx.choice = choice
        if directions is None:
            return _tensor(out), None
        moved = np.empty((len(directions), *out.shape[1:]), out.dtype)
        call(loops.along, _planes(directions), taps, _for_each(choice, directions), moved)
        return _tensor(out), _tensor(moved)

    @staticmethod
    def formula(ctx: Any, *gradients: Tensor | None) -> Gradients:
        """Return the same as `backward`, in PyTorch's operations."""
        *sources, weight = ctx.saved_tensors
        margin = weight.shape[-1] // 2
        results: list[Tensor | None] = [None, None, None, None]
        for position, (gradient, source) in enumerate(zip(gradients, sources, strict=True)):
            if gradient is None or source is None:
                continue
            of_values = _unpooled(gradient, _for_each(ctx.choice, gradient), weight.dtype)
            if ctx.needs_input_grad[position]:
                results[position] = F.conv_transpose2d(of_values, weight, padding=margin)
            if ctx.needs_input_grad[2]:
                of_weight = conv2d_weight(source, weight.shape, of_values, padding=margin)
                results[2] = of_weight if results[2] is None else results[2] + of_weight
            if ctx.needs_input_grad[3] and position == 0:
                results[3] = _passed(gradient, ctx.choice, weight.dtype)
        return tuple(results)

    @staticmethod
    @_or(formula)
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        """Return the gradients of what stands before the arrow above."""
        from magnet_helpers.fast.first_layer import first_layer

        *sources, weight = ctx.saved_tensors
        loops, taps = first_layer(weight.shape[-1]), _taps(weight)
        gradient_of_taps, gradient_of_bias = np.zeros_like(taps), np.zeros(taps.shape[1], taps.dtype)
        results: list[Tensor | None] = [None, None, None, None]
        for position, (gradient, source) in enumerate(zip(gradients, sources, strict=True)):
            if gradient is None or source is None:
                continue
            array, choice = _array(gradient), _for_each(ctx.choice, gradient)
            if ctx.needs_input_grad[position]:
                planes = np.empty((len(array), *source.shape[2:]), taps.dtype)
                call(loops.image_gradient, array, choice, taps, planes)
                results[position] = torch.from_numpy(planes)[:, None]
            if ctx.needs_input_grad[2]:
                call(loops.weight_gradient, _planes(source), array, choice, gradient_of_taps, gradient_of_bias)
                results[2] = _as_weight(gradient_of_taps, weight)
            if ctx.needs_input_grad[3] and position == 0:  # a change along a direction does not depend on the bias
                of_bias = torch.from_numpy(gradient_of_bias.copy())
                results[3] = of_bias if ctx.needs_input_grad[2] else _passed(gradient, choice, weight.dtype)
        return tuple(results)


class Pool(Function):
    """Values (M, C, H, W), bias, N → ReLU(max-pool(values + bias)) of the first N; the change along the others."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, bias: Tensor, count: int) -> tuple[Tensor, Tensor | None]:
        """Return what stands behind the arrow above."""
        from magnet_helpers.fast import later_layers

        array, biases = _array(values), _vector(bias)
        _, height, width, channels = array.shape
        out = np.empty((count, height // 2, width // 2, channels), array.dtype)
        ctx.choice = np.empty(out.shape, np.uint8)
        call(later_layers.pool, array[:count], biases, out, ctx.choice)
        ctx.shape, ctx.dtype, ctx.dtype_of_bias = array.shape, values.dtype, bias.dtype
        if len(array) == count:
            return _tensor(out), None
        moved = np.empty((len(array) - count, *out.shape[1:]), out.dtype)
        call(later_layers.pool_along, array[count:], _for_each(ctx.choice, moved), moved)
        return _tensor(out), _tensor(moved)

    @staticmethod
    def formula(ctx: Any, *gradients: Tensor | None) -> Gradients:
        """Return the same as `backward`, in PyTorch's operations."""
        parts = [_unpooled(part, _for_each(ctx.choice, part), ctx.dtype) for part in gradients if part is not None]
        of_bias = None if gradients[0] is None else _passed(gradients[0], ctx.choice, ctx.dtype_of_bias)
        return torch.cat(parts), of_bias, None

    @staticmethod
    @_or(formula)
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        """Return the gradients of what stands before the arrow above."""
        from magnet_helpers.fast import later_layers

        count = len(ctx.choice)
        out = np.zeros(ctx.shape, _in_numpy(ctx.dtype))
        gradient_of_bias, unused = np.zeros((2, ctx.shape[3]), _in_numpy(ctx.dtype_of_bias))
        if gradients[0] is not None:
            call(later_layers.pool_gradient, _array(gradients[0]), ctx.choice, out[:count], gradient_of_bias)
        if gradients[1] is not None:
            array = _array(gradients[1])
            call(later_layers.pool_gradient, array, _for_each(ctx.choice, array), out[count:], unused)
        return _tensor(out), torch.from_numpy(gradient_of_bias), None


class LastLayer(Function):
    """Values (N, C, h, w), bias, weight, last bias → transposed convolution of ReLU(values + bias), (N, 1, 2h, 2w)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, bias: Tensor, weight: Tensor, last_bias: Tensor) -> Tensor:
        """Return what stands behind the arrow above."""
        from magnet_helpers.fast import later_layers

        array, taps = _array(values), _taps(weight)
        count, height, width, _ = array.shape
        out = np.empty((count, 2 * height, 2 * width), taps.dtype)
        call(later_layers.last_layer, array, _vector(bias), taps, _vector(last_bias)[0], out)
        ctx.save_for_backward(values, bias, weight)
        return torch.from_numpy(out)[:, None]

    @staticmethod
    def formula(ctx: Any, gradient: Tensor) -> Gradients:
        """Return the same as `backward`, in PyTorch's operations."""
        values, bias, weight = ctx.saved_tensors
        rectified = (values.to(bias.dtype) + bias[:, None, None]).relu()
        back = F.conv2d(gradient, weight, stride=2, padding=1)
        passed = torch.where(rectified <= 0, 0, back)
        of_weight = conv2d_weight(gradient, weight.shape, rectified, stride=2, padding=1)
        return passed.to(values.dtype), passed.sum(dim=(0, 2, 3)), of_weight, gradient.sum(dim=(0, 2, 3))

    @staticmethod
    @_or(formula)
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        """Return the gradients of what stands before the arrow above."""
        from magnet_helpers.fast import later_layers

        values, bias, weight = ctx.saved_tensors
        array, biases, taps = _array(values), _vector(bias), _taps(weight)
        out, gradient_of_bias, gradient_of_taps = np.empty_like(array), np.zeros_like(biases), np.zeros_like(taps)
        planes = _planes(gradient)
        call(later_layers.last_layer_gradient, array, biases, taps, planes, out, gradient_of_bias, gradient_of_taps)
        results = (_tensor(out), torch.from_numpy(gradient_of_bias), _as_weight(gradient_of_taps, weight))
        return *results, gradient.sum().reshape(1)
