"""The fused layers against PyTorch's own, forward and backward."""

import subprocess
import sys

import pytest
import torch
from layers import DOUBLE, digits_like, fast, gradients, plainly, random
from torch import nn
from torch.func import jacrev, jvp

from magnet_helpers.fast import first_layer as first_layer_loops
from magnet_helpers.fast import loops
from magnet_helpers.fast.fused import run, run_along
from magnet_helpers.models import ContractiveAutoencoder, ConvAutoencoder, ConvClassifier


def first_layer(channels=3, kernel_size=3, dtype=DOUBLE):
    torch.manual_seed(1)
    conv = nn.Conv2d(1, channels, kernel_size, padding="same", dtype=dtype)
    return nn.Sequential(conv, nn.MaxPool2d(2), nn.ReLU())


def last_layers(channels=3, dtype=DOUBLE):
    torch.manual_seed(2)
    conv = nn.ConvTranspose2d(2, channels, 2, stride=3, dilation=2, dtype=dtype)
    last = nn.ConvTranspose2d(channels, 1, 3, stride=2, padding=1, output_padding=1, dtype=dtype)
    return nn.Sequential(conv, nn.ReLU(), last)


CASES = {
    "3x3": (first_layer(), digits_like()),
    "5x5": (first_layer(channels=17, kernel_size=5), digits_like()),
    "1x1": (first_layer(kernel_size=1), digits_like(size=6)),
    "not square": (first_layer(), random(2, 1, 4, 10)),
    "channels-last": (first_layer(), digits_like().contiguous(memory_format=torch.channels_last)),
    "a view": (first_layer(), random(9, 1, 12, 12)[::2, :, 2:10, 2:10].transpose(2, 3)),
    "encoder": (ConvAutoencoder().double().encoder, digits_like()),
    "decoder": (ConvAutoencoder().double().decoder, random(4, 32, 7, 7)),
    "classifier": (ConvClassifier().double().features, digits_like()),
    "last": (last_layers(), random(4, 2, 5, 6)),
    "last, channels-last": (last_layers(), random(4, 2, 5, 6).contiguous(memory_format=torch.channels_last)),
}


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_the_layers(case, calls):
    layers, images = CASES[case]
    expected, expected_gradients = gradients(layers, images, plainly)
    assert not calls
    got, got_gradients = gradients(layers, images, run)
    assert calls
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    for one, other in zip(got_gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("model", [ConvAutoencoder, ContractiveAutoencoder, ConvClassifier])
def test_networks_are_those_of_plain_layers(model, calls):
    torch.manual_seed(3)
    network, images = model(), digits_like(dtype=torch.float32)
    expected, expected_gradients = gradients(network, images, plainly)
    assert not calls
    got, got_gradients = gradients(network, images, fast)
    assert calls
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    for one, other in zip(got_gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5 * other.abs().max().item())


def test_without_numba_the_layers_themselves_run(monkeypatch, calls):
    monkeypatch.setattr(loops, "are_there", lambda: False)
    layers, images = CASES["encoder"]
    assert torch.equal(run(layers, images), layers(images))
    assert run_along(layers, images, images) is None
    assert not calls


@pytest.mark.parametrize("layers", [first_layer(2), nn.Sequential(*first_layer(2), *last_layers(2))])
def test_gradients_pass_gradcheck(layers):
    images = random(2, 1, 4, 4).requires_grad_()
    # The parameters are changed in place by gradcheck: they need not be passed on.
    assert torch.autograd.gradcheck(lambda images, *_: run(layers, images), (images, *layers.parameters()))


@pytest.mark.parametrize("case", ["3x3", "5x5", "encoder", "not square"])
def test_the_change_along_a_direction_is_forward_modes(case):
    layers, images = CASES[case]
    directions = random(*images.shape, seed=5)

    def loss(values, moved):
        weights = random(2, *values.shape, seed=6)
        return (weights[0] * values).sum() + (weights[1] * moved.square()).sum()

    expected = jvp(layers, (images,), (directions,))
    got = run_along(layers, images, directions)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)
    inputs = list(layers.parameters())
    for one, other in zip(
        torch.autograd.grad(loss(*got), inputs), torch.autograd.grad(loss(*expected), inputs), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_an_image_can_have_several_directions():
    layers, images = CASES["encoder"][0], digits_like(n=2)
    directions = random(6, *images.shape[1:], seed=5).requires_grad_()
    values, moved = run_along(layers, images, directions)
    _, expected = run_along(layers, images.repeat_interleave(3, dim=0), directions)
    torch.testing.assert_close(values, layers(images))
    torch.testing.assert_close(moved, expected)
    inputs = [directions, layers[0].weight, layers[3].weight]
    weights = random(*moved.shape, seed=6)
    for one, other in zip(
        torch.autograd.grad((weights * moved).sum(), inputs),
        torch.autograd.grad((weights * expected).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_gradients_reach_images_and_directions():
    layers = CASES["encoder"][0]
    images, directions = (random(2, 1, 8, 8, seed=seed).requires_grad_() for seed in (1, 2))
    for position in (0, 1):
        expected = jvp(layers, (images,), (directions,))[position]
        got = run_along(layers, images, directions)[position]
        weights = random(*got.shape, seed=3)
        one = torch.autograd.grad((weights * got).sum(), [images, directions], allow_unused=True)
        other = torch.autograd.grad((weights * expected).sum(), [images, directions], allow_unused=True)
        for mine, theirs in zip(one, other, strict=True):
            zero = torch.zeros_like(images)
            torch.testing.assert_close(zero if mine is None else mine, zero if theirs is None else theirs)


def test_what_is_not_differentiated_costs_nothing(monkeypatch):
    layers, images = first_layer(kernel_size=3), digits_like()
    for parameter in layers.parameters():
        parameter.requires_grad_(False)
    replaced = first_layer_loops.first_layer(3)._replace(weight_gradient=None)  # calling it would fail
    monkeypatch.setattr(first_layer_loops, "first_layer", lambda _: replaced)
    images.requires_grad_()
    run(layers, images).sum().backward()
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", [0, 3])
def test_a_network_that_has_diverged_shows_it(value, place):
    autoencoder = ConvAutoencoder()
    with torch.no_grad():
        autoencoder.encoder[place].weight[0, 0, 1, 1] = value
    features = run(autoencoder.encoder, digits_like(dtype=torch.float32))
    assert not features.isfinite().all()


OTHERS = {
    "stride": nn.Conv2d(1, 2, 3, stride=2),
    "even kernel": nn.Conv2d(1, 2, 4, padding="same"),
    "no padding": nn.Conv2d(1, 2, 3),
    "no bias": nn.Conv2d(1, 2, 3, padding="same", bias=False),
    "dilation": nn.Conv2d(1, 2, 3, padding="same", dilation=2),
    "reflected": nn.Conv2d(1, 2, 3, padding="same", padding_mode="reflect"),
    "odd size": nn.Sequential(nn.ZeroPad2d((0, 1, 0, 0)), nn.Conv2d(1, 2, 3, padding="same")),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("case", OTHERS)
@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2), nn.MaxPool2d(2, padding=1)])
def test_other_layers_run_as_they_are(case, pool, calls):
    conv = OTHERS[case]
    layers = nn.Sequential(*(conv if isinstance(conv, nn.Sequential) else [conv]), pool, nn.ReLU())
    images = random(2, 1, 12, 12, dtype=torch.float32)
    assert torch.equal(run(layers, images), layers(images))
    assert run_along(layers, images, images) is None
    assert not calls


DOUBLING = {"stride": 2, "padding": 1, "output_padding": 1}


@pytest.mark.parametrize(
    ("conv", "last"),
    [
        (nn.ConvTranspose2d(2, 2, 3), nn.ConvTranspose2d(2, 1, 3, stride=2, padding=1)),
        (nn.ConvTranspose2d(2, 2, 3), nn.ConvTranspose2d(2, 1, 4, stride=2, padding=1)),
        (nn.ConvTranspose2d(2, 2, 3), nn.ConvTranspose2d(2, 1, 3, **DOUBLING, bias=False)),
        (nn.ConvTranspose2d(2, 2, 3), nn.ConvTranspose2d(2, 2, 3, **DOUBLING)),
        (nn.ConvTranspose2d(2, 2, 3, bias=False), nn.ConvTranspose2d(2, 1, 3, **DOUBLING)),
        (nn.Conv2d(2, 2, 3), nn.ConvTranspose2d(2, 1, 3, **DOUBLING)),
    ],
)
def test_other_transposed_convolutions_run_as_they_are(conv, last, calls):
    layers, images = nn.Sequential(conv, nn.ReLU(), last), random(2, 2, 5, 5, dtype=torch.float32)
    assert torch.equal(run(layers, images), layers(images))
    assert not calls


def test_function_transforms_see_plain_layers(calls):
    autoencoder, image = ConvAutoencoder().double(), digits_like(1, size=28)
    got = jacrev(lambda one: run(autoencoder.encoder, one).flatten())(image)
    expected = jacrev(lambda one: autoencoder.encoder(one).flatten())(image)
    assert torch.equal(got, expected)
    assert not calls


def test_half_precision_runs_as_it_is(calls):
    layers = first_layer(dtype=torch.bfloat16)
    images = random(2, 1, 8, 8, dtype=torch.bfloat16)
    assert torch.equal(run(layers, images), layers(images))
    assert not calls


def test_compiling_in_advance_leaves_nothing_to_compile():
    """In a process of its own: other tests have compiled the loops for their own types."""
    script = """
from magnet_helpers.fast import first_layer, later_layers as later
from magnet_helpers.__main__ import main
assert main(["compile"]) == 0
loops = [later.pool, later.pool_along, later.pool_gradient, later.last_layer, later.last_layer_gradient]
loops += [*first_layer.first_layer(3), *first_layer.first_layer(5)]
print([loop.py_func.__qualname__ for loop in loops if not loop.signatures])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    # Nothing asks how the classifier changes along a direction.
    assert done.stdout.strip() == "['first_layer.<locals>.along']"


def test_bfloat16_images_under_autocast_run_as_they_are(calls):
    layers, images = first_layer(dtype=torch.float32), random(2, 1, 8, 8, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(run(layers, images), layers(images))
    assert not calls
