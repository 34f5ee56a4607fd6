"""Attacks that follow the loss's gradient and stay within a bound: FGSM and its iterations. All are advertorch's."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from magnet_helpers.attacks import _advertorch as advertorch
from magnet_helpers.attacks.base import Attack, check_inputs, check_model, in_batches, set_epsilon
from magnet_helpers.contracts import check_choice, set_counts, set_numbers
from magnet_helpers.inference import predict
from magnet_helpers.seeds import derived_seed


@dataclass(frozen=True)
class GradientAttack(Attack):
    """What the attacks below have in common: they follow ∂loss(x, y)/∂x and change no image by more than ε.

    Args:
        epsilon: ε, the largest change of a pixel (L∞), in pixel units, in [0, 1].
        labels: `"predicted"`: y is the model's own answer, as in the paper; `"given"`: y is passed in.
    """

    epsilon: float = 0.3
    labels: Literal["predicted", "given"] = "predicted"

    def __post_init__(self) -> None:
        self._set_epsilon()
        check_choice("labels", self.labels, ("predicted", "given"))

    @property
    def bound(self) -> tuple[str, float]:
        """The norm and the ε that it keeps within."""
        return "L∞", self.epsilon

    def _set_epsilon(self) -> None:
        set_epsilon(self)

    @property
    def needs_labels(self) -> bool:
        """Whether the attacker knows the right answers."""
        return self.labels == "given"

    @abstractmethod
    def on(self, model: nn.Module) -> advertorch.Attack:
        """Return advertorch's attack on a model, with these settings."""

    def perturb(
        self, model: nn.Module, images: Tensor, labels: Tensor | None = None, *, predicted: Tensor | None = None
    ) -> Tensor:
        """Return the adversarial images, as `Attack.perturb` does.

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
        labels = self._labels(model, images, labels, predicted)
        return in_batches(self.on(model).perturb, model, images, labels, label=repr(self))

    def _labels(
        self, model: nn.Module, images: Tensor, labels: Tensor | None, predicted: Tensor | None
    ) -> Tensor | None:
        """Return y for each image; None if the model is still to be asked. Raises as `perturb` does."""
        if self.needs_labels:
            return check_inputs(model, images, labels, in_logits=self)[0]
        if predicted is not None:
            return check_inputs(model, images, predicted, "predicted", in_logits=self)[0]
        check_model(model, images, self)
        return None


@dataclass(frozen=True)
class FGSM(GradientAttack):
    """Fast gradient sign method: x′ = clip(x + ε·sign ∂loss(x, y)/∂x, 0, 1) (Goodfellow et al. 2015).

    By hand in lesson 06.

    Args:
        epsilon: ε, the largest change of a pixel (L∞), in pixel units, in [0, 1].
        labels: `"predicted"`: y is the model's own answer, as in the paper; `"given"`: y is passed in.

    >>> classifier = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    >>> images = torch.full((1, 1, 28, 28), 0.5)
    >>> change = FGSM(epsilon=0.3).perturb(classifier, images, torch.tensor([3])) - images
    >>> round(change.abs().max().item(), 4)
    0.3
    """

    def on(self, model: nn.Module) -> advertorch.Attack:
        """Return advertorch's attack on a model, with these settings."""
        return advertorch.GradientSignAttack(model, _loss(), eps=self.epsilon, clip_min=0, clip_max=1)


@dataclass(frozen=True)
class IFGSM(GradientAttack):
    """Iterative FGSM (Kurakin et al. 2017): small steps of the gradient's sign, from the image itself.

    After each step the image is brought back to within ε of where it began, and into [0, 1].

    Args:
        epsilon: ε, the largest change of a pixel (L∞), in pixel units, in [0, 1].
        labels: as in `FGSM`.
        steps: number of steps, at least 1.
        step_size: change of a pixel in one step, more than 0, in pixel units.
    """

    steps: int = 40
    step_size: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        set_counts(self, steps=1)
        set_numbers(self, "step_size", above=0)

    def on(self, model: nn.Module) -> advertorch.Attack:
        """Return advertorch's attack on a model, with these settings."""
        return advertorch.LinfBasicIterativeAttack(model, _loss(), self.epsilon, self.steps, self.step_size, 0, 1)


