"""What a training minimises. A loss is a value: its settings are its fields, its `repr` is its label.

Every loss is called as `loss(model, images, labels, generator)` and returns one number, the mean over the images.
The reconstruction error of an image is the paper's ‖x − x̂‖², summed over its 784 pixels: λ has its meaning beside
that sum.
"""

from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magnet_helpers.contracts import (
    as_number,
    check_classes,
    check_images,
    check_labels,
    check_logits,
    check_pixels,
    check_reformed,
    set_counts,
    set_numbers,
)
from magnet_helpers.jacobian import codes_and_frobenius_squared, sigmoid_layer_frobenius_squared
from magnet_helpers.models import ContractiveAutoencoder, PublishedContractiveAutoencoder

_NO_LABEL = torch.iinfo(torch.int64).min  # else PyTorch leaves images of the label -100 out


class Loss(Protocol):
    """Anything that `training.fit` can minimise."""

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean loss over images (N, 1, 28, 28) with labels (N,), a tensor without dimensions."""
        ...


def squared_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Return ‖x − x̂‖² of each image, summed over its pixels: shape (N,). By hand in lesson 02.

    Args:
        images: shape (N, …).
        reconstructions: same shape.

    Raises:
        TypeError, ValueError: if one of them is no tensor of floating-point numbers.
        ValueError: if the shapes differ (nothing is broadcast).

    >>> squared_error(torch.zeros(2, 1, 28, 28), torch.full((2, 1, 28, 28), 0.5))  # 784 · 0.25
    tensor([196., 196.])
    """
    check_pixels(images)
    check_pixels(reconstructions)
    if images.shape != reconstructions.shape:
        raise ValueError(
            f"images and reconstructions must have the same shape, "
            f"got {tuple(images.shape)} and {tuple(reconstructions.shape)}"
        )
    return (images - reconstructions).square().flatten(start_dim=1).sum(dim=1)


def add_noise(images: Tensor, noise_std: float, generator: torch.Generator) -> Tensor:
    """Return clip(x + noise_std·z, 0, 1) with fresh z ~ N(0, I), shape of `images`. By hand in lesson 03.

    Args:
        images: values in [0, 1].
        noise_std: standard deviation of the noise, in pixel units (the level in the paper's tables).
        generator: generator of the noise, on the CPU or on the images' device.

    Raises:
        TypeError, ValueError: for what are no images (`contracts.check_images`; of a GPU's the pixels are not asked).

    >>> noisy = add_noise(torch.zeros(1, 1, 28, 28), 0.4, torch.Generator().manual_seed(0))
    >>> noisy.shape, bool((noisy == 0).float().mean() > 0.4)  # what falls below 0 is cut off
    (torch.Size([1, 1, 28, 28]), True)
    """
    noise_std = as_number("noise_std", noise_std, least=0)
    if check_pixels(images).is_cpu:  # a GPU would have to wait for the pixels
        check_images(images)
    noise = torch.randn(images.shape, generator=generator, dtype=images.dtype, device=generator.device)
    return noise.to(images.device).mul_(noise_std).add_(images).clamp_(0, 1)


@dataclass(frozen=True)
class ClassificationLoss:
    """Cross entropy of the logits with the labels. By hand in lesson 01.

    >>> images, labels = torch.zeros(2, 1, 28, 28), torch.tensor([3, 8])
    >>> undecided = nn.Sequential(nn.Flatten(), nn.Linear(784, 10, bias=False))  # ten equal logits of a black image
    >>> round(ClassificationLoss()(undecided, images, labels, torch.Generator()).item(), 4)  # ln 10
    2.3026
    """

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean cross entropy in nats; raise a ValueError for labels that the model has no output for.

        Labels that are no class numbers (N,), and outputs that are no logits (N, K), are refused as well.
        """
        logits = check_logits(model(images), len(images))
        labels = check_labels(labels, len(images))
        try:
            return F.cross_entropy(logits, labels, ignore_index=_NO_LABEL)
        except IndexError:  # PyTorch's on a CPU, "Target 12 is out of bounds"; a GPU stops the program
            check_classes(labels, logits.shape[1])
            raise


@dataclass(frozen=True)
class ReconstructionLoss:
    """Vanilla autoencoder: ‖x − g(f(x))‖² (paper, section on autoencoders). By hand in lesson 02.

    >>> images, labels = torch.rand(2, 1, 28, 28), torch.tensor([3, 8])
    >>> ReconstructionLoss()(nn.Identity(), images, labels, torch.Generator()).item()
    0.0
    """

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean squared error, summed over pixels; `labels` and `generator` are not used."""
        return squared_error(images, model(images.clone())).mean()  # a network may work in place


