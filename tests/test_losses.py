import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from tiny import tiny_autoencoder, tiny_classifier, tiny_images
from torch import nn
from torch.func import jacrev

from magnet_helpers.jacobian import jacobian_frobenius_squared
from magnet_helpers.losses import (
    ClassificationLoss,
    ContractiveLoss,
    DenoisingLoss,
    DenseLayerContractiveLoss,
    PublishedContractiveLoss,
    ReconstructionLoss,
    add_noise,
    squared_error,
)
from magnet_helpers.models import ContractiveAutoencoder, PublishedContractiveAutoencoder
from magnet_helpers.seeds import initial_weights_from

IMAGES, LABELS = tiny_images(5).images, tiny_images(5).labels
GREY = torch.full((100, 1, 28, 28), 0.5)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def contractive():
    with initial_weights_from(0):
        return ContractiveAutoencoder()


@pytest.fixture
def published():
    with initial_weights_from(0):
        return PublishedContractiveAutoencoder()


def numpy_error(images, reconstructions):
    difference = images.double().numpy() - reconstructions.detach().double().numpy()
    return np.array([(image**2).sum() for image in difference])


def numpy_closed_form(codes, weight):
    """Σ_j (h_j (1 − h_j))² Σ_i W_ji², averaged over the images."""
    h, w = codes.detach().double().numpy(), weight.detach().double().numpy()
    return np.mean([sum((x[j] * (1 - x[j])) ** 2 * (w[j] ** 2).sum() for j in range(len(w))) for x in h])


# ---- squared error


def test_squared_error_is_summed_over_pixels():
    images = torch.zeros(2, 1, 28, 28)
    reconstructions = torch.stack([torch.full((1, 28, 28), 0.5), torch.full((1, 28, 28), -1.0)])
    assert squared_error(images, reconstructions).tolist() == [784 * 0.25, 784]
    assert squared_error(IMAGES, IMAGES).eq(0).all()


def test_squared_error_agrees_with_numpy():
    other = torch.rand(IMAGES.shape, generator=generator())
    np.testing.assert_allclose(squared_error(IMAGES, other).numpy(), numpy_error(IMAGES, other), rtol=1e-5)


@pytest.mark.parametrize("other", [IMAGES[:1], IMAGES[:, 0], IMAGES.flatten(1), IMAGES[..., :1]])
def test_squared_error_does_not_broadcast(other):
    with pytest.raises(ValueError, match=r"same shape, got \(5, 1, 28, 28\) and \("):
        squared_error(IMAGES, other)


# ---- noise


def test_noise_has_its_mean_and_standard_deviation():
    change = add_noise(GREY, 0.1, generator()).double() - 0.5  # five standard deviations from being clipped
    n = change.numel()
    assert abs(change.mean().item()) < 4 * 0.1 / math.sqrt(n)
    assert abs(change.std().item() - 0.1) < 4 * 0.1 / math.sqrt(2 * n)


def test_noise_is_clipped():
    noisy = add_noise(GREY, 2.0, generator())
    assert (noisy.min(), noisy.max()) == (0, 1)
    # P(0.5 + 2z ≤ 0) = Φ(−0.25) = 0.4013
    share = (noisy == 0).double().mean().item()
    assert abs(share - 0.4013) < 4 * math.sqrt(0.24 / noisy.numel())


def test_noise_agrees_with_numpy_and_leaves_the_images_alone():
    images = IMAGES.clone()
    z = torch.randn(images.shape, generator=generator(3)).numpy()
    noisy = add_noise(images, 0.4, generator(3))
    np.testing.assert_allclose(noisy.numpy(), np.clip(IMAGES.numpy() + 0.4 * z, 0, 1), atol=1e-6)
    assert torch.equal(images, IMAGES)
    assert noisy.data_ptr() != images.data_ptr()


def test_noise_is_fresh_and_comes_from_its_generator():
    state = torch.get_rng_state()
    one, two = generator(3), generator(3)
    first, second = add_noise(GREY, 0.1, one), add_noise(GREY, 0.1, one)
    assert not torch.equal(first, second)
    assert torch.equal(add_noise(GREY, 0.1, two), first)
    assert torch.equal(add_noise(GREY, 0.1, two), second)
    assert not torch.equal(first[0], first[1]), "each image has its own"
    assert torch.equal(torch.get_rng_state(), state)


