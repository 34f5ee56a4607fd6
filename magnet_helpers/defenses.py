"""MagNet's reformer in front of a classifier, and the names of the defences that the course compares."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from torch import Tensor, nn

from magnet_helpers.contracts import as_count, check_choice, check_reformed, set_counts, set_numbers
from magnet_helpers.losses import (
    ContractiveLoss,
    DenoisingLoss,
    DenseLayerContractiveLoss,
    FixedNoiseLoss,
    Loss,
    PublishedContractiveLoss,
    ReconstructionLoss,
)
from magnet_helpers.models import (
    ContractiveAutoencoder,
    ConvAutoencoder,
    MagNetAutoencoder1,
    MagNetAutoencoder2,
    PublishedContractiveAutoencoder,
    StackedAutoencoder,
    restart_like_keras,
)

_MAGNETS_NOISE = 0.1  # of the training of MagNet's own autoencoders, in its authors' program
Family = Literal["none", "vanilla", "denoising", "stacked_denoising", "contractive", "magnet_1", "magnet_2"]


class ReformedClassifier(nn.Module):
    """Reformer and classifier as one network: what the defender runs, and what a white-box attacker attacks.

    By hand in lesson 00.

    Args:
        reformer: maps images (N, 1, 28, 28) to images of the same shape.
        classifier: maps images to logits (N, 10).

    >>> import torch
    >>> classifier = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    >>> images = torch.rand(2, 1, 28, 28)
    >>> torch.equal(ReformedClassifier(nn.Identity(), classifier)(images), classifier(images))
    True
    """

    def __init__(self, reformer: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.reformer = reformer
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K) of the reformed images; raise a ValueError if these have another shape."""
        logits: Tensor = self.classifier(check_reformed(images, self.reformer(images)))
        return logits


@dataclass(frozen=True)
class Variant:
    """Where a defence departs from the paper's text, most of it towards the author's program.

    Args:
        noise: `"fresh"` in every batch, or `"fixed"`: drawn once, before the training.
        decoder_width: filters of the first transposed convolution. The paper says 32, the program has 64.
        stage_inputs: a later stage of a stack learns from what the stages before it make of `"clean"` images (the
            paper's text) or of `"noisy"` ones (the program).
        penalty: of a contractive autoencoder: the whole encoder's `"jacobian"` (the text), that of the dense layer
            alone (`"dense layer"`), or the `"published"` one of the program.
        start: initial weights: `"ours"` (see `models.START_BIAS`) or Keras' defaults (`"keras"`).
    """

    noise: Literal["fresh", "fixed"] = "fresh"
    decoder_width: int = 32
    stage_inputs: Literal["clean", "noisy"] = "clean"
    penalty: Literal["jacobian", "dense layer", "published"] = "jacobian"
    start: Literal["ours", "keras"] = "ours"

    def __post_init__(self) -> None:
        set_counts(self, decoder_width=1)
        for name, kind in get_type_hints(Variant).items():
            if kind is not int:
                check_choice(name, getattr(self, name), get_args(kind))

    @property
    def label(self) -> str:
        """What departs, in words, each with a comma before it; empty if nothing does."""
        words = {
            "noise": f"{self.noise} noise",
            "decoder_width": f"decoder {self.decoder_width} wide",
            "stage_inputs": f"stages on {self.stage_inputs} images",
            "penalty": f"{self.penalty} penalty",
            "start": "Keras' start",
        }
        return "".join(
            f", {words[setting.name]}" for setting in fields(self) if getattr(self, setting.name) != setting.default
        )


PAPERS_TEXT = Variant()
_BUILT = ("decoder_width", "start")
# Of each family: the settings that it needs, all that it may have, and where it may depart from the text.
_SETTINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "none": ((), (), ()),
    "vanilla": ((), (), _BUILT),
    "denoising": (("noise_std",), ("noise_std",), ("noise", *_BUILT)),
    "stacked_denoising": (("noise_std",), ("noise_std",), ("noise", "stage_inputs", *_BUILT)),
    "contractive": (("penalty_weight",), ("penalty_weight",), ("penalty", *_BUILT)),
    "magnet_1": ((), ("noise_std",), ("noise",)),
    "magnet_2": ((), ("noise_std",), ("noise",)),
}


