"""Running a trained network without changing it: no gradients, evaluation mode, batch by batch."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from magnet_helpers.device import device_of, full_precision
from magnet_helpers.fast.switch import sooner

BATCH_SIZE = 500


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Put the model into evaluation mode with parameters that take no gradients; restore both afterwards.

    Each module's own mode and each parameter's own `requires_grad` come back, also after an error.
    """
    modes = {module: module.training for module in model.modules()}
    wants = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.eval()
    for parameter in wants:
        parameter.requires_grad_(False)
    try:
        yield model
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter, want in wants.items():
            parameter.requires_grad_(want)


def check_tensor(images: object) -> None:
    """Raise a TypeError if images are no tensor."""
    if not isinstance(images, Tensor):
        raise TypeError(
            f"images must be a torch.Tensor, got a {type(images).__name__}: take torch.from_numpy(images) of an array, "
            "and the .images of labelled ones"
        )


@contextmanager
def _explained(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Say what images a model was asked about, if PyTorch refuses them.

    Raises:
        TypeError: if they are no tensor.
        ValueError: if PyTorch refuses them and their numbers are of another type than the model's.
        RuntimeError: any other of PyTorch's errors, with a note on the images' shape.
    """
    check_tensor(images)
    try:
        yield
    except RuntimeError as error:
        own = next((each.dtype for each in model.parameters() if each.is_floating_point()), images.dtype)
        if own != images.dtype:
            raise ValueError(
                f"a {type(model).__name__} of {own} must be given images of {own}, got {images.dtype}: convert them, "
                f"images.to({own}) (for bytes: and divide by 255)"
            ) from error
        error.add_note(
            f"A {type(model).__name__} was asked about images of shape {tuple(images.shape)}: give it the channels and "
            "the size that it was made for."
        )
        raise


def apply_model(model: nn.Module, images: Tensor) -> Tensor:
    """Return the model's outputs for images (N, …), computed in batches on the model's device, as a CPU tensor.

    What is wrong with images that the model does not take is said in words: see `_explained`.

    >>> apply_model(nn.Flatten(), torch.zeros(3, 1, 28, 28)).shape
    torch.Size([3, 784])
    """
    device = device_of(model)
    with _explained(model, images), frozen(model), sooner(model), torch.no_grad():
        return torch.cat([model(batch.to(device)).cpu() for batch in images.split(BATCH_SIZE)])


def classes_of(logits: Tensor) -> Tensor:
    """Return the class (N,) that logits (N, K) stand for: the number of the largest, of equal ones the first.

    Raises:
        ValueError: if a logit is NaN, or if several are infinite so that none is the largest.

    >>> classes_of(torch.tensor([[0.0, 2.0, 1.0], [1.0, -torch.inf, 1.0]]))
    tensor([1, 0])
    """
    largest = logits.amax(dim=1, keepdim=True)  # NaN if one of them is
    tied = (logits == largest).sum(dim=1, keepdim=True) > 1
    unclear = largest.isnan() | (largest.isinf() & tied)
    if unclear.any():
        raise ValueError(
            f"expected logits of which one is the largest, got NaN, or several infinite ones, for {int(unclear.sum())} "
            f"of {len(logits)} images: look for NaN in the network's weights (has its training diverged?) and in the "
            "images"
        )
    return logits.argmax(dim=1)


def predict(model: nn.Module, images: Tensor) -> Tensor:
    """Return the predicted labels (N,) of images (N, 1, 28, 28), computed in float32 on every device.

    Raises:
        TypeError, ValueError, RuntimeError: for images that the model does not take (see `_explained`).
        ValueError: for NaN among its logits (see `classes_of`).

    >>> classifier = nn.Flatten()  # answers with the number of the brightest pixel
    >>> images = torch.zeros(2, 1, 28, 28)
    >>> images[0, 0, 0, 3] = images[1, 0, 0, 8] = 1
    >>> predict(classifier, images)
    tensor([3, 8])
    """
    with full_precision():
        return classes_of(apply_model(model, images))


def n_classes_of(model: nn.Module, images: Tensor) -> int:
    """Return K, the number of classes that a classifier tells apart: it is asked about one image.

    That leaves no trace: not in the model's mode, its parameters and buffers, in random numbers, or in what its forward
    hooks count.

    Args:
        model: a classifier.
        images: such as it was made for, shape (N, …), N at least 1.

    Raises:
        ValueError: if the model's answer is no tensor of logits (1, K) with K at least 2.
        TypeError, ValueError, RuntimeError: for images that the model does not take, see `_explained`.
    """
    with _explained(model, images), torch.no_grad(), frozen(model), full_precision(), _same_random_numbers(model):
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


def is_constant(outputs: Tensor, images: Tensor) -> bool:
    """Whether an autoencoder returns the same image whatever it is shown.

    True if the outputs' standard deviation over the images, averaged over the pixels, is below 1 % of the inputs' own.
    The paper's cells of 11.35 % are such collapsed autoencoders: 1135 of the 10,000 test images are ones.
    Made to happen in lesson 03.

    Args:
        outputs: shape (N, 1, 28, 28), N at least 2.
        images: the inputs that gave them, same shape.

    >>> images = torch.rand(4, 1, 28, 28)
    >>> is_constant(torch.zeros(4, 1, 28, 28), images), is_constant(images, images)
    (True, False)
    """
    return bool(outputs.std(dim=0).mean() < 0.01 * images.std(dim=0).mean())