def test_no_noise():
    assert torch.equal(add_noise(IMAGES, 0.0, generator()), IMAGES)


# ---- the losses


def test_cross_entropy_agrees_with_numpy():
    model = tiny_classifier()
    logits = model(IMAGES).detach().double().numpy()
    expected = np.mean([np.log(np.exp(row - row[y]).sum()) for row, y in zip(logits, LABELS.numpy(), strict=True)])
    value = ClassificationLoss()(model, IMAGES, LABELS, generator())
    assert value.shape == ()
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_reconstruction_error_is_a_mean_over_images_of_sums_over_pixels():
    model = tiny_autoencoder()
    value = ReconstructionLoss()(model, IMAGES, LABELS, generator())
    assert value.shape == ()
    assert value.item() == pytest.approx(numpy_error(IMAGES, model(IMAGES)).mean(), rel=1e-5)


def test_denoising_compares_with_the_clean_images():
    seen = []

    class Spy(nn.Module):
        def forward(self, images):
            seen.append(images)
            return images

    value = DenoisingLoss(0.3)(Spy(), IMAGES, LABELS, generator(3))
    z = torch.randn(IMAGES.shape, generator=generator(3)).numpy()
    noisy = np.clip(IMAGES.numpy() + np.float32(0.3) * z, 0, 1)
    np.testing.assert_allclose(seen[0].numpy(), noisy, atol=1e-6)
    assert value.item() == pytest.approx(((noisy - IMAGES.numpy()) ** 2).sum() / 5, rel=1e-5)
    assert value.item() > 1, "the error against the noisy images would be zero"


def test_denoising_draws_fresh_noise_for_every_batch():
    model, noise = tiny_autoencoder(), generator()
    assert DenoisingLoss(0.3)(model, IMAGES, LABELS, noise) != DenoisingLoss(0.3)(model, IMAGES, LABELS, noise)


def test_the_control_without_a_penalty_is_the_reconstruction_error(contractive):
    noise = generator()
    state = noise.get_state()
    for loss in (ContractiveLoss(0), ContractiveLoss(0.0, projections=3), DenseLayerContractiveLoss(0)):
        torch.testing.assert_close(
            loss(contractive, IMAGES, LABELS, noise),
            ReconstructionLoss()(contractive, IMAGES, LABELS, noise),
            rtol=1e-6,
            atol=0,
        )
    assert torch.equal(noise.get_state(), state)


@pytest.mark.parametrize("projections", [1, 3])
def test_the_contractive_loss_is_error_plus_weighted_norm(contractive, projections):
    loss = ContractiveLoss(0.7, projections)
    norms = jacobian_frobenius_squared(contractive.encode, IMAGES, projections=projections, generator=generator(3))
    expected = numpy_error(IMAGES, contractive(IMAGES)).mean() + 0.7 * norms.mean().item()
    assert loss(contractive, IMAGES, LABELS, generator(3)).item() == pytest.approx(expected, rel=1e-5)


def test_the_contractive_penalty_is_of_the_code_with_respect_to_the_image(contractive):
    """Against the product of the whole Jacobian, by reverse mode, with the same signs."""
    images = IMAGES[:2]
    with torch.no_grad():
        jacobians = [jacrev(lambda x: contractive.encode(x[None])[0], chunk_size=98)(image) for image in images]
    signs = torch.randint(0, 2, images.shape, generator=generator(3)) * 2.0 - 1
    norms = [((j.flatten(1) @ v.flatten()) ** 2).sum().item() for j, v in zip(jacobians, signs, strict=True)]
    error = ReconstructionLoss()(contractive, images, LABELS[:2], generator()).item()
    value = ContractiveLoss(1000.0)(contractive, images, LABELS[:2], generator(3)).item()
    assert value - error == pytest.approx(1000 * np.mean(norms), rel=1e-3)


def test_the_contractive_penalty_reaches_the_whole_encoder(contractive):
    penalty = ContractiveLoss(1.0)(contractive, IMAGES, LABELS, generator(3)) - ContractiveLoss(0)(
        contractive, IMAGES, LABELS, generator(3)
    )
    penalty.backward()
    sizes = {name: p.grad.abs().max().item() for name, p in contractive.named_parameters() if p.grad is not None}
    assert sizes["encoder.0.weight"] > 1e-6
    assert sizes["dense.weight"] > 1e-6


