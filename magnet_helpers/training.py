"""The training loop. It minimises any loss of any model and knows no autoencoder by name.

Each epoch draws its order and its noise from generators derived from the seed and the epoch alone, so a training that
was interrupted and goes on from its checkpoint ends with the same weights as one that was not. What makes a step fast
stands elsewhere: `fast` for CPUs and GPUs, `device` for precision.
"""

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor, nn
from tqdm import tqdm

from magnet_helpers.contracts import as_numbers, check_choice, matched, set_counts, set_numbers
from magnet_helpers.data import LabeledImages, check_labeled
from magnet_helpers.device import (
    Precision,
    choose_device,
    cpu_threads,
    noise_device,
    place,
    reduced_precision,
    without_autocast,
)
from magnet_helpers.fast.cuda_graphs import are_usable, captured
from magnet_helpers.fast.switch import sooner
from magnet_helpers.inference import apply_model, detached, frozen, is_constant
from magnet_helpers.losses import Loss
from magnet_helpers.seeds import derived_seed, new_generator

Schedule = Literal["constant", "linear", "linear tail"]
_VALIDATION_BATCH_SIZE = 250
_COLLAPSE_CHECK_IMAGES = 256


class TrainingDivergedError(RuntimeError):
    """The loss became infinite or not a number."""


class CollapseWarning(UserWarning):
    """An autoencoder returns the same image whatever it is shown."""


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast to train. The defaults are the paper's; its batch size is known from its program only.

    Args:
        epochs: passes over the training images.
        batch_size: images per step.
        learning_rate: Adam's step size.
        betas: Adam's decay rates.
        adam_epsilon: Adam's ε.
        schedule: `"constant"`; `"linear"`: the step size rises over the first tenth of the steps (a large first step
            kills ReLU units) and falls to zero over the rest; `"linear tail"`: it is constant and falls to zero over
            the last quarter.
        seed: fixes the order of the images and all noise.
        cpu_threads: threads of a training on the CPU (None: as many as PyTorch uses). The number of threads may decide
            about the last bit of a sum, so it belongs to what makes a training repeatable.
        precision: of the products in forward and backward pass; weights and their updates are always float32.
            `"auto"`: bfloat16 where the processor has instructions for it, else float32 (`device.reduced_precision`).

    >>> TrainingConfig(epochs=1, seed=1).epochs
    1
    """

    epochs: int
    batch_size: int = 64
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    adam_epsilon: float = 1e-7
    schedule: Schedule = "constant"
    seed: int = 0
    cpu_threads: int | None = None
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        set_counts(self, epochs=1, batch_size=1, seed=0, **({} if self.cpu_threads is None else {"cpu_threads": 1}))
        set_numbers(self, "learning_rate", above=0)
        set_numbers(self, "adam_epsilon", least=0)
        object.__setattr__(self, "betas", as_numbers("betas", self.betas, 2, least=0, below=1))
        check_choice("schedule", self.schedule, get_args(Schedule))
        check_choice("precision", self.precision, get_args(Precision))

    def step_size(self, progress: float) -> float:
        """Return Adam's step size after a share `progress` in (0, 1) of all steps."""
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "linear tail":
            return self.learning_rate * min(1.0, 4 * (1 - progress))
        return self.learning_rate * min(10 * progress, (1 - progress) / 0.9)


@dataclass(frozen=True)
class Epoch:
    """One epoch: mean losses per image over the training and the validation images, and its seconds."""

    training_loss: float
    validation_loss: float
    seconds: float


@dataclass(frozen=True)
class History:
    """What a training was like.

    Attributes:
        epochs: one record per epoch.
        collapsed: whether the trained model is an autoencoder with a constant output.
    """

    epochs: tuple[Epoch, ...] = ()
    collapsed: bool = False

    @property
    def seconds(self) -> float:
        """Seconds of all epochs together."""
        return sum(epoch.seconds for epoch in self.epochs)


class Checkpoint(Protocol):
    """Where `fit` leaves its state after every epoch, and finds it again."""

    def load(self) -> tuple[dict[str, Tensor], tuple[Epoch, ...]] | None:
        """Return the last saved state, or None."""
        ...

    def save(self, tensors: Mapping[str, Tensor], epochs: tuple[Epoch, ...]) -> None:
        """Replace the saved state, wholly or not at all."""
        ...


def _state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    return tensors


def _restore(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    parameters = list(model.parameters())
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            # Fused Adam walks through memory: moments must lie there as their parameter does. A file keeps no layout.
            like = parameters[int(index)] if value.ndim else value
            moments.setdefault(int(index), {})[name] = torch.empty_like(like).copy_(value)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})


def _adam(model: nn.Module, config: TrainingConfig, device: torch.device) -> torch.optim.Adam:
    # A graph reads the step size from the GPU's memory.
    as_graph = are_usable(device)
    rate = torch.tensor(config.learning_rate, device=device) if as_graph else config.learning_rate
    return torch.optim.Adam(
        model.parameters(), rate, config.betas, config.adam_epsilon, fused=True, capturable=as_graph
    )


def _set_step_size(optimizer: torch.optim.Optimizer, value: float) -> None:
    (group,) = optimizer.param_groups
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(value)
    else:
        group["lr"] = value


