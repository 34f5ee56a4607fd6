"""What networks from anywhere promise: a classifier gives logits (N, K), a reformer images of the shape it was given.

Asked here and nowhere assumed, so that a network of one's own goes through defences, attacks and evaluation, or is
refused in words.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from magnet_helpers.device import device_of, full_precision
from magnet_helpers.inference import explained, frozen


def n_classes_of(model: nn.Module, images: Tensor) -> int:
    """Return K, the number of classes that a classifier tells apart: it is asked about one image.

    That leaves no trace: not in the model's mode, its parameters and buffers, in random numbers, or in what its forward
    hooks count.

    Args:
        model: a classifier.
        images: such as it was made for, shape (N, …), N at least 1.

    Raises:
        ValueError: if the model's answer is no tensor of logits (1, K) with K at least 2.
        TypeError, ValueError, RuntimeError: for images that the model does not take, see `inference.explained`.
    """
    with explained(model, images), torch.no_grad(), frozen(model), full_precision(), _same_random_numbers(model):
        logits = model.forward(images[:1].to(device_of(model)))
    if not isinstance(logits, Tensor):
        raise ValueError(
            f"a classifier must return logits, a tensor of shape (N, K), got a {type(logits).__name__}: wrap it in a "
            "module that returns the logits alone"
        )
    if logits.ndim != 2 or len(logits) != 1 or logits.shape[1] < 2 or not logits.is_floating_point():
        raise ValueError(
            "a classifier must return floating-point logits of shape (N, K), K at least 2, got "
            f"{tuple(logits.shape)} of {logits.dtype} for 1 image: one number for each class and image"
        )
    return logits.shape[1]


def check_classes(labels: Tensor, n_classes: int) -> None:
    """Raise a ValueError if labels (N,) name classes that a classifier with so many outputs does not have."""
    lowest, highest = (int(end) for end in labels.aminmax()) if len(labels) else (0, 0)
    if lowest < 0 or highest >= n_classes:
        raise ValueError(
            f"a classifier of {n_classes} classes can be right about the labels 0 to {n_classes - 1}, got "
            f"{lowest if lowest < 0 else highest}: give it an output for every class, and number the classes from 0"
        )


def check_reformed(images: Tensor, reformed: Tensor) -> Tensor:
    """Return what an autoencoder made of images; raise a ValueError if it has another shape (nothing is broadcast)."""
    if reformed.shape != images.shape:
        raise ValueError(
            f"a reformer must return images of the shape that it is given, {tuple(images.shape)}, got "
            f"{tuple(reformed.shape)}: reshape or resize them in the reformer"
        )
    return reformed


@contextmanager
def _same_random_numbers(model: nn.Module) -> Iterator[None]:
    """Put back all random generators afterwards: PyTorch's own, and those that the model's parts hold."""
    device = device_of(model)
    generators = [
        value for module in model.modules() for value in vars(module).values() if isinstance(value, torch.Generator)
    ]
    states = [generator.get_state() for generator in generators]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)
