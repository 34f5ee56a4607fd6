"""Images: a tensor (N, …) of floating-point pixels in [0, 1]. What is none is told from what it looks like."""

import math
import warnings

import torch
from torch import Tensor

_PIXELS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_ONE_BYTE = 1 / 255
_ROUNDING = 1e-3  # a value so little outside [0, 1] is a sum that was rounded, not another scale
_COLOURS = {3: "three colours", 4: "three colours and transparency"}


class TooDarkWarning(UserWarning):
    """Images are as dark as if they had been divided by 255 twice."""


def check_images(images: object, *, bounded: bool = True) -> Tensor:
    """Return images without their autograd history; what is none is refused with the line that mends it.

    A value of exactly 0 in all pixels is a black image and no mistake.

    Args:
        images: floating-point numbers, shape (N, …).
        bounded: whether they must lie in [0, 1]; else it is enough that they are finite.

    Raises:
        TypeError: if they are no tensor.
        ValueError: if they are no floating-point numbers, have no axis of images, are outside [0, 1], NaN or infinite.

    Warns:
        TooDarkWarning: if they are not black, but no pixel is brighter than 1/255.

    >>> check_images(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 1, 28, 28])
    """
    pixels = check_pixels(images)
    if pixels.ndim < 2 or (len(pixels) and not pixels.numel()):
        raise ValueError(f"images must have shape (N, …), got {tuple(pixels.shape)}: {shape_advice(pixels.shape)}")
    if not len(pixels):
        return pixels
    lowest, highest = (end.item() for end in pixels.aminmax())  # NaN if one of them is
    if not math.isfinite(lowest + highest):
        finite = are_finite(pixels)
        first = int((~finite).nonzero()[0])
        raise ValueError(
            f"images must be finite numbers, got NaN or infinite ones in {int((~finite).sum())} of {len(pixels)} "
            f"images, first in number {first}: leave such images out, images[images.flatten(1).isfinite().all(dim=1)]"
        )
    if bounded:
        _check_range(lowest, highest, len(pixels))
    return pixels


def check_shape(images: Tensor, channels: int = 1, size: tuple[int, int] | None = None) -> Tensor:
    """Return images (N, C, H, W), of a kind that has pixels; raise a ValueError unless C, H and W are these.

    Args:
        images: one image without an axis of images is let pass, (C, H, W).
        channels: C.
        size: H and W; None: any.
    """
    shape = tuple(_of_pixels(images).shape)
    if len(shape) < 3 or shape[-3] != channels or size not in (None, shape[-2:]):
        wanted = f"(N, {channels}, {f'{size[0]}, {size[1]}' if size else 'H, W'})"
        raise ValueError(f"images must have shape {wanted}, got {shape}: {shape_advice(shape, channels, size)}")
    return images


def are_finite(images: Tensor) -> Tensor:
    """Return which images (N, …) hold neither NaN nor an infinite number: booleans (N,)."""
    return images.detach().isfinite().flatten(start_dim=1).all(dim=1)


def shape_advice(shape: tuple[int, ...], channels: int | None = 1, size: tuple[int, int] | None = None) -> str:
    """Return what to do with images of this shape where (N, C, H, W) is wanted.

    Args:
        shape: that came.
        channels: C; None: not known.
        size: H and W; None: not known.
    """
    wanted = 1 if channels is None else channels
    height, width = size or (28, 28)
    match shape:
        case (_, count) if count in (height * width, 3 * height * width):
            return f"reshape them, images.reshape(-1, {count // (height * width)}, {height}, {width})"
        case (_, _):
            return "a single image needs an axis of images and one of channels, images[None, None]"
        case (first, _, _) if first == wanted:
            return "a single image needs an axis of images, images[None]"
        case (first, _, _) if first in _COLOURS:
            return "grey images need an axis of channels, images[:, None], and a single image in colour one of images"
        case (_, _, last) if last in (wanted, *_COLOURS):
            return "a single image needs an axis of images, and its channels first, images.permute(2, 0, 1)[None]"
        case (_, _, _) if size and shape[:2] == size:
            return "the images lie along the last axis, images.permute(2, 0, 1)[:, None]"
        case (_, _, _):
            return "they need an axis of channels, images[:, None]"
        case (_, first, _, last) if last in (1, *_COLOURS) and first not in (1, wanted, *_COLOURS):
            return f"{_coloured(last, wanted)}the channels come last, images.permute(0, 3, 1, 2) has them first"
        case (_, first, _, _) if first in _COLOURS and wanted == 1:
            return _coloured(first, wanted).removesuffix(", and ")
        case (_, 1, _, _) if wanted == 3:
            return "grey images in three equal colours are images.expand(-1, 3, -1, -1)"
        case (_, first, *rest) if size and first == wanted and tuple(rest) != size:
            return f"resize or crop them to {height}×{width} pixels, torch.nn.functional.interpolate(images, {size})"
    return "give it the channels and the size that it was made for"


