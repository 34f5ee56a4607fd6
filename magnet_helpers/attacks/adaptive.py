"""Attacks that know the whole defence: its reformer, its detectors, and that it draws random numbers.

What they have in common is that they give a library's attack another network to attack: one whose output also says
what the detectors think, one that is the mean over draws, one that has a gradient where the defence has none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from magnet_helpers.attacks import _advertorch as advertorch
from magnet_helpers.attacks.base import Attack, check_inputs, in_batches
from magnet_helpers.attacks.gradient import PGD
from magnet_helpers.attacks.minimal_norm import CarliniWagner
from magnet_helpers.contracts import as_number, check_reformed, set_numbers
from magnet_helpers.inference import apply_model, check_gradient, classes_of
from magnet_helpers.magnet import MagNet


def _not_stopped(magnet: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    outcome = _as_magnet(magnet).judge(images, labels)
    return ~outcome.rejected & (outcome.answers != labels)


def _as_magnet(model: nn.Module) -> MagNet:
    if not isinstance(model, MagNet):
        raise TypeError(f"this attack is made for a whole MagNet, got a {type(model).__name__}")
    return model


# ---- through reformer and detectors together


_PHASES = 4  # of `DetectorAwarePGD`; in each the steps are a third as long as before
_GROWTH = 1.1  # of its weights, per step


@dataclass(frozen=True)
class DetectorAwarePGD(PGD):
    """PGD through reformer and detectors: it raises min(margin, confidence) − weight · Σ hinge(excess + slack).

    The margin is the largest wrong logit minus the right one; once the wrong answer wins by `confidence`, only the
    detectors count. The excess is each detector's score above its threshold, in thresholds (`MagNet.excess`). Each
    image has its own weight: with every step it grows by a tenth where the wrong answer wins by `confidence` and a
    detector still sees the image, and shrinks by as much where no detector does and the wrong answer does not win yet.
    A detector punishes the last step's own size, so the steps become shorter, and of all images on the way the first
    that is accepted *and* answered wrongly is kept. Ours: no library attacks detectors. The sum of hinges is that of
    N. Carlini and D. Wagner, "MagNet and 'Efficient Defenses Against Adversarial Attacks' are Not Robust to Adversarial
    Examples" (2017), who minimise it without a bound ε. By hand in lesson 09: its first step.

    Args:
        epsilon, labels, steps, restarts, seed: as in `PGD`.
        step_size: as in `PGD`, of the first quarter of the steps.
        weight: of the detectors at the start, at least 0; 0 stays 0.
        slack: how far below its threshold a score has to stay, as a share of the threshold, at least 0.
        confidence: in logits, at least 0.
    """

    in_logits: ClassVar[bool] = True
    needs_detectors: ClassVar[bool] = True

    weight: float = 10.0
    slack: float = 0.02
    confidence: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        set_numbers(self, "weight", "slack", "confidence", least=0)

    def on(self, model: nn.Module) -> "_Descent":
        """Return the attack on a MagNet, with these settings."""
        return _Descent(_as_magnet(model), self)

    def fooled(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return which images are accepted and answered wrongly."""
        return _not_stopped(model, images, labels)