@dataclass(frozen=True)
class DenoisingLoss:
    """Denoising autoencoder: ‖x − g(f(x̃))‖² with x̃ = `add_noise(x)`, fresh in every batch (Vincent et al. 2010).

    By hand in lesson 03, for a stage of a stack in lesson 04.

    Args:
        noise_std: standard deviation of the noise, in pixel units, 0 or more. The paper calls its noise level a
            variance; its program uses it as a standard deviation, and so do we.

    Raises:
        ValueError: if the noise is negative, infinite or no number.

    >>> DenoisingLoss(0.4)
    DenoisingLoss(noise_std=0.4)
    >>> images, labels = torch.zeros(2, 1, 28, 28), torch.tensor([3, 8])
    >>> copying = nn.Identity()  # returns the noise: in half of the 784 pixels 0.4² on average, in the others 0
    >>> 50 < DenoisingLoss(0.4)(copying, images, labels, torch.Generator().manual_seed(0)).item() < 70
    True
    """

    noise_std: float

    def __post_init__(self) -> None:
        set_numbers(self, "noise_std", least=0)

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean squared error against the clean images; `labels` is not used."""
        noisy = add_noise(images, self.noise_std, generator)
        return squared_error(images, model(noisy)).mean()


@dataclass(frozen=True)
class FixedNoiseLoss:
    """A variant of `DenoisingLoss`: the noise is drawn once, before the training, as in the author's program.

    Args:
        noise_std: standard deviation of that noise, in pixel units, 0 or more.

    Raises:
        ValueError: if the noise is negative, infinite or no number.
    """

    noise_std: float

    def __post_init__(self) -> None:
        set_numbers(self, "noise_std", least=0)

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean squared error; `images` are `data.PairedImages` (N, 2, 28, 28), clean and noisy."""
        if images.ndim != 4 or images.shape[1] != 2:
            raise ValueError(
                f"images must be pairs, shape (N, 2, 28, 28), got {tuple(images.shape)}: take data.PairedImages, or "
                "DenoisingLoss for fresh noise"
            )
        clean, noisy = images[:, :1], images[:, 1:]
        return squared_error(clean, model(noisy)).mean()


@dataclass(frozen=True)
class ContractiveLoss:
    """Contractive autoencoder: ‖x − g(f(x))‖² + λ‖∂f(x)/∂x‖²_F, as the paper defines it.

    f is the whole encoder, up to and including the dense layer, differentiated with respect to the image. By hand in
    lesson 05.

    Args:
        penalty_weight: λ, 0 or more. At 0 the penalty is not computed: the same network, the control that the paper
            lacks.
        projections: random projections per image that estimate the norm (see `jacobian_frobenius_squared`).

    Raises:
        ValueError: if the weight is negative, infinite or no number.
    """

    penalty_weight: float
    projections: int = 1

    def __post_init__(self) -> None:
        set_counts(self, projections=1)
        set_numbers(self, "penalty_weight", least=0)

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Return mean squared error plus penalty; `labels` is not used."""
        autoencoder = cast("ContractiveAutoencoder", model)
        if self.penalty_weight == 0:
            return squared_error(images, autoencoder(images)).mean()
        codes, norms = codes_and_frobenius_squared(
            autoencoder.encode, images, projections=self.projections, generator=generator
        )
        error = squared_error(images, autoencoder.decode(codes)).mean()
        return error + self.penalty_weight * norms.mean()


@dataclass(frozen=True)
class DenseLayerContractiveLoss:
    """A variant: λ times the closed-form norm of the dense layer alone, with respect to *its* input, live weights.

    Args:
        penalty_weight: λ, 0 or more.

    Raises:
        ValueError: if the weight is negative, infinite or no number.
    """

    penalty_weight: float

    def __post_init__(self) -> None:
        set_numbers(self, "penalty_weight", least=0)

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Return mean squared error plus penalty; `labels` and `generator` are not used."""
        autoencoder = cast("ContractiveAutoencoder", model)
        codes = autoencoder.encode(images)
        error = squared_error(images, autoencoder.decode(codes)).mean()
        penalty = sigmoid_layer_frobenius_squared(codes, autoencoder.dense.weight).mean()
        return error + self.penalty_weight * penalty


@dataclass(frozen=True)
class PublishedContractiveLoss:
    """What the author's program minimises: kept to explain the paper's Table 3, not to be used.

    The squared error is the *mean* over the pixels, the penalty is the closed form of the dense layer with the weights
    it had before training (a constant), so the penalty can only move the codes towards 0 and 1.

    Args:
        penalty_weight: λ, beside a mean: 784 times stronger than beside the paper's sum.
    """

    penalty_weight: float

    def __post_init__(self) -> None:
        set_numbers(self, "penalty_weight", least=0)

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Return mean squared error plus penalty for a `PublishedContractiveAutoencoder`."""
        autoencoder = cast("PublishedContractiveAutoencoder", model)
        codes = autoencoder.encode(images)
        error = F.mse_loss(check_reformed(images, autoencoder.decode(codes)), images)
        penalty = sigmoid_layer_frobenius_squared(codes, autoencoder.initial_weight).mean()
        return error + self.penalty_weight * penalty
