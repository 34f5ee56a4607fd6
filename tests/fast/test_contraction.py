"""The contractive encoder with a direction, and its exact norm: when they are fast, and that they stay right."""

import pytest
import torch
from tiny import tiny_images
from torch import nn
from torch.func import jacrev, jvp

from magnet_helpers.fast import contraction
from magnet_helpers.fast.switch import sooner
from magnet_helpers.jacobian import codes_and_frobenius_squared, jacobian_frobenius_squared
from magnet_helpers.losses import ContractiveLoss
from magnet_helpers.models import ContractiveAutoencoder, PublishedContractiveAutoencoder
from magnet_helpers.seeds import new_generator

IMAGES = tiny_images(3).images.double()


def contractive(kind=ContractiveAutoencoder):
    torch.manual_seed(0)
    return kind().double()


@pytest.mark.parametrize("kind", [ContractiveAutoencoder, PublishedContractiveAutoencoder])
@pytest.mark.parametrize(
    "images", [torch.rand(3, 1, 28, 28).double(), torch.zeros_like(IMAGES)], ids=["random", "black"]
)
def test_a_direction_is_carried_along_as_by_forward_mode(images, kind):
    model, directions = contractive(kind), torch.randn(IMAGES.shape, dtype=torch.float64)
    parameters = [*model.encoder.parameters(), *model.dense.parameters()]
    with sooner(model):
        ours = contraction.encode_along(model.encode, images, directions)
    results = []
    for codes, products in (ours, jvp(model.encode, (images,), (directions,))):
        gradients = torch.autograd.grad(codes.sum() + products.square().sum(), parameters)
        results.append([codes, products, *gradients])
    for mine, by_jvp in zip(*results, strict=True):
        torch.testing.assert_close(mine, by_jvp, rtol=1e-9, atol=1e-12)


def test_outside_a_block_and_for_other_functions_it_is_plain():
    model = contractive()
    assert contraction.encode_along(model.encode, IMAGES, IMAGES) is None
    with sooner(model):
        assert contraction.encode_along(model.encode, IMAGES, IMAGES) is not None
        assert contraction.encode_along(model.features, IMAGES, IMAGES) is None
        assert contraction.encode_along(lambda images: model.encode(images), IMAGES, IMAGES) is None
    assert contraction.encode_along(model.encode, IMAGES, IMAGES) is None


def hooked(module):
    module.register_forward_hook(lambda _, __, out: 0.5 * out)


def subclassed(model):
    class Doubled(ContractiveAutoencoder):
        def features(self, images):
            return 2 * super().features(images)

    model.__class__ = Doubled


CHANGES = {
    "hook on the encoder": lambda model: hooked(model.encoder),
    "hook on a convolution": lambda model: hooked(model.encoder[3]),
    "hook on the dense layer": lambda model: hooked(model.dense),
    "weight norm": lambda model: nn.utils.parametrizations.weight_norm(model.dense),
    "another layer": lambda model: model.encoder.append(nn.Tanh()),
    "smaller kernel": lambda model: model.encoder.__setitem__(3, nn.Conv2d(32, 32, 1, padding="same").double()),
    "features of its own": lambda model: setattr(
        model, "features", lambda images: 3 * model.encoder(images).flatten(1)
    ),
    "subclass": subclassed,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_encoder_is_taken_as_it_is(change):
    model = contractive()
    CHANGES[change](model)
    with torch.no_grad():
        image, directions = IMAGES[:1], torch.randn(IMAGES.shape, dtype=torch.float64)
        expected = jvp(model.encode, (IMAGES,), (directions,))
        jacobian = jacrev(lambda x: model.encode(x[None])[0], chunk_size=196)(image[0])
        torch.testing.assert_close(jacobian_frobenius_squared(model.encode, image)[0], jacobian.square().sum())
        with sooner(model):
            got = contraction.encode_along(model.encode, IMAGES, directions)
            signs = torch.randint(0, 2, IMAGES.shape, generator=new_generator(0, "x")).mul(2).sub(1).double()
            norms = codes_and_frobenius_squared(model.encode, IMAGES, generator=new_generator(0, "x"))[1]
        by_jvp = jvp(model.encode, (IMAGES,), (signs,))[1].square().sum(dim=1)
    torch.testing.assert_close(norms, by_jvp)
    for one, other in zip(got or (), expected, strict=got is not None):
        torch.testing.assert_close(one, other)


def test_the_loss_is_the_same_number_inside_a_block(calls):
    model, loss = contractive().float(), ContractiveLoss(0.1, projections=2)
    images = IMAGES.float()
    plain = loss(model, images, images, new_generator(0, "x"))
    assert not calls
    with sooner(model):
        ours = loss(model, images, images, new_generator(0, "x"))
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=0)
    assert calls


def test_switched_off_the_exact_norm_is_that_of_forward_mode(monkeypatch):
    model = contractive()
    assert contraction.frobenius_squared(model.encode, IMAGES[:1]) is not None
    monkeypatch.setenv("MAGNET_FAST", "0")
    assert contraction.frobenius_squared(model.encode, IMAGES[:1]) is None


def test_the_exact_norms_own_tables_serve_after_inference_mode():
    contraction._groups_of_sizes.cache_clear()
    model = contractive()
    with torch.inference_mode():
        before = jacobian_frobenius_squared(model.encode, IMAGES[:1])
    norms = jacobian_frobenius_squared(model.encode, IMAGES[:1])
    norms.sum().backward()
    torch.testing.assert_close(before, norms.detach())
