"""Networks with fewer passes over memory: what is fast on a CPU stands here, behind the plain `models`.

`run(layers, images)` returns what `layers(images)` returns. On a CPU it finds three patterns and does each at once, in
compiled loops: convolution of one channel, max-pooling and ReLU; bias, max-pooling and ReLU behind PyTorch's own
convolution of many channels; bias and ReLU behind its transposed convolution, and another to one channel. Everything
else that is in `layers` runs as it is.

Under autocast to bfloat16 the loops read and write what PyTorch's own layers take and give, so nothing is copied into
another type; but what has a single channel stays float32. Biases are added by the loops: their gradients are sums that
cost nothing there, and alone took a tenth of an autoencoder's step in PyTorch's transposed convolution (bfloat16, one
thread, AMX).
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magnet_helpers.fast import loops
from magnet_helpers.fast.functions import FirstLayer, LastLayer, Pool, apply, between_layers
from magnet_helpers.fast.untouched import are_plain, is_followed, is_untouched


def plainly(layers: nn.Sequential, images: Tensor) -> Tensor:
    """Return what the layers return, whatever stands in for their `forward`."""
    forward: Callable[[nn.Sequential, Tensor], Tensor] = nn.Sequential.forward
    return forward(layers, images)


def run(layers: nn.Sequential, images: Tensor) -> Tensor:
    """Return `layers(images)`: the same values and gradients, up to the order in which a sum is taken.

    Args:
        layers: one layer after the other.
        images: shape (N, C, H, W).
    """
    if is_followed() or not loops.are_there():
        return plainly(layers, images)
    todo = list(layers)
    while todo:
        images, _, todo = _pooled(todo, images, None)
        match todo:
            case [nn.ConvTranspose2d() as conv, nn.ReLU() as relu, nn.ConvTranspose2d() as last, *rest] if (
                _is_last(conv, relu, last) and _suit(conv, images) and _suit(last, images)
            ):
                try:
                    images = apply(LastLayer, _without_bias(conv, images), conv.bias, last.weight, last.bias)
                    todo = rest
                except loops.LoopError as error:
                    loops.give_up(error)
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
    if is_followed() or not loops.are_there() or not are_plain(directions):
        return None
    images, moved, todo = _pooled(list(layers), images, directions)
    return None if todo or moved is None else (images, moved)


def is_pooled_convolution(conv: nn.Module, pool: nn.Module, relu: nn.Module) -> bool:
    """Return whether these are convolution (zero-padded to the same size), max-pooling and ReLU, and untouched."""
    if not (is_untouched(conv, nn.Conv2d) and is_untouched(pool, nn.MaxPool2d) and is_untouched(relu, nn.ReLU)) or not (
        isinstance(conv, nn.Conv2d) and isinstance(pool, nn.MaxPool2d)
    ):
        return False
    size = conv.kernel_size
    return (
        size[0] == size[1]
        and size[0] % 2 == 1
        and conv.padding in ("same", (size[0] // 2, size[1] // 2))
        and conv.padding_mode == "zeros"
        and (*conv.stride, *conv.dilation, conv.groups) == (1, 1, 1, 1, 1)
        and (pool.kernel_size, pool.stride, pool.padding, pool.dilation) == (2, 2, 0, 1)
        and not (pool.ceil_mode or pool.return_indices)
    )


def _is_last(conv: nn.ConvTranspose2d, relu: nn.ReLU, last: nn.ConvTranspose2d) -> bool:
    return (
        is_untouched(conv, nn.ConvTranspose2d)
        and is_untouched(relu, nn.ReLU)
        and is_untouched(last, nn.ConvTranspose2d)
        and (*last.kernel_size, *last.stride, *last.padding, *last.output_padding) == (3, 3, 2, 2, 1, 1, 1, 1)
        and (*last.dilation, last.groups) == (1, 1, 1)
        and (last.in_channels, last.out_channels) == (conv.out_channels, 1)
    )


def _suit(conv: nn.Conv2d | nn.ConvTranspose2d, images: Tensor) -> bool:
    """Return whether weight, bias and images are of shapes and types that belong together."""
    weight, bias = conv.weight, conv.bias
    if bias is None or not loops.are_there() or not are_plain(images, weight, bias):
        return False
    channels = (conv.in_channels, conv.out_channels // conv.groups)
    return (
        images.ndim == 4
        and images.numel() > 0
        and tuple(weight.shape[:2]) == (channels if isinstance(conv, nn.ConvTranspose2d) else channels[::-1])
        and tuple(weight.shape[2:]) == conv.kernel_size
        and bias.shape == (conv.out_channels,)
        and weight.dtype in (torch.float32, torch.float64)
        and bias.dtype == weight.dtype
        and images.dtype in (weight.dtype, between_layers(weight.dtype))
        and between_layers(weight.dtype) in (weight.dtype, torch.bfloat16)
    )


def _halves(conv: nn.Conv2d, images: Tensor) -> bool:
    """Return whether the convolution with pooling can take these images."""
    return (
        _suit(conv, images)
        and images.shape[1] == conv.in_channels
        # The first layer's own loops take images as they are.
        and (conv.in_channels > 1 or images.dtype != torch.bfloat16)
        and images.shape[2] % 2 == images.shape[3] % 2 == 0
    )


def _pooled(
    todo: list[nn.Module], images: Tensor, directions: Tensor | None
) -> tuple[Tensor, Tensor | None, list[nn.Module]]:
    """Return what the first layers make of images and directions, as far as they can be fused, and the other layers."""
    before, weights = images, list[Tensor]()
    while True:
        match todo:
            case [nn.Conv2d() as conv, pool, relu, *rest] if is_pooled_convolution(conv, pool, relu) and _halves(
                conv, images
            ):
                try:
                    images, directions = _pooled_convolution(conv, images, directions)
                except loops.LoopError as error:
                    loops.give_up(error)
                    break
                weights.append(conv.weight)
                todo = rest
            case _:
                break
    if weights and not any(map(_is_channels_last, (before, *weights))):
        images = images.contiguous()  # loops write channels-last, PyTorch's layers only if images or a weight lie so
    return images, directions, todo


def _is_channels_last(tensor: Tensor) -> bool:
    channels, width = tensor.shape[1], tensor.shape[3]
    return tensor.stride(1) == 1 and tensor.stride(3) == channels and channels * width > 1


def _pooled_convolution(conv: nn.Conv2d, images: Tensor, directions: Tensor | None) -> tuple[Tensor, Tensor | None]:
    if conv.in_channels == 1:
        images, directions = apply(FirstLayer, images, directions, conv.weight, conv.bias)
        return images, directions
    both = images if directions is None else torch.cat([images, directions])
    values = F.conv2d(both, conv.weight, padding=conv.kernel_size[0] // 2)
    images, directions = apply(Pool, values, conv.bias, len(images))
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
