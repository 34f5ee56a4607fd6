"""Attacks on a network: advertorch's, behind one interface that changes nothing but the images it returns."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from magnet_helpers._advertorch import Attack, GradientSignAttack, LinfPGDAttack
from magnet_helpers.device import device_of, full_precision
from magnet_helpers.inference import BATCH_SIZE, frozen, predict
from magnet_helpers.seeds import derived_seed


@dataclass(frozen=True)
class GradientAttack:
    """What the attacks below have in common: they follow ∂loss(x, y)/∂x and change no pixel by more than ε.

    Args:
        epsilon: ε, the largest change of a pixel (L∞), in pixel units, in [0, 1].
        labels: `"predicted"`: y is the model's own answer, as in the paper; `"given"`: y is passed in.
    """

    epsilon: float = 0.3
    labels: Literal["predicted", "given"] = "predicted"

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon must be in [0, 1], in pixel units, got {self.epsilon}")
        if self.labels not in ("predicted", "given"):
            raise ValueError(f'labels must be "predicted" or "given", got {self.labels!r}')

    def on(self, model: nn.Module) -> Attack:
        """Return advertorch's attack on a model, with these settings."""
        raise NotImplementedError

    def perturb(
        self, model: nn.Module, images: Tensor, labels: Tensor | None = None, *, predicted: Tensor | None = None
    ) -> Tensor:
        """Return the adversarial images, a new CPU tensor of the shape of `images`.

        Gradients are computed in float32 on every device. The model's mode, its parameters' `requires_grad` and
        `.grad`, and `images` stay as they are.

        Args:
            model: maps images (N, 1, 28, 28) to logits (N, 10). To attack reformer and classifier together (white box),
                pass `defenses.ReformedClassifier`.
            images: in [0, 1].
            labels: shape (N,); needed if the attack's `labels` is `"given"`, else not used.
            predicted: shape (N,), the model's own answers to these images if they are known already; used if the
                attack's `labels` is `"predicted"`, and else computed.

        Raises:
            ValueError: if the images are outside [0, 1] or hold NaN, or if labels are missing, too few or too many.
        """
        _check_images(images)
        labels = self._labels(images, labels, predicted)
        device, attack = device_of(model), self.on(model)
        adversarial = []
        # Frozen parameters take no gradients: they would cost as much as those of the images.
        with frozen(model), torch.enable_grad(), full_precision():
            for start in tqdm(range(0, len(images), BATCH_SIZE), desc=repr(self), leave=False):
                batch = slice(start, start + BATCH_SIZE)
                answers = None if labels is None else labels[batch].to(device)
                adversarial.append(attack.perturb(images[batch].to(device), answers).cpu())
        return torch.cat(adversarial) if adversarial else images.clone()

    def _labels(self, images: Tensor, labels: Tensor | None, predicted: Tensor | None) -> Tensor | None:
        """Return y for each image; None if the model is still to be asked."""
        if self.labels == "predicted":
            if predicted is not None and len(predicted) != len(images):
                raise ValueError(
                    f"predicted must have an answer for each of {len(images)} images, got {len(predicted)}"
                )
            return predicted
        if labels is None or len(labels) != len(images):
            got = "none" if labels is None else str(len(labels))
            raise ValueError(f"this attack needs a label for each of the {len(images)} images, got {got}")
        return labels


@dataclass(frozen=True)
class FGSM(GradientAttack):
    """Fast gradient sign method: x′ = clip(x + ε·sign ∂loss(x, y)/∂x, 0, 1) (Goodfellow et al. 2015).

    Args:
        epsilon: ε, the largest change of a pixel (L∞), in pixel units, in [0, 1].
        labels: `"predicted"`: y is the model's own answer, as in the paper; `"given"`: y is passed in.
    """

    def on(self, model: nn.Module) -> Attack:
        """Return advertorch's attack on a model, with these settings."""
        return GradientSignAttack(model, _loss(), eps=self.epsilon, clip_min=0, clip_max=1)


@dataclass(frozen=True)
class PGD(GradientAttack):
    """Projected gradient descent (Madry et al. 2018): many small steps of the gradient's sign.

    After each step the image is brought back to within ε of where it began, and into [0, 1].

    Args:
        epsilon: ε, the largest change of a pixel (L∞), in pixel units, in [0, 1].
        labels: as in `FGSM`.
        steps: number of steps, at least 1.
        step_size: change of a pixel in one step, more than 0, in pixel units.
        restarts: 0: one attempt, from the image itself. Else the number of attempts, each from a random point within ε
            of the image; an image that the model no longer gives its label is not attacked again.
        seed: of the random points.
    """

    steps: int = 40
    step_size: float = 0.01
    restarts: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("steps", 1), ("restarts", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not self.step_size > 0:
            raise ValueError(f"step_size must be more than 0, in pixel units, got {self.step_size}")

    def on(self, model: nn.Module) -> Attack:
        """Return advertorch's attack on a model, with these settings."""
        settings = (self.epsilon, self.steps, self.step_size)
        return LinfPGDAttack(model, _loss(), *settings, rand_init=self.restarts > 0, clip_min=0, clip_max=1)

    def perturb(
        self, model: nn.Module, images: Tensor, labels: Tensor | None = None, *, predicted: Tensor | None = None
    ) -> Tensor:
        """Return the adversarial images, as `GradientAttack.perturb` does."""
        if not self.restarts or not len(images):
            return super().perturb(model, images, labels, predicted=predicted)
        _check_images(images)
        labels = self._labels(images, labels, predicted)
        if labels is None:
            labels = predict(model, images)
        adversarial = images.clone()
        todo = torch.arange(len(images))
        for number in range(self.restarts):
            theirs = labels[todo]
            with torch.random.fork_rng(devices=_gpus(model)):  # advertorch draws from the global generator
                torch.manual_seed(derived_seed(self.seed, f"restart {number}"))
                adversarial[todo] = super().perturb(model, images[todo], theirs, predicted=theirs)
            todo = todo[predict(model, adversarial[todo]) == theirs]
            if not len(todo):
                break
        return adversarial


def _gpus(model: nn.Module) -> list[torch.device]:
    device = device_of(model)
    return [device] if device.type == "cuda" else []


def _loss() -> nn.Module:
    return nn.CrossEntropyLoss(reduction="sum")  # an image's gradient does not depend on the others


def _check_images(images: Tensor) -> None:
    if not len(images):
        return
    lowest, highest = images.min().item(), images.max().item()
    if not (lowest >= 0 and highest <= 1):
        raise ValueError(
            f"images must lie in [0, 1], got values from {lowest} to {highest}: scale them (for bytes: divide by 255)"
        )
