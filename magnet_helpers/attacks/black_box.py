"""Attacks that only ask the model: no gradient, and of the last one not even a score.

SPSA is advertorch's; ZOO, Square and HopSkipJump are those of the adversarial-robustness-toolbox (ART).
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from magnet_helpers.attacks import _advertorch as advertorch
from magnet_helpers.attacks.base import Attack, check_inputs, in_batches, set_epsilon
from magnet_helpers.contracts import check_choice, set_counts, set_numbers
from magnet_helpers.device import device_of
from magnet_helpers.inference import predict
from magnet_helpers.seeds import derived_seed, new_generator

_IMAGES_AT_ONCE = 25  # so that progress shows, and memory stays small
_RANDOM_STARTS = 50


@dataclass(frozen=True)
class SPSA(Attack):
    """Gradient descent on a gradient guessed from random steps (Uesato et al. 2018), within ε in L∞.

    Args:
        epsilon: ε, the largest change of a pixel (L∞), in pixel units, in [0, 1].
        steps: of Adam, at least 1.
        samples: random directions for each step, at least 1; each costs two questions.
        step_size: Adam's step size, in pixel units, more than 0.
        delta: length of the random steps, in pixel units, more than 0.
        seed: of the random directions.
    """

    epsilon: float = 0.3
    steps: int = 40
    samples: int = 64
    step_size: float = 0.03
    delta: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        set_epsilon(self)
        set_counts(self, steps=1, samples=1, seed=0)
        set_numbers(self, "step_size", "delta", above=0)

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the adversarial images, as `Attack.perturb` does."""
        labels, _ = check_inputs(model, images, labels)
        attack = advertorch.LinfSPSAAttack(
            model,
            self.epsilon,
            delta=self.delta,
            lr=self.step_size,
            nb_iter=self.steps,
            nb_sample=self.samples,
            max_batch_size=self.samples,
            loss_fn=nn.CrossEntropyLoss(reduction="none"),
        )

        def without_gradients(batch: Tensor, batch_labels: Tensor | None) -> Tensor:
            with torch.no_grad():  # it asks for none, but autograd would keep every answer
                return attack.perturb(batch, batch_labels)  # type: ignore[no-any-return]

        seed = derived_seed(self.seed, "SPSA")
        return in_batches(
            without_gradients, model, images, labels, seed=seed, label=repr(self), batch_size=_IMAGES_AT_ONCE
        )


