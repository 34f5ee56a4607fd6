"""What all attacks have in common: they are settings, they take a model, and they say what came of it."""

import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from threading import get_ident
from time import perf_counter
from typing import ClassVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from magnet_helpers.contracts import (
    as_number,
    check_alike,
    check_choice,
    check_images,
    check_labels,
    matched,
    set_numbers,
    warn_of_probabilities,
)
from magnet_helpers.device import device_of, plain_circumstances, shared
from magnet_helpers.fast.switch import sooner
from magnet_helpers.inference import BATCH_SIZE, detached, frozen, n_classes_of, outputs_of_a_few, predict
from magnet_helpers.seeds import global_numbers

NORMS = ("L0", "L1", "L2", "L∞")


@dataclass(frozen=True, eq=False)  # tensors have no single truth value to compare by
class AttackResult:
    """What came of an attack on N images.

    Attributes:
        images: before, shape (N, C, H, W); of MNIST (N, 1, 28, 28).
        adversarial: after, same shape, in [0, 1].
        labels: the right answers, shape (N,).
        success: whether the image now fools the model, shape (N,). An image that did so before counts,
            with no change at all if the attacker knew.
        forward_passes: of one image through the model, on average over the images that were attacked.
        backward_passes: the same of gradients: 0 for an attack that only asks.
        seconds: that it took.

    Raises:
        ValueError: unless there are a label and a success for each image, and as many changed images of the same shape.
    """

    images: Tensor
    adversarial: Tensor
    labels: Tensor
    success: Tensor
    forward_passes: float
    backward_passes: float
    seconds: float

    def __post_init__(self) -> None:
        check_alike(labels=self.labels, success=self.success)
        if not self.images.shape == self.adversarial.shape == (len(self.labels), *self.images.shape[1:]):
            raise ValueError(
                f"adversarial images must have the shape of the images, with {len(self.labels)} labels, got "
                f"{tuple(self.adversarial.shape)} of {tuple(self.images.shape)}"
            )

    @property
    def norms(self) -> dict[str, Tensor]:
        """The size of each image's change, in pixel units: L0 (pixels changed), L1, L2 and L∞, each of shape (N,)."""
        change = (self.adversarial - self.images).flatten(start_dim=1)
        sizes = (
            (change != 0).float().sum(dim=1),
            change.abs().sum(dim=1),
            change.norm(dim=1),
            change.abs().amax(dim=1),
        )
        return dict(zip(NORMS, sizes, strict=True))

    def within(self, norm: str, largest: float) -> Tensor:
        """Return which images were fooled by a change of at most this size: booleans (N,).

        Args:
            norm: one of `NORMS`.
            largest: in pixel units (L0: pixels). A millionth more is let pass, for rounding.

        Raises:
            ValueError: if the norm is another, if `largest` is NaN, or if an image's change is.
        """
        check_choice("norm", norm, NORMS)
        check_images(self.adversarial, bounded=False)
        return self.success & (self.norms[norm] <= as_number("largest", largest, least=0) + 1e-6)


@dataclass
class Passes:
    """How many images passed a model, forward and backward."""

    forward: int = 0
    backward: int = 0


