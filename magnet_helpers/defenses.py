"""MagNet's reformer in front of a classifier, and the names of the defences that the course compares."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from magnet_helpers.losses import ContractiveLoss, DenoisingLoss, Loss, ReconstructionLoss
from magnet_helpers.models import ContractiveAutoencoder, ConvAutoencoder, StackedAutoencoder

Family = Literal["none", "vanilla", "denoising", "stacked_denoising", "contractive"]


class ReformedClassifier(nn.Module):
    """Reformer and classifier as one network: what the defender runs, and what a white-box attacker attacks."""

    def __init__(self, reformer: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.reformer = reformer
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, 10) of the reformed images."""
        logits: Tensor = self.classifier(self.reformer(images))
        return logits


@dataclass(frozen=True)
class Defense:
    """A defence by name and setting; `loss` and `build` say how its reformer comes about.

    Args:
        family: which kind of autoencoder, or `"none"`.
        noise_std: noise of a (stacked) denoising autoencoder's training, in pixel units; else None.
        n_stacks: autoencoders in a row (0 without a reformer).
        penalty_weight: λ of a contractive autoencoder; else None.
    """

    family: Family
    noise_std: float | None = None
    n_stacks: int = 1
    penalty_weight: float | None = None

    @property
    def label(self) -> str:
        """The name in tables and figures, for example `"SDAE(2), noise 0.4"`."""
        match self.family:
            case "none":
                return "no reformer"
            case "vanilla":
                return "vanilla AE"
            case "denoising":
                return f"DAE, noise {self.noise_std:g}"
            case "stacked_denoising":
                return f"SDAE({self.n_stacks}), noise {self.noise_std:g}"
            case "contractive":
                return f"CAE, λ = {self.penalty_weight:g}"

    def loss(self) -> Loss:
        """Return what its training minimises.

        Raises:
            ValueError: if there is no reformer to train.
        """
        if self.family == "none":
            raise ValueError("the undefended classifier has no reformer to train")
        if self.penalty_weight is not None:
            return ContractiveLoss(self.penalty_weight)
        return ReconstructionLoss() if self.noise_std is None else DenoisingLoss(self.noise_std)

    def build(self) -> nn.Module:
        """Return its untrained reformer."""
        if self.family == "contractive":
            return ContractiveAutoencoder()
        if self.family == "stacked_denoising":
            return StackedAutoencoder([ConvAutoencoder() for _ in range(self.n_stacks)])
        return ConvAutoencoder()


NO_REFORMER = Defense("none", n_stacks=0)
VANILLA = Defense("vanilla")


def denoising(noise_std: float) -> Defense:
    """Return the denoising autoencoder for one noise level (a standard deviation in pixel units)."""
    return Defense("denoising", noise_std=float(noise_std))


def stacked(n_stacks: int, noise_std: float) -> Defense:
    """Return the stack of `n_stacks` denoising autoencoders; a stack of one is the plain one."""
    if n_stacks < 1:
        raise ValueError(f"a stack needs at least one autoencoder, got {n_stacks}")
    if n_stacks == 1:
        return denoising(noise_std)
    return Defense("stacked_denoising", noise_std=float(noise_std), n_stacks=n_stacks)


def contractive(penalty_weight: float) -> Defense:
    """Return the contractive autoencoder for one λ; λ = 0 is the control without a penalty."""
    return Defense("contractive", penalty_weight=float(penalty_weight))
