"""The contractive encoder's exact norm is that of its whole Jacobian, with the fast loops and without."""

import pytest
import torch
from torch.func import jacrev

from magnet_helpers.fast import contraction, loops
from magnet_helpers.fast.contraction import _column_groups
from magnet_helpers.jacobian import jacobian_frobenius_squared
from magnet_helpers.models import ContractiveAutoencoder
from magnet_helpers.seeds import initial_weights_from


@pytest.fixture(scope="module")
def whole_encoder():
    """The course's own encoder, 1568 codes of 784 pixels, an image that is mostly black, and its Jacobian."""
    with initial_weights_from(0):
        model = ContractiveAutoencoder().double()
    image = torch.zeros(1, 1, 28, 28, dtype=torch.float64)
    image[..., 6:20, 8:17] = torch.rand(14, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        jacobian = jacrev(lambda x: model.encode(x[None])[0], chunk_size=98)(image[0])
    assert jacobian.shape == (1568, 1, 28, 28)
    return model, image, jacobian


def test_the_whole_contractive_encoder(whole_encoder):
    model, image, jacobian = whole_encoder
    with torch.no_grad():
        norms = jacobian_frobenius_squared(lambda images: model.encode(images), image, chunk_size=196)
    torch.testing.assert_close(norms[0], jacobian.square().sum(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("has_numba", [True, False])
def test_the_contractive_encoders_own_way_is_exact(whole_encoder, has_numba, monkeypatch):
    monkeypatch.setattr(loops, "are_there", lambda: has_numba)
    model, image, jacobian = whole_encoder
    images = torch.cat([image, image.flip(3), image])
    assert contraction.frobenius_squared(model.encode, image) is not None
    state = torch.get_rng_state()
    with torch.no_grad():
        norms = jacobian_frobenius_squared(model.encode, images)
    torch.testing.assert_close(norms[[0, 2]], jacobian.square().sum().expand(2), rtol=1e-12, atol=0)
    assert norms[1] != norms[0]
    assert torch.equal(torch.get_rng_state(), state)


def test_the_contractive_encoders_own_way_can_be_differentiated(whole_encoder):
    model, image, _ = whole_encoder
    for seed, weights in enumerate([model.encoder[0].weight, model.encoder[3].weight, model.dense.weight]):
        (gradient,) = torch.autograd.grad(jacobian_frobenius_squared(model.encode, image).sum(), weights)
        generator = torch.Generator().manual_seed(seed)
        step = 1e-6 * torch.randn(weights.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            weights += step
            above = jacobian_frobenius_squared(model.encode, image).sum()
            weights -= 2 * step
            below = jacobian_frobenius_squared(model.encode, image).sum()
            weights += step
        torch.testing.assert_close(above - below, 2 * (gradient * step).sum(), rtol=1e-5, atol=0)


def test_columns_of_one_group_share_no_row(whole_encoder):
    layers, image = whole_encoder[0].encoder, whole_encoder[1]
    directions, group, reach = _column_groups(layers, (1, 28, 28))
    assert directions.sum(0).eq(1).all()
    assert torch.equal(directions.flatten(1).argmax(0), group)
    for number in range(len(directions)):
        assert reach[group == number].sum(0).max() <= 1
    assert len(directions) < 784 / 5
    features = jacrev(lambda x: layers(x[None])[0])(image[0])  # (32, 7, 7, 1, 28, 28)
    columns = features.flatten(3).permute(3, 0, 1, 2)
    assert columns[~reach].eq(0).all()
    assert columns[reach].ne(0).any()