@contextmanager
def _counted(model: nn.Module) -> Iterator[Passes]:
    """Count the images that pass a model in this thread, until the end of the block."""
    passes, thread = Passes(), get_ident()

    def count_backward(gradient: Tensor) -> None:
        passes.backward += len(gradient)

    def count(_module: nn.Module, _inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        if get_ident() == thread:
            passes.forward += len(outputs)
            if outputs.requires_grad:
                outputs.register_hook(count_backward)

    hook = model.register_forward_hook(count)
    try:
        yield passes
    finally:
        hook.remove()


class Attack(ABC):
    """An attack with all its settings; its `repr` names them."""

    in_logits: ClassVar[bool] = False  # whether it reads logits: probabilities round to 0 and 1, and weaken it
    needs_detectors: ClassVar[bool] = False  # whether it is made on a whole `MagNet`

    @property
    def bound(self) -> tuple[str, float] | None:
        """The norm and the ε that it keeps within; None for an attack that has no ε."""
        epsilon: float | None = getattr(self, "epsilon", None)
        return None if epsilon is None else ("L∞", epsilon)

    @property
    def needs_labels(self) -> bool:
        """Whether the attacker knows the right answers."""
        return True

    @abstractmethod
    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the adversarial images, a new CPU tensor of the shape of `images`.

        The model's mode, its parameters' `requires_grad` and `.grad`, `images`, and the global random numbers stay as
        they are.

        Args:
            model: maps images (N, C, H, W) to logits (N, K): any size of image and any number of classes.
            images: in [0, 1].
            labels: the right answers, shape (N,).

        Raises:
            TypeError: if images or labels are no tensors.
            ValueError: if the images are outside [0, 1] or hold NaN, if labels are missing, too few, too many or no
                classes of the model, or if the model returns no logits (N, K).
        """

    def run(self, model: nn.Module, images: Tensor, labels: Tensor) -> AttackResult:
        """Attack the images that do not fool the model yet, and return what came of it.

        An attacker who has no labels (`needs_labels`) cannot know which these are: he attacks all.

        Args and errors as in `perturb`.
        """
        labels, _ = check_inputs(model, images, labels)
        started = perf_counter()
        images = images.detach()
        adversarial, success = images.clone(), torch.zeros(0, dtype=torch.bool, device="cpu")
        passes, count = Passes(), 1
        if len(images):
            todo = torch.arange(len(images), device="cpu")
            if self.needs_labels:
                todo = todo[~self.fooled(model, images, labels)]
            if len(todo):
                with _counted(model) as passes:
                    adversarial[todo] = self.perturb(model, images[todo], labels[todo])
                count = len(todo)
            success = self.fooled(model, adversarial, labels)
        rates = (passes.forward / count, passes.backward / count)
        return AttackResult(images, adversarial, labels, success, *rates, perf_counter() - started)

    def fooled(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return which images fool the model: booleans (N,). Here: its answer is wrong."""
        return predict(model, images) != check_labels(labels, len(images))


def in_batches(
    function: Callable[[Tensor, Tensor | None], Tensor],
    model: nn.Module,
    images: Tensor,
    labels: Tensor | None,
    *,
    seed: int | None = None,
    label: str = "",
    batch_size: int | None = None,
) -> Tensor:
    """Return the outcome of a library's attack, batch by batch, with progress, as a CPU tensor.

    Parameters are frozen: their gradients would cost as much as those of the images. Gradients are computed in float32
    on every device.

    Args:
        function: the attack: images and labels on the model's device to adversarial images.
        model: what is attacked.
        images: shape (N, 1, 28, 28).
        labels: shape (N,), or None if the attack asks the model.
        seed: of an attack that draws from the global random numbers, which are put back afterwards.
        label: of the progress bar.
        batch_size: images at once (None: `inference.BATCH_SIZE`).
    """
    device, size = device_of(model), batch_size or BATCH_SIZE
    adversarial = []
    numbers: AbstractContextManager[object] = nullcontext() if seed is None else global_numbers(seed)
    with numbers, matched(model, images), frozen(model), sooner(model), plain_circumstances(device), _quietly():
        images, labels = detached(images), None if labels is None else detached(labels)
        for start in tqdm(range(0, len(images), size), desc=label, leave=False):
            batch = slice(start, start + size)
            batch_labels = None if labels is None else labels[batch].to(device)
            adversarial.append(function(images[batch].to(device), batch_labels).detach().cpu())
    return torch.cat(adversarial) if adversarial else images.clone()


@contextmanager
def _advertorchs_warnings_ignored() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"advertorch\.")  # PyTorch's, about calls that advertorch makes
        yield


# Warnings are the whole process', but each thread's own in a Python without a global lock.
_has_own_warnings = getattr(sys.flags, "context_aware_warnings", False)
_quietly = _advertorchs_warnings_ignored if _has_own_warnings else shared(_advertorchs_warnings_ignored)


def check_inputs(
    model: nn.Module, images: Tensor, labels: Tensor | None, name: str = "labels", *, in_logits: Attack | None = None
) -> tuple[Tensor, int]:
    """Return labels as int64 (N,), and how many classes the model tells apart; without images it is not asked: 0.

    Args:
        model, images, labels: as in `Attack.perturb`.
        name: what the labels are called in a message.
        in_logits: an attack that probabilities may weaken; if it does, that is said.

    Raises:
        TypeError, ValueError: unless images, labels and model fit together.

    Warns:
        ProbabilitiesWarning: see `in_logits`.
    """
    n_classes = check_model(model, images, in_logits)
    return check_labels(labels, len(images), n_classes or None, name=name), n_classes


def check_model(model: nn.Module, images: Tensor, in_logits: Attack | None = None) -> int:
    """Return how many classes the model tells apart, 0 without images; raise and warn as `check_inputs` does."""
    if not len(check_images(images)):
        return 0
    n_classes = n_classes_of(model, images)
    if in_logits is not None and in_logits.in_logits:
        user = f"a {type(in_logits).__name__} of a {type(model).__name__}"
        warn_of_probabilities(outputs_of_a_few(model, images), user)
    return n_classes


def set_epsilon(attack: Attack) -> None:
    """Make ε, a change of a pixel, a float; raise a ValueError unless it lies in [0, 1]."""
    set_numbers(attack, "epsilon", least=0, most=1, unit=", in pixel units")
