"""Running a trained network without changing it: no gradients, evaluation mode, batch by batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn

from magnet_helpers.contracts import check_images, check_logits, check_reformed, check_rows, explained, matched
from magnet_helpers.device import device_of, full_precision, plain_circumstances, without_autocast
from magnet_helpers.fast.switch import sooner
from magnet_helpers.seeds import global_numbers

BATCH_SIZE = 500
_A_FEW = 16


@dataclass(slots=True)
class _Frozen:
    """A module's mode or a parameter's `requires_grad` as it was, and how many blocks of `frozen` are open for it."""

    what: nn.Module | nn.Parameter
    before: bool
    blocks: int = 0

    def thaw(self) -> None:
        if isinstance(self.what, nn.Module):
            if self.what.training is not self.before:
                self.what.training = self.before
        elif self.what.requires_grad is not self.before:
            self.what.requires_grad_(self.before)


_LOCK = RLock()
_FROZEN = dict[int, _Frozen]()  # by identity: tensors compare element by element


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Put the model into evaluation mode with parameters that take no gradients, and outside of autocast.

    Each module's own mode and each parameter's own `requires_grad` come back, also after an error. Blocks may be
    nested, and other threads may use the same network meanwhile: what was comes back at the end of the last block.
    """
    device, held = device_of(model), list[_Frozen]()
    try:
        with _LOCK:
            for module in model.modules():
                held.append(_FROZEN.setdefault(id(module), _Frozen(module, module.training)))
                held[-1].blocks += 1
            model.eval()
            for parameter in model.parameters():
                if not parameter.is_inference():  # its `requires_grad` could not be put back
                    held.append(_FROZEN.setdefault(id(parameter), _Frozen(parameter, parameter.requires_grad)))
                    held[-1].blocks += 1
                    if held[-1].blocks == 1:
                        parameter.requires_grad_(False)
        with without_autocast(device):
            yield model
    finally:
        with _LOCK:
            for each in held:
                each.blocks -= 1
                if not each.blocks:
                    del _FROZEN[id(each.what)]
                    each.thaw()


def detached(images: Tensor) -> Tensor:
    """Return the images without what their maker's autograd knows of them, and in the usual order in memory.

    Sums over pixels depend on that order in their last bit. No number is copied unless it must.
    """
    return (images.clone() if images.is_inference() else images.detach()).contiguous()


def outputs_of(model: nn.Module, images: Tensor) -> Tensor:
    """Return the model's outputs as `apply_model` does, of images that may be no pixels; outputs may be NaN.

    Raises:
        ValueError: if the model returns no tensor with a row for each image.
    """
    device = device_of(model)
    with explained(model, images), frozen(model), sooner(model), torch.no_grad():
        batches = [batch.contiguous() for batch in images.split(BATCH_SIZE)]
        copies = (batch.to(device, copy=True) for batch in batches)  # a network may work in place
        return torch.cat([check_rows(model(batch), len(batch)).cpu() for batch in copies])


def apply_model(model: nn.Module, images: Tensor) -> Tensor:
    """Return the model's outputs for images (N, …), computed in batches on the model's device, as a CPU tensor.

    Args:
        model: any network with a row of outputs for each image.
        images: such as it was made for, in [0, 1].

    Raises:
        TypeError: for images that are no tensor.
        ValueError: for images that are none (`contracts.check_images`) or that the model does not take, and for
            outputs that are NaN.

    >>> apply_model(nn.Flatten(), torch.zeros(3, 1, 28, 28)).shape
    torch.Size([3, 784])
    """
    outputs = outputs_of(model, check_images(images))
    if (missing := outputs.isnan()).any():
        count = int(missing.reshape(len(outputs), -1).any(dim=1).sum())
        raise ValueError(
            f"expected numbers of a {type(model).__name__}, got NaN for {count} of {len(outputs)} images: look for NaN "
            "in the network's weights (has its training diverged?)"
        )
    return outputs