# ---- the variants that look at the dense layer only


def test_the_dense_layer_loss_agrees_with_numpy(contractive):
    value = DenseLayerContractiveLoss(0.7)(contractive, IMAGES, LABELS, generator()).item()
    penalty = numpy_closed_form(contractive.encode(IMAGES), contractive.dense.weight)
    assert penalty > 1
    assert value == pytest.approx(numpy_error(IMAGES, contractive(IMAGES)).mean() + 0.7 * penalty, rel=1e-5)


def test_the_published_loss_agrees_with_numpy(published):
    with torch.no_grad():
        published.dense.weight.mul_(2)
    value = PublishedContractiveLoss(0.7)(published, IMAGES, LABELS, generator()).item()
    error = ((published(IMAGES) - IMAGES) ** 2).mean().item()  # over the pixels too
    penalty = numpy_closed_form(published.encode(IMAGES), published.initial_weight)
    assert value == pytest.approx(error + 0.7 * penalty, rel=1e-5)
    live = numpy_closed_form(published.encode(IMAGES), published.dense.weight)
    assert live == pytest.approx(4 * penalty, rel=1e-5)


def penalty_gradient(loss, model):
    """Gradient of the penalty alone with respect to the dense weights; the codes are held fixed."""
    frozen = copy.deepcopy(model)
    codes = frozen.encode(IMAGES).detach()
    frozen.encode = lambda images: codes
    frozen.decode = lambda codes: IMAGES
    value = loss(frozen, IMAGES, LABELS, generator())
    if not value.requires_grad:
        return value.item(), None
    (gradient,) = torch.autograd.grad(value, frozen.dense.weight)
    return value.item(), gradient


def test_only_the_live_penalty_shrinks_the_weights(contractive, published):
    value, gradient = penalty_gradient(DenseLayerContractiveLoss(1.0), contractive)
    codes = contractive.encode(IMAGES).detach()
    slope = (codes * (1 - codes)).square().mean(dim=0)
    torch.testing.assert_close(gradient, 2 * slope[:, None] * contractive.dense.weight.detach(), rtol=1e-4, atol=1e-9)
    assert value > 1
    value, gradient = penalty_gradient(PublishedContractiveLoss(1.0), published)
    assert value > 1
    assert gradient is None


def test_the_published_penalty_remembers_the_first_weights(published):
    first = published.initial_weight.clone()
    assert torch.equal(first, published.dense.weight)
    with torch.no_grad():
        published.dense.weight.mul_(3)
    assert torch.equal(published.initial_weight, first)
    assert "initial_weight" not in published.state_dict()
    assert not published.initial_weight.requires_grad
    before = penalty_gradient(PublishedContractiveLoss(1.0), published)[0]
    codes = published.encode(IMAGES)
    assert before == pytest.approx(numpy_closed_form(codes, first), rel=1e-5)


# ---- losses are values


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (DenoisingLoss, "noise_std"),
        (ContractiveLoss, "penalty_weight"),
        (DenseLayerContractiveLoss, "penalty_weight"),
        (PublishedContractiveLoss, "penalty_weight"),
    ],
)
def test_impossible_settings(kind, name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*at least 0, got {value}"):
        kind(value)


def test_impossible_numbers_of_projections(contractive):
    with pytest.raises(ValueError, match="projections must be at least 1"):
        ContractiveLoss(0.1, projections=0)(contractive, IMAGES, LABELS, generator())


def test_losses_are_values():
    losses = [
        ClassificationLoss(),
        ReconstructionLoss(),
        DenoisingLoss(0.1),
        DenoisingLoss(0.2),
        ContractiveLoss(0.1),
        ContractiveLoss(0.1, 2),
        DenseLayerContractiveLoss(0.1),
        PublishedContractiveLoss(0.1),
    ]
    assert len(set(losses)) == len({repr(loss) for loss in losses}) == len(losses)
    assert losses == [copy.deepcopy(loss) for loss in losses]
    assert repr(DenoisingLoss(noise_std=0.3)) == "DenoisingLoss(noise_std=0.3)"
    assert repr(ContractiveLoss(0.1)) == "ContractiveLoss(penalty_weight=0.1, projections=1)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        losses[2].noise_std = 0.5