@dataclass(frozen=True)
class MIFGSM(IFGSM):
    """Momentum iterative FGSM (Dong et al. 2018): `IFGSM` along a running mean of the gradients.

    Args:
        epsilon: ε, the largest change of a pixel (L∞), in pixel units, in [0, 1].
        labels: as in `FGSM`.
        steps: number of steps, at least 1.
        step_size: change of a pixel in one step, more than 0, in pixel units.
        decay: weight of the earlier gradients, at least 0.
    """

    decay: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        set_numbers(self, "decay", least=0)

    def on(self, model: nn.Module) -> advertorch.Attack:
        """Return advertorch's attack on a model, with these settings."""
        settings = (self.epsilon, self.steps, self.decay, self.step_size)
        return advertorch.LinfMomentumIterativeAttack(model, _loss(), *settings, 0, 1)


@dataclass(frozen=True)
class PGD(IFGSM):
    """Projected gradient descent (Madry et al. 2018): the steps of `IFGSM`, from random points.

    Args:
        epsilon: ε, the largest change of a pixel (L∞), in pixel units, in [0, 1].
        labels: as in `FGSM`.
        steps: number of steps, at least 1.
        step_size: change of a pixel in one step, more than 0, in pixel units.
        restarts: 0: one attempt, from the image itself. Else the number of attempts, each from a random point within ε
            of the image; an image that fools the model is not attacked again.
        seed: of the random points.
    """

    restarts: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        set_counts(self, restarts=0, seed=0)

    def on(self, model: nn.Module) -> advertorch.Attack:
        """Return advertorch's attack on a model, with these settings."""
        settings = (self.epsilon, self.steps, self.step_size)
        return advertorch.LinfPGDAttack(model, _loss(), *settings, rand_init=self.restarts > 0, clip_min=0, clip_max=1)

    def perturb(
        self, model: nn.Module, images: Tensor, labels: Tensor | None = None, *, predicted: Tensor | None = None
    ) -> Tensor:
        """Return the adversarial images, as `GradientAttack.perturb` does."""
        if not self.restarts:
            return super().perturb(model, images, labels, predicted=predicted)
        labels = self._labels(model, images, labels, predicted)
        if not len(images):
            return images.clone()
        if labels is None:
            labels = predict(model, images)
        adversarial = images.detach().clone()
        todo = torch.arange(len(images), device="cpu")
        for number in range(self.restarts):
            todo_labels, seed = labels[todo], derived_seed(self.seed, f"restart {number}")
            # advertorch draws from the global generator
            attack = self.on(model).perturb
            adversarial[todo] = in_batches(attack, model, images[todo], todo_labels, seed=seed, label=repr(self))
            todo = todo[~self.fooled(model, adversarial[todo], todo_labels)]
            if not len(todo):
                break
        return adversarial


@dataclass(frozen=True)
class PGDL2(PGD):
    """Projected gradient descent in L2: steps along the gradient, brought back to within ε in the Euclidean norm.

    Args:
        epsilon: ε, the largest L2 norm of an image's change, at least 0; MNIST images have norms of about 9.
        labels: as in `FGSM`.
        steps: number of steps, at least 1.
        step_size: L2 norm of one step, more than 0.
        restarts: as in `PGD`.
        seed: of the random points.
    """

    epsilon: float = 2.0
    step_size: float = 0.2

    @property
    def bound(self) -> tuple[str, float]:
        """The norm and the ε that it keeps within."""
        return "L2", self.epsilon

    def _set_epsilon(self) -> None:
        set_numbers(self, "epsilon", least=0)

    def on(self, model: nn.Module) -> advertorch.Attack:
        """Return advertorch's attack on a model, with these settings."""
        settings = (self.epsilon, self.steps, self.step_size)
        return advertorch.L2PGDAttack(model, _loss(), *settings, rand_init=self.restarts > 0, clip_min=0, clip_max=1)


def _loss() -> nn.Module:
    return nn.CrossEntropyLoss(reduction="sum")  # an image's gradient does not depend on the others