def _validation_loss(
    model: nn.Module, loss: Loss, images: Tensor, labels: Tensor, seed: int, noise_device: torch.device
) -> float:
    generator = new_generator(seed, "validation noise", noise_device)
    total = torch.zeros((), dtype=torch.float32, device=images.device)
    with frozen(model), torch.no_grad():
        for batch, batch_labels in zip(
            images.split(_VALIDATION_BATCH_SIZE), labels.split(_VALIDATION_BATCH_SIZE), strict=True
        ):
            total += loss(model, batch, batch_labels, generator) * len(batch)
    return total.item() / len(images)


@torch.inference_mode(mode=False)  # which switches gradients on, too
def fit(
    model: nn.Module,
    loss: Loss,
    train: LabeledImages,
    validation: LabeledImages,
    config: TrainingConfig,
    *,
    device: torch.device | None = None,
    checkpoint: Checkpoint | None = None,
    label: str = "training",
) -> History:
    """Train the model in place with Adam and return its history.

    Args:
        model: moved to `device`; left in evaluation mode.
        loss: called as `loss(model, images, labels, generator)`.
        train: images to learn from.
        validation: images whose loss is measured after each epoch; nothing is chosen by it.
        config: epochs, batch size, learning rate, seed.
        device: default `choose_device()`.
        checkpoint: if given, the state is saved there after each epoch and taken up from there.
        label: the model's name in the progress bar, in errors and in warnings.

    Raises:
        TrainingDivergedError: if the loss is no finite number.

    Warns:
        CollapseWarning: if the model is an autoencoder whose output is constant.
    """
    check_labeled(train=train, validation=validation)
    device = torch.device(device or choose_device())
    place(model, device)
    images, labels = detached(train.images).to(device), detached(train.labels).to(device)
    held_out, held_out_labels = validation.images.to(device, copy=True), validation.labels.to(device)
    optimizer = _adam(model, config, device)
    history = History()
    if checkpoint is not None and (saved := checkpoint.load()) is not None:
        _restore(model, optimizer, saved[0])
        history = History(saved[1])
    noise = torch.Generator(noise_device(device))
    total = torch.zeros((), dtype=torch.float32, device=device)

    def eager(batch: Tensor) -> None:
        with reduced_precision(device, config.precision):
            value = loss(model, images[batch], labels[batch], noise)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        total.add_(value.detach(), alpha=len(batch))

    step: Callable[[Tensor], None] = eager
    steps_per_epoch = math.ceil(len(train) / config.batch_size)
    steps, done = config.epochs * steps_per_epoch, len(history.epochs) * steps_per_epoch
    with (
        matched(model, images),
        without_autocast(device),
        sooner(model),
        cpu_threads(config.cpu_threads),
        tqdm(total=steps, initial=done, desc=label, leave=False) as bar,
    ):
        if are_usable(device) and len(train) >= config.batch_size:
            model.train()
            step = captured(eager, lambda: _state(model, optimizer), images.new_zeros(config.batch_size).long(), noise)
        for epoch in range(len(history.epochs), config.epochs):
            started = time.perf_counter()
            model.train()
            source = new_generator(config.seed, f"order, epoch {epoch}")
            order = torch.randperm(len(train), generator=source, device="cpu")
            noise.manual_seed(derived_seed(config.seed, f"noise, epoch {epoch}"))
            total.zero_()
            for batch in order.to(device).split(config.batch_size):
                _set_step_size(optimizer, config.step_size((done + 0.5) / steps))
                step(batch)
                done += 1
                bar.update()
            training_loss = total.item() / len(train)
            validation_loss = _validation_loss(model, loss, held_out, held_out_labels, config.seed, noise.device)
            _check_finite(training_loss, validation_loss, epoch, label, config)
            record = Epoch(training_loss, validation_loss, time.perf_counter() - started)
            history = History((*history.epochs, record))
            if checkpoint is not None:
                checkpoint.save(_state(model, optimizer), history.epochs)
    model.eval()
    return replace(history, collapsed=_warn_if_collapsed(model, validation, label))


def _check_finite(training: float, validation: float, epoch: int, label: str, config: TrainingConfig) -> None:
    if not (math.isfinite(training) and math.isfinite(validation)):
        raise TrainingDivergedError(
            f"{label}: the loss is no finite number in epoch {epoch + 1} (training {training}, validation "
            f"{validation}). Likely causes: a learning rate too large (it is {config.learning_rate}), "
            "images with NaN or far outside [0, 1], or a penalty weight that dwarfs the error."
        )


def _warn_if_collapsed(model: nn.Module, validation: LabeledImages, label: str) -> bool:
    images = validation.images[:_COLLAPSE_CHECK_IMAGES, :1]  # of pairs the clean ones
    outputs = apply_model(model, images)
    collapsed = len(images) > 1 and outputs.shape == images.shape and is_constant(outputs, images)
    if collapsed:
        warn_collapsed(label)
    return collapsed


def warn_collapsed(label: str) -> None:
    """Warn that the autoencoder of that name has collapsed."""
    warnings.warn(
        f"{label} has collapsed: it returns the same image whatever it is shown, so everything behind it is at chance. "
        "Train it again with another seed or a smaller learning rate.",
        CollapseWarning,
        stacklevel=3,
    )