def _coloured(channels: int, wanted: int) -> str:
    """Return what colours are and what makes them grey, with `, and ` behind it; nothing if they are wanted."""
    if channels not in _COLOURS or wanted != 1:
        return ""
    lines = {
        3: "make them grey, images.mean(dim=1, keepdim=True)",
        4: "if the drawing is what is not transparent take images[:, 3:], else images[:, :3].mean(dim=1, keepdim=True)",
    }
    return f"these have {_COLOURS[channels]}; {lines[channels]}, and "


def check_pixels(images: object) -> Tensor:
    """Return images as `check_images` does, but look at no pixel, which a GPU would have to wait for."""
    pixels = _of_pixels(images)
    if pixels.layout is not torch.strided or pixels.device.type == "meta" or pixels.is_quantized:
        kind = "meta" if pixels.device.type == "meta" else "quantized" if pixels.is_quantized else pixels.layout
        line = {"meta": "load them", "quantized": "take images.dequantize()"}.get(str(kind), "take images.to_dense()")
        raise ValueError(f"images must be an ordinary dense tensor, got a {kind} one: {line}")
    return pixels.detach()


def _of_pixels(images: object) -> Tensor:
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a torch.Tensor, got {_named(images)}: {_line_for(images)}")
    if images.dtype not in _PIXELS:
        lines = {torch.bool: "take images.float()", torch.complex64: "take images.real"}
        raise ValueError(
            f"images must be floating-point numbers in [0, 1], got {images.dtype}: "
            f"{lines.get(images.dtype, 'for bytes, divide by 255, images / 255')}"
        )
    return images


def _named(thing: object) -> str:
    dtype = getattr(thing, "dtype", None)
    return f"a {type(thing).__name__}" + (f" of {dtype}" if dtype is not None else "")


def _line_for(images: object) -> str:
    """Return the line that makes a tensor of what came."""
    kind = getattr(getattr(images, "dtype", None), "kind", "")  # of a NumPy array
    if kind:
        return "take torch.from_numpy(images)" + (".float()" if kind == "f" else " / 255 of bytes")
    if hasattr(images, "convert"):  # an image of PIL
        grey = 'getchannel("A")' if "A" in str(getattr(images, "mode", "")) else 'convert("L")'
        return f"take torch.from_numpy(numpy.array(images.{grey}))[None, None] / 255"
    if isinstance(images, list | tuple):
        return "take torch.stack(images) of tensors, torch.tensor(images) of numbers"
    if hasattr(images, "images"):
        return "take its .images"
    return "take torch.from_numpy(images) of an array, and the .images of labelled ones"


def _check_range(lowest: float, highest: float, count: int) -> None:
    if lowest < 0 or highest > 1:
        raise ValueError(
            f"images must lie in [0, 1], got values from {lowest:g} to {highest:g}: {_scaled(lowest, highest)}"
        )
    if 0 < highest <= _ONE_BYTE * (1 + _ROUNDING):
        warnings.warn(
            f"the brightest pixel of {count} images is {highest:.2g}, as if they had been divided by 255 twice: "
            "if so, take images * 255",
            TooDarkWarning,
            stacklevel=4,
        )


def _scaled(lowest: float, highest: float) -> str:
    """Return what to do with pixels in this range."""
    if lowest >= -_ROUNDING and highest <= 1 + _ROUNDING:
        return "that is rounding, take images.clamp(0, 1)"
    if lowest >= 0 and highest > 2:
        return "divide by the largest value that a pixel can have, images / 255 for bytes (divide by 255)"
    if lowest < 0 and lowest >= -1 and 0.5 < highest <= 1:
        return "if they were scaled to [-1, 1], take (images + 1) / 2, else images.clamp(0, 1)"
    if lowest < 0:
        return (
            "if they were normalised, undo that, images * std + mean (of MNIST images * 0.3081 + 0.1307), and give the "
            "network its normalisation as a first layer"
        )
    return "scale or clamp them, images.clamp(0, 1)"