@dataclass(frozen=True)
class Defense:
    """A defence by name and setting; `loss` and `build` say how its reformer comes about.

    Args:
        family: which kind of autoencoder, or `"none"`.
        noise_std: noise of a (stacked) denoising autoencoder's training, in pixel units; else None.
        n_stacks: autoencoders in a row (0 without a reformer).
        penalty_weight: λ of a contractive autoencoder; else None.
        variant: where it departs from the paper's text.

    Raises:
        ValueError: for an unknown family, and for settings that its family does not have or cannot do without.
    """

    family: Family
    noise_std: float | None = None
    n_stacks: int = 1
    penalty_weight: float | None = None
    variant: Variant = PAPERS_TEXT

    def __post_init__(self) -> None:
        check_choice("family", self.family, get_args(Family))
        if not isinstance(self.variant, Variant):
            raise TypeError(f"variant must be a Variant, got {self.variant!r}: take `but`, as in VANILLA.but(start=…)")
        needed, possible, departures = _SETTINGS[self.family]
        for name in ("noise_std", "penalty_weight"):
            if getattr(self, name) is not None:
                if name not in possible:
                    raise ValueError(f"a defence of the family {self.family!r} takes no {name}: leave it out")
                set_numbers(self, name, least=0)
            elif name in needed:
                raise ValueError(f"a defence of the family {self.family!r} needs its {name}, a number, at least 0")
        set_counts(self, n_stacks=0)
        least, most = {"none": (0, 0), "stacked_denoising": (2, None)}.get(self.family, (1, 1))
        if self.n_stacks < least or (most is not None and self.n_stacks > most):
            raise ValueError(
                f"n_stacks of the family {self.family!r} must be {least}{' or more' if most is None else ''}, got "
                f"{self.n_stacks}: NO_REFORMER is the defence without one, `stacked` makes a stack of any size"
            )
        for setting in fields(self.variant):
            value = getattr(self.variant, setting.name)
            if value != setting.default and setting.name not in departures:
                raise ValueError(
                    f"{setting.name}={value!r} changes nothing of the family {self.family!r}, only of "
                    + ", ".join(family for family, (_, _, names) in _SETTINGS.items() if setting.name in names)
                )

    @property
    def label(self) -> str:
        """The name in tables and figures, for example `"SDAE(2), noise 0.4"`."""
        match self.family:
            case "none":
                name = "no reformer"
            case "vanilla":
                name = "vanilla AE"
            case "denoising":
                name = f"DAE, noise {self.noise_std:.3g}"
            case "stacked_denoising":
                name = f"SDAE({self.n_stacks}), noise {self.noise_std:.3g}"
            case "contractive":
                name = f"CAE, λ = {self.penalty_weight:g}"
            case "magnet_1" | "magnet_2":
                name = f"MagNet's AE {self.family[-1]}"
                if self.noise_std != _MAGNETS_NOISE:
                    name += ", no noise" if self.noise_std is None else f", noise {self.noise_std:g}"
        return name + self.variant.label

    def but(self, **changes: Any) -> "Defense":
        """Return this defence with another `Variant`, for example `denoising(0.4).but(noise="fixed")`."""
        return replace(self, variant=replace(self.variant, **changes))

    def loss(self) -> Loss:
        """Return what its training minimises.

        Raises:
            ValueError: if there is no reformer to train.
        """
        if self.family == "none":
            raise ValueError("the undefended classifier has no reformer to train")
        if self.penalty_weight is not None:
            match self.variant.penalty:
                case "jacobian":
                    return ContractiveLoss(self.penalty_weight)
                case "dense layer":
                    return DenseLayerContractiveLoss(self.penalty_weight)
                case "published":
                    return PublishedContractiveLoss(self.penalty_weight)
        if self.noise_std is None:
            return ReconstructionLoss()
        return DenoisingLoss(self.noise_std) if self.variant.noise == "fresh" else FixedNoiseLoss(self.noise_std)

    def build_stage(self) -> nn.Module:
        """Return one untrained autoencoder: the reformer, or one of a stack's."""
        if self.family == "magnet_1":
            return MagNetAutoencoder1()
        if self.family == "magnet_2":
            return MagNetAutoencoder2()
        kind = ConvAutoencoder
        if self.family == "contractive":
            kind = PublishedContractiveAutoencoder if self.variant.penalty == "published" else ContractiveAutoencoder
        autoencoder = kind(self.variant.decoder_width)
        if self.variant.start == "keras":
            restart_like_keras(autoencoder)
        return autoencoder

    def build(self) -> nn.Module:
        """Return its untrained reformer; raise a ValueError if there is none."""
        if self.family == "none":
            raise ValueError("the undefended classifier has no reformer to build")
        if self.family == "stacked_denoising":
            return StackedAutoencoder([self.build_stage() for _ in range(self.n_stacks)])
        return self.build_stage()


NO_REFORMER = Defense("none", n_stacks=0)
VANILLA = Defense("vanilla")
# MagNet's own autoencoders for MNIST, with the noise of its authors' program (Meng & Chen 2017).
MAGNETS_OWN = (Defense("magnet_1", noise_std=_MAGNETS_NOISE), Defense("magnet_2", noise_std=_MAGNETS_NOISE))


def denoising(noise_std: float) -> Defense:
    """Return the denoising autoencoder for one noise level (a standard deviation in pixel units).

    >>> denoising(0.4).label, denoising(0.4).loss()
    ('DAE, noise 0.4', DenoisingLoss(noise_std=0.4))
    """
    return Defense("denoising", noise_std=noise_std)


def stacked(n_stacks: int, noise_std: float) -> Defense:
    """Return the stack of `n_stacks` denoising autoencoders; a stack of one is the plain one.

    Args:
        n_stacks: autoencoders in a row, at least 1.
        noise_std: of the training of each, in pixel units.

    Raises:
        ValueError: if there is none.

    >>> stacked(3, 0.4).label, stacked(1, 0.4) == denoising(0.4)
    ('SDAE(3), noise 0.4', True)
    """
    n_stacks = as_count("n_stacks", n_stacks)
    if n_stacks < 1:
        raise ValueError(f"a stack needs at least one autoencoder, got {n_stacks}")
    if n_stacks == 1:
        return denoising(noise_std)
    return Defense("stacked_denoising", noise_std=noise_std, n_stacks=n_stacks)


def contractive(penalty_weight: float) -> Defense:
    """Return the contractive autoencoder for one λ; λ = 0 is the control without a penalty.

    >>> contractive(0.001).label
    'CAE, λ = 0.001'
    """
    return Defense("contractive", penalty_weight=penalty_weight)
