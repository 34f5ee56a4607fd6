import functools

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev, jvp

from magnet_helpers.jacobian import jacobian_frobenius_squared, sigmoid_layer_frobenius_squared

SIDE = 8


def encoders():
    """Return small encoders made of the layers that the course's encoders are made of, in float64."""
    torch.manual_seed(0)
    convolution = functools.partial(nn.Conv2d, kernel_size=3, padding="same")
    found = {
        "dense": nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 5)),
        "dense, sigmoid": nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 5), nn.Sigmoid()),
        "convolution": nn.Sequential(convolution(1, 3), nn.Flatten()),
        "convolution, ReLU": nn.Sequential(convolution(1, 3), nn.ReLU(), nn.Flatten()),
        "convolution, ReLU, pooling": nn.Sequential(convolution(1, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        "Table 1, narrow": nn.Sequential(
            *(convolution(1, 3), nn.ReLU(), nn.MaxPool2d(2), convolution(3, 4), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(16, 6), nn.Sigmoid()),
        ),
        "not flattened": nn.Sequential(convolution(1, 2), nn.Softplus()),
    }
    return {name: model.double() for name, model in found.items()}


ENCODERS = encoders()
SMOOTH = {
    "dense, sigmoid": nn.Sequential(nn.Flatten(), nn.Linear(9, 4), nn.Sigmoid()).double(),
    "convolution, tanh": nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)).double(),
}


