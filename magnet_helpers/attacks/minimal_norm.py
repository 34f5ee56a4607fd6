"""Attacks that look for the smallest change that fools the model: in L2, in L1, in the number of pixels.

They have no bound ε. Whether a change counts as small is judged afterwards (`AttackResult.within`). All are
advertorch's.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from magnet_helpers.attacks import _advertorch as advertorch
from magnet_helpers.attacks.base import Attack, check_inputs, in_batches
from magnet_helpers.contracts import set_counts, set_numbers
from magnet_helpers.inference import apply_model, check_gradient, classes_of


@dataclass(frozen=True)
class MinimalNormAttack(Attack):
    """What the attacks below have in common. An image whose answer could not be changed comes back as it was."""

    @abstractmethod
    def on(self, model: nn.Module, n_classes: int) -> advertorch.Attack:
        """Return advertorch's attack on a model of so many classes, with these settings."""

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the adversarial images, as `Attack.perturb` does."""
        labels, n_classes = check_inputs(model, images, labels, in_logits=self)
        if len(images):
            check_gradient(model, images)
        return in_batches(self.on(model, n_classes).perturb, model, images, labels, label=repr(self))


@dataclass(frozen=True)
class _Search(MinimalNormAttack):
    """What Carlini & Wagner's attack and its sparse kin share: descent on size + c·margin, and a search for c.

    Args:
        confidence: κ, at least 0, in logits: by how much the wrong answer has to win.
        iterations: steps for each c, at least 1.
        searches: values of c that are tried, by bisection, at least 1.
        learning_rate: step size.
        first_c: where the search begins.
    """

    in_logits: ClassVar[bool] = True

    confidence: float = 0.0
    iterations: int = 200
    searches: int = 5
    learning_rate: float = 0.05
    first_c: float = 0.1

    def __post_init__(self) -> None:
        set_counts(self, iterations=1, searches=1)
        set_numbers(self, "learning_rate", "first_c", above=0)
        set_numbers(self, "confidence", least=0)
        if self.confidence.is_integer():  # 5 and 5.0 have one `repr`: that of the kept results
            object.__setattr__(self, "confidence", int(self.confidence))

    @property
    def _settings(self) -> dict[str, float]:
        """The same in advertorch's words."""
        return {
            "confidence": self.confidence,
            "learning_rate": self.learning_rate,
            "binary_search_steps": self.searches,
            "max_iterations": self.iterations,
            "initial_const": self.first_c,
        }


@dataclass(frozen=True)
class CarliniWagner(_Search):
    """Carlini & Wagner's L2 attack (2017): minimise ‖δ‖²₂ + c·max(margin + κ, 0) by Adam, and search for the least c.

    The margin is the right class's logit minus the largest other one.

    Args:
        confidence: κ, at least 0, in logits: by how much the wrong answer has to win.
        iterations: Adam's steps for each c, at least 1.
        searches: values of c that are tried, by bisection, at least 1.
        learning_rate: Adam's step size.
        first_c: where the search begins.
    """

    def on(self, model: nn.Module, n_classes: int) -> advertorch.Attack:
        """Return advertorch's attack on a model of so many classes, with these settings."""
        return advertorch.CarliniWagnerL2Attack(model, n_classes, **self._settings)


@dataclass(frozen=True)
class ElasticNet(_Search):
    """EAD, the elastic-net attack (Chen et al. 2018): Carlini & Wagner's with β‖δ‖₁ added, so that few pixels change.

    Of the images found on the way, the one with the smallest ‖δ‖²₂ + β‖δ‖₁ is returned.

    Args:
        confidence, iterations, searches, first_c: as in `CarliniWagner`.
        learning_rate: step size of the iterative shrinkage.
        beta: β, the weight of the L1 norm, at least 0.
    """

    beta: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        set_numbers(self, "beta", least=0)

    def on(self, model: nn.Module, n_classes: int) -> advertorch.Attack:
        """Return advertorch's attack on a model of so many classes, with these settings."""
        return advertorch.ElasticNetL1Attack(model, n_classes, beta=self.beta, **self._settings)


@dataclass(frozen=True)
class DDN(MinimalNormAttack):
    """Decoupled direction and norm (Rony et al. 2019): an L2 bound that shrinks while the image fools, and else grows.

    Args:
        steps: number of steps, at least 1.
        gamma: share by which the bound shrinks or grows in a step, in (0, 1).
    """

    steps: int = 100
    gamma: float = 0.05

    def __post_init__(self) -> None:
        set_counts(self, steps=1)
        set_numbers(self, "gamma", above=0, below=1)

    def on(self, model: nn.Module, n_classes: int) -> advertorch.Attack:
        """Return advertorch's attack on a model of so many classes, with these settings."""
        return advertorch.DDNL2Attack(
            model, nb_iter=self.steps, gamma=self.gamma, quantize=False, clip_min=0, clip_max=1
        )


@dataclass(frozen=True)
class JSMA(MinimalNormAttack):
    """Jacobian-based saliency maps (Papernot et al. 2016): two pixels at a time, towards the second likeliest class.

    Args:
        theta: change of a pixel in one step, in pixel units, not 0.
        gamma: largest share of the pixels that are changed, in (0, 1].
    """

    in_logits: ClassVar[bool] = True

    theta: float = 1.0
    gamma: float = 0.1

    def __post_init__(self) -> None:
        set_numbers(self, "theta", least=-1, most=1)
        if self.theta == 0:
            raise ValueError("theta must be a number in [-1, 1] and not 0, got 0")
        set_numbers(self, "gamma", above=0, most=1)

    def on(self, model: nn.Module, n_classes: int) -> advertorch.Attack:
        """Return advertorch's attack on a model of so many classes, with these settings."""
        return advertorch.JacobianSaliencyMapAttack(model, n_classes, theta=self.theta, gamma=self.gamma)

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the adversarial images, as `Attack.perturb` does."""
        labels, _ = check_inputs(model, images, labels)
        if not len(images):
            return images.clone()
        logits = apply_model(model, images).scatter(1, labels[:, None], -torch.inf)
        return super().perturb(model, images, classes_of(logits))
