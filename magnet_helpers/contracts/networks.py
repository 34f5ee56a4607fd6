"""What networks from anywhere return: a classifier logits (N, K), a reformer images of the shape it was given."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from magnet_helpers.contracts.images import shape_advice

# What PyTorch's layers say of images of a shape that they do not take.
_OF_SHAPES = re.compile(r"\b(shapes?|sizes?|channels?|dim(ension)?s?)\b|Expected [34]D", re.IGNORECASE)

_OF_TYPES = re.compile(r"\bd?types?\b|not implemented for '")


class ProbabilitiesWarning(UserWarning):
    """A classifier returns probabilities where what is made of its answers needs logits."""


@contextmanager
def matched(network: object, images: Tensor) -> Iterator[None]:
    """Say in words what it is, if PyTorch refuses a network because of how its numbers were made.

    Args:
        network: a module, or a method of one.
        images: shape (N, …).

    Raises:
        ValueError: in place of PyTorch's error, if the network's numbers are of another type than the images', or made
            in inference mode.
    """
    try:
        yield
    except RuntimeError as error:
        name, layers = _layers_of(network)
        numbers = [each for layer in layers for each in (*layer.parameters(recurse=False), *layer.buffers(False))]
        own = next((each.dtype for each in numbers if each.is_floating_point()), images.dtype)
        if own != images.dtype:
            raise ValueError(
                f"a {name} of {own} must be given images of {own}, got {images.dtype}: convert them, images.to({own})"
            ) from error
        if "does not require grad" in str(error):
            raise ValueError(
                f"no gradient passes a {name}: it cuts the graph (detach, no_grad, argmax or NumPy inside it?). Take "
                "that out, or an attack that only asks (Square, HopSkipJump), or lend it a gradient, attacks.BPDA"
            ) from error
        if "in-place operation" in str(error):
            raise ValueError(
                f"no gradient passes a {name}: it changes the images that it is given. Take inplace=False in its first "
                "layers, and images.sub(…) instead of images.sub_(…)"
            ) from error
        if own != torch.float32 and _OF_TYPES.search(str(error)):
            raise ValueError(
                f"what is asked of a {name} of {own} is computed in float32: take model.float() and images.float()"
            ) from error
        if any(each.is_inference() for each in numbers):
            raise ValueError(
                f"no gradient passes a {name} whose weights were made in torch.inference_mode(): make them outside of "
                "it, or take copy.deepcopy(model), outside of it"
            ) from error
        raise


@contextmanager
def explained(network: object, images: Tensor) -> Iterator[None]:
    """Say what images a network was asked about, if PyTorch refuses them.

    Args:
        network: a module, or a method of one.
        images: shape (N, …).

    Raises:
        ValueError: as `matched` does, and if the images' shape is what PyTorch refuses.
        RuntimeError: any other of PyTorch's errors, with a note on the images' shape.
    """
    try:
        with matched(network, images):
            yield
    except RuntimeError as error:
        name, layers = _layers_of(network)
        shape = tuple(images.shape)
        first = next((layer for layer in layers if isinstance(layer, nn.Conv2d | nn.Linear)), None)
        channels = first.in_channels if isinstance(first, nn.Conv2d) else None
        note = f"A {name} was asked about images of shape {shape}: {shape_advice(shape, channels)}."
        if _OF_SHAPES.search(str(error)):
            raise ValueError(f"{note} PyTorch says: {error}") from error
        error.add_note(note)
        raise


def _layers_of(network: object) -> tuple[str, list[nn.Module]]:
    """Return the name of a module, or of the one that a method is of, and all modules in it."""
    model = getattr(network, "__self__", network)
    return type(model).__name__, list(model.modules()) if isinstance(model, nn.Module) else []


def check_logits(logits: object, count: int) -> Tensor:
    """Return a classifier's logits; raise a ValueError unless they are floating-point numbers (N, K), K at least 2."""
    if not isinstance(logits, Tensor):
        raise ValueError(
            f"a classifier must return logits, a tensor of shape (N, K), got a {type(logits).__name__}: wrap it in a "
            "module that returns the logits alone"
        )
    if logits.ndim != 2 or len(logits) != count or logits.shape[1] < 2 or not logits.is_floating_point():
        raise ValueError(
            "a classifier must return floating-point logits of shape (N, K), K at least 2, got "
            f"{tuple(logits.shape)} of {logits.dtype} for {count} image{'' if count == 1 else 's'}: one number for "
            "each class and image"
        )
    return logits


def warn_of_probabilities(outputs: Tensor, user: str) -> None:
    """Warn if a classifier's outputs (N, K) are probabilities: rows in [0, 1] that sum to 1, of every image.

    Logits are so for one image hardly ever, and for several never by chance. The logarithms of probabilities need no
    warning: they are logits less a constant for each image, so differences and softmax are the same.

    Args:
        outputs: for at least one image.
        user: what is weakened by it.

    Warns:
        ProbabilitiesWarning: if they are.
    """
    outputs = outputs.detach()
    tolerance = 1e-4 if outputs.dtype in (torch.float32, torch.float64) else 1e-2  # of a sum after rounding
    in_range = (outputs >= 0) & (outputs <= 1 + tolerance)
    if len(outputs) and bool(in_range.all() & ((outputs.sum(dim=1) - 1).abs() <= tolerance).all()):
        warnings.warn(
            f"{user} needs logits, but the classifier's outputs are probabilities: what counts in logits means nothing "
            "then, and an attack misses images that it would fool. Return the logits, before the softmax, or "
            "their log_softmax",
            ProbabilitiesWarning,
            stacklevel=3,
        )


def check_rows(outputs: object, count: int) -> Tensor:
    """Return a network's outputs; raise a ValueError unless they are a tensor with a row for each image."""
    if not isinstance(outputs, Tensor) or outputs.ndim < 1 or len(outputs) != count:
        got = tuple(outputs.shape) if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        raise ValueError(
            f"a network must return a tensor with a row for each image, got {got} for {count} "
            f"image{'' if count == 1 else 's'}: keep the first axis, as in flatten(start_dim=1) or squeeze(dim=1)"
        )
    return outputs


def check_reformed(images: Tensor, reformed: Tensor) -> Tensor:
    """Return what an autoencoder made of images; raise a ValueError if it has another shape (nothing is broadcast)."""
    if reformed.shape != images.shape:
        raise ValueError(
            f"a reformer must return images of the shape that it is given, {tuple(images.shape)}, got "
            f"{tuple(reformed.shape)}: reshape or resize them in the reformer"
        )
    return reformed


def check_scores(scores: object, count: int | None = None) -> Tensor:
    """Return scores; raise a TypeError if they are no tensor, a ValueError if not one real number for each image.

    Args:
        scores: shape (N,); NaN and infinite ones are let pass, for whoever rejects such images.
        count: N, if it is known.
    """
    if not isinstance(scores, Tensor):
        raise TypeError(
            f"scores must be a torch.Tensor of shape (N,), got a {type(scores).__name__}: take torch.as_tensor(scores)"
        )
    if scores.ndim != 1 or scores.is_complex() or count not in (None, len(scores)):
        wanted = "(N,)" if count is None else f"({count},)"
        raise ValueError(
            f"scores must be one number for each image, shape {wanted}, got {scores.dtype} of shape "
            f"{tuple(scores.shape)}: flatten the image's axes alone, as in flatten(start_dim=1).mean(dim=1)"
        )
    return scores