@dataclass(frozen=True)
class _OfART(Attack):
    """What the attacks of ART have in common."""

    images_at_once: ClassVar[int] = _IMAGES_AT_ONCE

    @abstractmethod
    def on(self, classifier: Any) -> Any:
        """Return ART's attack on ART's view of a model."""

    def _arguments(self, model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Any]:
        """Return what `generate` takes beside images and labels."""
        return {}

    @property
    def _seed(self) -> int:
        return derived_seed(getattr(self, "seed", 0), type(self).__name__)

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the adversarial images, as `Attack.perturb` does."""
        labels, n_classes = check_inputs(model, images, labels, in_logits=self)
        if not len(images) or self.bound == ("L∞", 0):  # ART takes no ε of 0
            return images.clone()
        attack = self.on(_in_arts_eyes(model, images, n_classes))

        def generate(batch: Tensor, batch_labels: Tensor | None) -> Tensor:
            assert batch_labels is not None
            arguments = self._arguments(model, batch, batch_labels)
            adversarial = attack.generate(batch.cpu().numpy(), batch_labels.cpu().numpy(), **arguments)
            return torch.from_numpy(np.asarray(adversarial, np.float32)).clamp(0, 1)

        return in_batches(
            generate, model, images, labels, seed=self._seed, label=repr(self), batch_size=self.images_at_once
        )


@dataclass(frozen=True)
class ZOO(_OfART):
    """Zeroth-order optimisation (Chen et al. 2017): Carlini & Wagner's loss, its gradient by finite differences.

    Args:
        confidence: κ, as in `CarliniWagner`.
        iterations: steps for each c, at least 1.
        searches: values of c that are tried, at least 1.
        pixels: changed in each step, in 1 … 784, and no more than the image has; each costs two questions.
        learning_rate: of Adam for each pixel, more than 0.
        first_c: where the search for c begins, more than 0.
        difference: step of the finite differences, in pixel units, more than 0.
        seed: of the choice of pixels.
    """

    in_logits: ClassVar[bool] = True

    confidence: float = 0.0
    iterations: int = 100
    searches: int = 3
    pixels: int = 128
    learning_rate: float = 0.1
    first_c: float = 1.0
    difference: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        set_counts(self, iterations=1, searches=1, pixels=1, seed=0)
        set_numbers(self, "learning_rate", "first_c", "difference", above=0)
        set_numbers(self, "confidence", least=0)
        if self.pixels > 784:
            raise ValueError(f"pixels must be at most 784, got {self.pixels}")

    def on(self, classifier: Any) -> Any:
        """Return ART's attack on ART's view of a model."""
        from magnet_helpers.attacks._art import ZooAttack

        return ZooAttack(
            classifier,
            confidence=self.confidence,
            learning_rate=self.learning_rate,
            max_iter=self.iterations,
            binary_search_steps=self.searches,
            initial_const=self.first_c,
            use_resize=False,
            use_importance=False,
            nb_parallel=self.pixels,
            variable_h=self.difference,
            verbose=False,
        )


@dataclass(frozen=True)
class Square(_OfART):
    """Square attack (Andriushchenko et al. 2020): random squares of ±ε that stay where they raise the loss.

    Args:
        epsilon: ε, the largest change of a pixel (L∞), in pixel units, in [0, 1].
        queries: questions for each image and attempt, at least 1.
        restarts: attempts, at least 1.
        seed: of the squares.
    """

    images_at_once: ClassVar[int] = 100  # one question for each image at a time: twice as fast as 25

    in_logits: ClassVar[bool] = True

    epsilon: float = 0.3
    queries: int = 500
    restarts: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        set_epsilon(self)
        set_counts(self, queries=1, restarts=1, seed=0)

    def on(self, classifier: Any) -> Any:
        """Return ART's attack on ART's view of a model."""
        from magnet_helpers.attacks._art import SquareAttack

        shape = classifier.input_shape
        if len(shape) != 3 or shape[1] != shape[2]:
            raise ValueError(
                f"images must be as wide as they are high, (N, C, H, H), got {shape} each: crop or pad them"
            )
        return SquareAttack(
            classifier, norm=np.inf, max_iter=self.queries, eps=self.epsilon, nb_restarts=self.restarts, verbose=False
        )


@dataclass(frozen=True)
class HopSkipJump(_OfART):
    """HopSkipJump (Chen et al. 2020): a walk along the boundary that sees nothing but the answers.

    It begins at the nearest image with another answer, among the other images and some of random noise. An image for
    which there is none comes back as it was.

    Args:
        norm: of the change that is made small.
        steps: of the walk, at least 1.
        queries: largest number of questions for one guess of the gradient, at least 1.
        first_queries: the number of the first guess, at least 1, at most `queries`.
        seed: of the random directions.
    """

    norm: Literal["L2", "L∞"] = "L2"
    steps: int = 10
    queries: int = 500
    first_queries: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("norm", self.norm, ("L2", "L∞"))
        set_counts(self, steps=1, queries=1, first_queries=1, seed=0)
        if self.first_queries > self.queries:
            raise ValueError(f"first_queries must be at most queries, got {self}")

    def on(self, classifier: Any) -> Any:
        """Return ART's attack on ART's view of a model."""
        from magnet_helpers.attacks._art import HopSkipJump as ARTs

        return ARTs(
            classifier,
            norm=2 if self.norm == "L2" else np.inf,
            max_iter=self.steps,
            max_eval=self.queries,
            init_eval=self.first_queries,
            init_size=1,  # its own search for a beginning draws from random numbers that nobody can seed
            verbose=False,
        )

    def _arguments(self, model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Any]:
        generator = new_generator(self.seed, "HopSkipJump's beginnings")
        noise = torch.rand((_RANDOM_STARTS, *images.shape[1:]), generator=generator, device="cpu").to(images)
        pool = torch.cat([images, noise])
        answers = predict(model, pool).to(labels.device)
        distances = torch.cdist(images.flatten(start_dim=1), pool.flatten(start_dim=1))
        distances[labels[:, None] == answers[None]] = torch.inf
        return {"x_adv_init": pool[distances.argmin(dim=1)].cpu().numpy()}


class _Asked(nn.Module):
    """Asks a model where it is, in float32: some of ART's attacks ask with float64 images.

    It is no module of this one. ART would move it to a device that ART knows, and set its mode.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.models = (model,)

    def forward(self, images: Tensor) -> Tensor:
        (model,) = self.models
        answers: Tensor = model(images.float().to(device_of(model)))
        return answers


def _in_arts_eyes(model: nn.Module, images: Tensor, n_classes: int) -> Any:
    from magnet_helpers.attacks._art import PyTorchClassifier  # takes seconds to import

    shape = tuple(images.shape[1:])
    return PyTorchClassifier(
        _Asked(model), nn.CrossEntropyLoss(), shape, n_classes, clip_values=(0.0, 1.0), device_type="cpu"
    )