def classes_of(logits: Tensor) -> Tensor:
    """Return the class (N,) that logits (N, K) stand for: the number of the largest, of equal ones the first.

    Raises:
        ValueError: if they are no logits, if one is NaN, or if several are infinite so that none is the largest.

    >>> classes_of(torch.tensor([[0.0, 2.0, 1.0], [1.0, -torch.inf, 1.0]]))
    tensor([1, 0])
    """
    if (unclear := are_unclear(logits)).any():
        raise ValueError(
            f"expected logits of which one is the largest, got NaN, or several infinite ones, for {int(unclear.sum())} "
            f"of {len(logits)} images: look for NaN in the network's weights (has its training diverged?) and in the "
            "images"
        )
    return logits.argmax(dim=1)


def are_unclear(logits: Tensor) -> Tensor:
    """Return of which images the logits (N, K) say nothing: booleans (N,). See `classes_of`."""
    largest = check_logits(logits, len(logits)).amax(dim=1, keepdim=True)  # NaN if one of them is
    tied = (logits == largest).sum(dim=1, keepdim=True) > 1
    return (largest.isnan() | (largest.isinf() & tied))[:, 0]


def predict(model: nn.Module, images: Tensor) -> Tensor:
    """Return the predicted labels (N,) of images (N, 1, 28, 28), computed in float32 on every device.

    Raises:
        TypeError: for images that are no tensor.
        ValueError: for images that are none (`contracts.check_images`) or that the model does not take, for outputs
            that are no logits, and for NaN among them.

    >>> classifier = nn.Flatten()  # answers with the number of the brightest pixel
    >>> images = torch.zeros(2, 1, 28, 28)
    >>> images[0, 0, 0, 3] = images[1, 0, 0, 8] = 1
    >>> predict(classifier, images)
    tensor([3, 8])
    """
    with full_precision():
        return classes_of(outputs_of(model, check_images(images)))


def n_classes_of(model: nn.Module, images: Tensor) -> int:
    """Return K, the number of classes that a classifier tells apart: it is asked about one image.

    That leaves no trace: not in the model's mode, its parameters and buffers, in random numbers, or in what its forward
    hooks count.

    Args:
        model: a classifier.
        images: such as it was made for, shape (N, …), N at least 1.

    Raises:
        ValueError: if the model's answer is no tensor of logits (1, K) with K at least 2, or if it does not take such
            images.
    """
    return check_logits(_asked(model, images, 1), 1).shape[1]


def outputs_of_a_few(model: nn.Module, images: Tensor) -> Tensor:
    """Return a classifier's outputs for the first images, (n, K), without a trace, as `n_classes_of` asks it."""
    outputs: Tensor = _asked(model, images, _A_FEW)
    return outputs


def _asked(model: nn.Module, images: Tensor, count: int) -> Any:
    with explained(model, images), torch.no_grad(), frozen(model), full_precision(), _same_random_numbers(model):
        return model.forward(images[:count].to(device_of(model), copy=True))


def check_gradient(model: nn.Module, images: Tensor) -> None:
    """Raise a ValueError if a classifier's answer to images (N, …) has no gradient; without a trace, as `n_classes_of`.

    For attacks whose loss has another part than the answer, which would follow that part alone.
    """
    device = device_of(model)
    with matched(model, images), frozen(model), plain_circumstances(device), _same_random_numbers(model):
        asked = detached(images)[:1].to(device, copy=True).requires_grad_()
        torch.autograd.grad(model.forward(asked * 1).sum(), asked)


@contextmanager
def _same_random_numbers(model: nn.Module) -> Iterator[None]:
    """Put back all random generators afterwards: the global ones, and those that the model's parts hold."""
    generators = [
        value for module in model.modules() for value in vars(module).values() if isinstance(value, torch.Generator)
    ]
    states = [generator.get_state() for generator in generators]
    with global_numbers():
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

    Raises:
        TypeError, ValueError: if one of them is no tensor of finite numbers, if the shapes differ, or if N is 1.

    >>> images = torch.rand(4, 1, 28, 28)
    >>> is_constant(torch.zeros(4, 1, 28, 28), images), is_constant(images, images)
    (True, False)
    """
    check_reformed(check_images(images, bounded=False), check_images(outputs, bounded=False))
    if len(images) < 2:
        raise ValueError(f"whether outputs differ is seen of at least 2 images, got {len(images)}: give more")
    return bool(outputs.std(dim=0).mean() < 0.01 * images.std(dim=0).mean())