def random_images(count=4, seed=1):
    return torch.rand(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def digit_like_images(count=4):
    """Return images with a flat black background, where all values that max-pooling compares are equal."""
    images = random_images(count)
    images[:, :, :, : SIDE // 2] = 0
    images[:, :, 6:] = 0
    return images


def norm_by_jacrev(encode, image):
    """‖J‖²_F of one image, by reverse mode and without the function under test."""
    return jacrev(lambda x: encode(x[None])[0])(image).square().sum()


def by_jacrev(encode, images):
    return torch.stack([norm_by_jacrev(encode, image) for image in images])


def norm_by_differences(encode, image, step=1e-6):
    total = torch.zeros((), dtype=image.dtype)
    for pixel in range(image.numel()):
        change = torch.zeros_like(image)
        change.view(-1)[pixel] = step
        total += ((encode((image + change)[None]) - encode((image - change)[None])) / (2 * step)).square().sum()
    return total


# ---- the exact norm


@pytest.mark.parametrize("name", ENCODERS)
def test_the_exact_norm_is_that_of_the_jacobian(name):
    encode, images = ENCODERS[name], random_images()
    norms = jacobian_frobenius_squared(encode, images)
    assert norms.shape == (4,)
    assert norms.dtype == torch.float64
    torch.testing.assert_close(norms, by_jacrev(encode, images), rtol=1e-12, atol=0)
    differences = norm_by_differences(encode, images[0]).detach()
    torch.testing.assert_close(norms[0].detach(), differences, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ENCODERS)
def test_on_a_flat_background_both_ways_break_ties_alike(name):
    encode, images = ENCODERS[name], digit_like_images()
    norms = jacobian_frobenius_squared(encode, images)
    total = torch.zeros(4, dtype=torch.float64)
    for pixel in range(SIDE * SIDE):
        unit = torch.zeros_like(images)
        unit.view(4, -1)[:, pixel] = 1
        total += jvp(encode, (images,), (unit,))[1].square().flatten(1).sum(1)
    torch.testing.assert_close(norms, total, rtol=1e-12, atol=0)
    torch.testing.assert_close(norms, by_jacrev(encode, images), rtol=1e-12, atol=0)


def test_the_norm_of_a_linear_map_is_that_of_its_weights():
    norms = jacobian_frobenius_squared(ENCODERS["dense"], random_images() * 9)
    expected = ENCODERS["dense"][1].weight.square().sum().expand(4)
    torch.testing.assert_close(norms, expected, rtol=1e-12, atol=0)
    assert jacobian_frobenius_squared(torch.zeros_like, random_images()).eq(0).all()
    torch.testing.assert_close(
        jacobian_frobenius_squared(lambda x: 3 * x, random_images()), torch.full((4,), 9.0 * SIDE**2).double()
    )


def test_the_closed_form_of_a_sigmoid_layer():
    encode, images = ENCODERS["dense, sigmoid"], random_images()
    closed = sigmoid_layer_frobenius_squared(encode(images), encode[1].weight)
    assert closed.shape == (4,)
    torch.testing.assert_close(closed, jacobian_frobenius_squared(encode, images), rtol=1e-12, atol=0)
    by_loops = sum(
        (h * (1 - h) * w) ** 2
        for h, row in zip(encode(images)[0].tolist(), encode[1].weight.tolist(), strict=True)
        for w in row
    )
    assert closed[0].item() == pytest.approx(by_loops, rel=1e-12)


@pytest.mark.parametrize("chunk_size", [1, 3, 64, 1000])
def test_the_size_of_the_chunks_does_not_matter(chunk_size):
    encode, images = ENCODERS["Table 1, narrow"], digit_like_images()
    norms = jacobian_frobenius_squared(encode, images, chunk_size=chunk_size)
    torch.testing.assert_close(norms, jacobian_frobenius_squared(encode, images), rtol=1e-12, atol=0)


def test_each_image_has_its_own_norm():
    encode, images = ENCODERS["Table 1, narrow"], random_images()
    norms = jacobian_frobenius_squared(encode, images)
    assert len({round(norm, 9) for norm in norms.tolist()}) == 4
    torch.testing.assert_close(jacobian_frobenius_squared(encode, images.flip(0)), norms.flip(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(jacobian_frobenius_squared(encode, images[2:3]), norms[2:3], rtol=1e-12, atol=0)


# ---- random projections


@pytest.mark.parametrize("name", ENCODERS)
def test_projections_are_right_on_average(name):
    encode, images = ENCODERS[name], digit_like_images(2)
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack(
        [jacobian_frobenius_squared(encode, images, projections=1, generator=generator) for _ in range(400)]
    ).detach()
    error = draws.std(dim=0) / 400**0.5
    exact = jacobian_frobenius_squared(encode, images).detach()
    assert ((draws.mean(dim=0) - exact).abs() <= 4 * error + 1e-12).all()
    assert (error > 0).all()


def test_many_projections_are_the_mean_of_single_ones():
    encode, images = ENCODERS["Table 1, narrow"], random_images()
    generator = torch.Generator().manual_seed(7)
    singles = [jacobian_frobenius_squared(encode, images, projections=1, generator=generator) for _ in range(5)]
    together = jacobian_frobenius_squared(encode, images, projections=5, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(together, torch.stack(singles).mean(dim=0), rtol=1e-12, atol=0)


def test_a_projection_is_the_product_with_random_signs():
    encode, images = ENCODERS["Table 1, narrow"], random_images()
    signs = torch.randint(0, 2, images.shape, generator=torch.Generator().manual_seed(7)).double() * 2 - 1
    jacobians = torch.stack([jacrev(lambda x: encode(x[None])[0])(image).flatten(1) for image in images])
    expected = torch.einsum("nij,nj->ni", jacobians, signs.flatten(1)).square().sum(1)
    got = jacobian_frobenius_squared(encode, images, projections=1, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=0)
    assert set(signs.unique().tolist()) == {-1, 1}
    assert not torch.equal(signs[0], signs[1]), "every image has its own vector"


def test_the_generator_decides_the_projections():
    encode, images = ENCODERS["dense"], random_images()
    state = torch.get_rng_state()
    one, two, three = (
        jacobian_frobenius_squared(encode, images, projections=2, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("projections", [0, -1])
def test_too_few_projections(projections):
    with pytest.raises(ValueError, match=rf"at least 1 \(or None: exact\), got {projections}"):
        jacobian_frobenius_squared(ENCODERS["dense"], random_images(), projections=projections)


# ---- gradients


@pytest.mark.parametrize("name", ENCODERS)
def test_the_gradient_reaches_the_encoders_weights(name):
    """One backward pass through forward mode agrees with the double backward of the whole Jacobian."""
    encode, images = ENCODERS[name], digit_like_images(2)
    parameters = list(encode.parameters())
    ours = torch.autograd.grad(
        jacobian_frobenius_squared(encode, images).sum(), parameters, allow_unused=True, materialize_grads=True
    )
    jacobians = [
        torch.autograd.functional.jacobian(lambda x: encode(x[None])[0], image, create_graph=True) for image in images
    ]
    norm = sum(jacobian.square().sum() for jacobian in jacobians)
    theirs = torch.autograd.grad(norm, parameters, allow_unused=True, materialize_grads=True)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert any(gradient.abs().max() > 0 for gradient in ours)


@pytest.mark.parametrize("projections", [None, 2])
@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_agree_with_finite_differences(name, projections):
    model = SMOOTH[name]
    names = [key for key, _ in model.named_parameters()]
    images = torch.rand(2, 1, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def norms(images, *values):
        weights = dict(zip(names, values, strict=True))
        return jacobian_frobenius_squared(
            lambda x: functional_call(model, weights, (x,)),
            images,
            projections=projections,
            generator=torch.Generator().manual_seed(3),
        )

    values = [value.detach().clone().requires_grad_() for value in model.parameters()]
    assert torch.autograd.gradcheck(norms, (images.requires_grad_(), *values))


def test_the_closed_form_is_differentiable_too():
    generator = torch.Generator().manual_seed(0)
    codes = torch.rand(3, 4, generator=generator, dtype=torch.float64).requires_grad_()
    weight = torch.rand(4, 5, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(sigmoid_layer_frobenius_squared, (codes, weight))


def test_exact_norms_in_float32_are_close_to_those_in_float64():
    encode, images = ENCODERS["Table 1, narrow"], digit_like_images()
    exact = jacobian_frobenius_squared(encode, images).detach()
    narrow = jacobian_frobenius_squared(encoders()["Table 1, narrow"].float(), images.float()).detach()
    torch.testing.assert_close(narrow.double(), exact, rtol=1e-4, atol=0)


def test_one_image_may_be_expanded_to_many():
    image = torch.rand(1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)

    def encode(images):
        return images @ weight.T

    copies = image.expand(4, -1)
    assert jacobian_frobenius_squared(encode, copies).tolist() == [14.0] * 4
    draws = jacobian_frobenius_squared(encode, copies, projections=1, generator=torch.Generator().manual_seed(0))
    assert set(draws.tolist()) <= {0.0, 4.0, 16.0, 36.0}