@dataclass(frozen=True)
class _Descent:
    """`DetectorAwarePGD` on one MagNet."""

    magnet: MagNet
    settings: DetectorAwarePGD

    def perturb(self, images: Tensor, labels: Tensor | None) -> Tensor:
        settings = self.settings
        if labels is None:
            labels = classes_of(self.magnet(images))
        low, high = (images - settings.epsilon).clamp(min=0), (images + settings.epsilon).clamp(max=1)
        fooled, at = torch.zeros_like(labels, dtype=torch.bool), images.clone()
        best, weight = at, images.new_full((len(images),), settings.weight)
        if settings.restarts:
            at = low + (high - low) * torch.rand_like(images)
        for step in range(settings.steps + 1):  # the last only looks
            at = at.detach().requires_grad_()
            margin, excess = _margin(self.magnet(at), labels), self.magnet.excess(at)
            fools = (margin > 0) & (excess <= 0).all(dim=1)
            best = torch.where((fools & ~fooled)[:, None, None, None], at.detach(), best)
            fooled |= fools
            if step == settings.steps:
                break
            seen = (excess + settings.slack).clamp(min=0).sum(dim=1)
            gain = margin.clamp(max=settings.confidence) - weight * seen
            (slope,) = torch.autograd.grad(gain.sum(), at)
            length = settings.step_size / 3 ** (_PHASES * step // settings.steps)
            at = (at + length * slope.sign()).clamp(low, high)
            weight = _reweighted(weight, margin >= settings.confidence, seen > 0)
        return torch.where(fooled[:, None, None, None], best, at.detach())


def _reweighted(weight: Tensor, wins: Tensor, is_seen: Tensor) -> Tensor:
    """Return each image's weight of the detectors for the next step, (N,): more where only they are in the way."""
    return torch.where(wins & is_seen, weight * _GROWTH, torch.where(wins | is_seen, weight, weight / _GROWTH))


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return by how much the largest wrong logit is above the right one, (N,)."""
    right = labels[:, None]
    return logits.scatter(1, right, -torch.inf).amax(dim=1) - logits.gather(1, right)[:, 0]


class RejectedAsClass(nn.Module):
    """A MagNet as a classifier of one more class, the last, which is "rejected" (of MNIST the eleventh).

    Its logit is the largest of the others plus `scale` times the largest excess: it wins exactly if a detector rejects
    (N. Carlini and D. Wagner, "Adversarial examples are not easily detected", 2017, section 2.3).

    Args:
        magnet: the defence.
        scale: logits for each threshold of excess.
    """

    def __init__(self, magnet: MagNet, scale: float = 10.0) -> None:
        super().__init__()
        self.magnet = magnet
        self.scale = as_number("scale", scale, above=0)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K + 1) of K classes and of "rejected"."""
        logits = self.magnet(images)
        excess = self.magnet.excess(images)
        if not excess.shape[1]:
            excess = logits.new_full((len(logits), 1), -1.0)
        rejected = logits.amax(dim=1) + self.scale * excess.amax(dim=1)
        return torch.cat([logits, rejected[:, None]], dim=1)


@dataclass(frozen=True)
class DetectorAwareCarliniWagner(CarliniWagner):
    """Carlini & Wagner's L2 attack on reformer and detectors together, towards the second likeliest class.

    The target has to win against the right class *and* against "rejected" (`RejectedAsClass`). Made for a `MagNet`.

    Args:
        confidence, iterations, searches, learning_rate, first_c: as in `CarliniWagner`.
        scale: as in `RejectedAsClass`.
    """

    needs_detectors: ClassVar[bool] = True

    scale: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        set_numbers(self, "confidence", least=0)  # a float, as the kept results spell it
        set_numbers(self, "scale", above=0)

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the adversarial images, as `Attack.perturb` does."""
        labels, n_classes = check_inputs(model, images, labels, in_logits=self)
        if not len(images):
            return images.clone()
        network = RejectedAsClass(_as_magnet(model), self.scale)
        check_gradient(model, images)
        attack = advertorch.CarliniWagnerL2Attack(network, n_classes + 1, targeted=True, **self._settings)
        target = classes_of(apply_model(model, images).scatter(1, labels[:, None], -torch.inf))
        return in_batches(attack.perturb, network, images, target, label=repr(self))

    def fooled(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return which images are accepted and answered wrongly."""
        return _not_stopped(model, images, labels)


# ---- against random numbers, and where there is no gradient


class BPDA(nn.Module):
    """A function as it is, with the gradient of another: backward-pass differentiable approximation.

    For a reformer without a useful gradient (Athalye et al. 2018, "Obfuscated gradients give a false sense of
    security", section 4.1).

    Args:
        function: maps images to images; it need not have a gradient.
        instead: whose gradient is taken; None: the identity's.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], instead: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.function = function
        self.instead = instead

    def forward(self, images: Tensor) -> Tensor:
        """Return what the function returns; raise a ValueError unless it has the shape of what lends the gradient."""
        with torch.no_grad():
            values = self.function(images)
        stand_in = images if self.instead is None else self.instead(images)
        return stand_in + (check_reformed(stand_in, values) - stand_in).detach()


# ---- on another network


@dataclass(frozen=True)
class Transferred(Attack):
    """An attack that is made on one network and tried on another.

    With the classifier alone as its source it is the grey box; with the attacker's own autoencoders, `Ensemble`, what
    Carlini and Wagner broke MagNet with; with a copy of the classifier, `substitute.train_substitute`, the attack of
    Papernot et al.

    Args:
        attack: with its settings.
        source: the network that it is made on.
        name: of the source, for tables.
    """

    attack: Attack
    source: nn.Module
    name: str

    @property
    def bound(self) -> tuple[str, float] | None:
        """The norm and the ε that its attack keeps within."""
        return self.attack.bound

    def __repr__(self) -> str:
        return f"{self.attack!r} made on {self.name}"

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the adversarial images, as `Attack.perturb` does; the model itself is not asked."""
        return self.attack.perturb(self.source, images, labels)
