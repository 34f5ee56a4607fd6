import functools
import re

import pytest
import torch
from tiny import equal, tiny_images, weights
from torch import nn
from torch.nn import functional as F

from magnet_helpers.models import (
    CODE_SIZE,
    ContractiveAutoencoder,
    ConvAutoencoder,
    ConvClassifier,
    MagNetAutoencoder1,
    MagNetAutoencoder2,
    PublishedContractiveAutoencoder,
    StackedAutoencoder,
)
from magnet_helpers.seeds import initial_weights_from

IMAGES = tiny_images(3).images

# Each layer: inputs · outputs · kernel + one bias per output.
CLASSIFIER = (
    (1 * 32 * 5 * 5 + 32)  # convolution
    + (32 * 32 * 5 * 5 + 32)  # convolution
    + (7 * 7 * 32 * 1024 + 1024)  # dense
    + (1024 * 10 + 10)  # dense
)
ENCODER = (1 * 32 * 3 * 3 + 32) + (32 * 32 * 3 * 3 + 32)
DENSE = 1568 * 1568 + 1568


def decoder(width):
    return (32 * width * 3 * 3 + width) + (width * 1 * 3 * 3 + 1)


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def kinds(model):
    return [type(module) for module in model.modules() if not list(module.children())]


@pytest.mark.parametrize(
    ("model", "expected", "number"),
    [
        (ConvClassifier(), CLASSIFIER, 1_643_370),
        (ConvAutoencoder(), ENCODER + decoder(32), 19_105),
        (ConvAutoencoder(decoder_width=64), ENCODER + decoder(64), 28_641),
        (ContractiveAutoencoder(), ENCODER + DENSE + decoder(32), 2_479_297),
        (ContractiveAutoencoder(64), ENCODER + DENSE + decoder(64), 2_488_833),
        (PublishedContractiveAutoencoder(), ENCODER + DENSE + decoder(64), 2_488_833),
        (StackedAutoencoder([ConvAutoencoder() for _ in range(3)]), 3 * (ENCODER + decoder(32)), 57_315),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_numbers_of_parameters(model, expected, number):
    assert parameters(model) == expected == number


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    "model", [ConvAutoencoder(), ConvAutoencoder(64), ContractiveAutoencoder(), StackedAutoencoder([ConvAutoencoder()])]
)
def test_autoencoders_return_images(model, count):
    images = model(IMAGES[:count])
    assert images.shape == (count, 1, 28, 28)
    assert images.dtype == torch.float32
    assert images.min() > 0
    assert images.max() < 1


def test_a_classifier_returns_logits():
    logits = ConvClassifier()(IMAGES)
    assert logits.shape == (3, 10)
    assert logits.min() < 0, "probabilities would hide the gradient"


@pytest.mark.parametrize(
    ("model", "limits"), [(ConvAutoencoder(), (0, float("inf"))), (ContractiveAutoencoder(), (0, 1))]
)
def test_codes(model, limits):
    codes = model.encode(IMAGES)
    assert codes.shape == (3, 1568)
    assert CODE_SIZE == 32 * 7 * 7 == 1568
    assert codes.min() >= limits[0]
    assert codes.max() <= limits[1]
    torch.testing.assert_close(model.decode(codes), model(IMAGES), rtol=0, atol=0)


def test_contractive_codes_are_sigmoids_of_a_dense_layer():
    model = ContractiveAutoencoder()
    features = F.max_pool2d(F.relu(model.encoder[3](F.max_pool2d(F.relu(model.encoder[0](IMAGES)), 2))), 2)
    torch.testing.assert_close(model.features(IMAGES), features.flatten(1), rtol=1e-5, atol=1e-6)
    codes = 1 / (1 + torch.exp(-(features.flatten(1) @ model.dense.weight.T + model.dense.bias)))
    torch.testing.assert_close(model.encode(IMAGES), codes, rtol=1e-5, atol=1e-6)
    assert codes.min() > 0
    assert codes.max() < 1


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((2, 3, 28, 28), "these have three colours; make them grey, images.mean"),
        ((2, 4, 28, 28), "these have three colours and transparency; if the drawing .* take images.:, 3:"),
        ((2, 28, 28, 3), "these have three colours; .* the channels come last, images.permute"),
        ((2, 28, 28, 1), "the channels come last, images.permute"),
        ((2, 2, 28, 28), "give it the channels"),
        ((2, 28, 28), "they need an axis of channels, images.:, None"),
        ((28, 28, 2), "the images lie along the last axis"),
        ((28, 28, 3), "a single image needs .* channels first"),
        ((3, 28, 28), "grey images need an axis of channels"),
        ((28, 28), "a single image needs an axis of images and one of channels"),
        ((2, 784), r"reshape them, images.reshape\(-1, 1, 28, 28\)"),
        ((2, 1, 30, 30), "resize or crop them to 28×28 pixels"),
    ],
)
@pytest.mark.parametrize(
    "ask",
    [
        *(ConvClassifier(), ConvAutoencoder(), ConvAutoencoder().encode, ContractiveAutoencoder()),
        *(ContractiveAutoencoder().encode, StackedAutoencoder([ConvAutoencoder()])),
        *(MagNetAutoencoder1(), MagNetAutoencoder2()),
    ],
)
def test_images_with_another_number_of_channels_are_refused(ask, shape, advice):
    with pytest.raises(
        ValueError, match=rf"images must have shape \(N, 1, 28, 28\), got {re.escape(str(shape))}: {advice}"
    ):
        ask(torch.rand(shape))


# ---- Table 1


def test_the_layers_of_the_classifier():
    convolution = [nn.Conv2d, nn.MaxPool2d, nn.ReLU]
    assert kinds(ConvClassifier()) == [*convolution, *convolution, nn.Flatten, nn.Linear, nn.ReLU, nn.Linear]


def test_the_layers_of_the_autoencoders():
    encoder = [nn.Conv2d, nn.MaxPool2d, nn.ReLU] * 2
    decoder = [nn.ConvTranspose2d, nn.ReLU, nn.ConvTranspose2d, nn.Sigmoid]
    assert kinds(ConvAutoencoder()) == [*encoder, *decoder]
    model = ContractiveAutoencoder()
    assert kinds(model.encoder) == encoder
    assert kinds(model.decoder) == decoder
    assert isinstance(model.dense, nn.Linear)


@pytest.mark.parametrize("images", [IMAGES, torch.zeros_like(IMAGES), IMAGES.round()], ids=["random", "black", "ties"])
@pytest.mark.parametrize("layers", [ConvClassifier().features, ConvAutoencoder().encoder])
def test_pooling_before_the_relu_changes_no_bit(layers, images):
    as_printed = [layers[0], layers[2], layers[1], layers[3], layers[5], layers[4]]
    assert [type(layer) for layer in as_printed] == [nn.Conv2d, nn.ReLU, nn.MaxPool2d] * 2
    results = []
    for order in (layers, as_printed):
        x = images.clone().requires_grad_()
        output = functools.reduce(lambda value, layer: layer(value), order, x)
        results.append([output, *torch.autograd.grad(output.square().sum(), [x, *layers.parameters()])])
    assert all(torch.equal(ours, printed) for ours, printed in zip(*results, strict=True))


@pytest.mark.parametrize(("model", "kernel"), [(ConvClassifier().features, 5), (ConvAutoencoder().encoder, 3)])
def test_convolutions_keep_the_size_and_pooling_halves_it(model, kernel):
    sides, x = [], IMAGES
    for layer in model:
        x = layer(x)
        sides.append(x.shape[-1])
        if isinstance(layer, nn.Conv2d):
            assert (layer.kernel_size, layer.stride, layer.out_channels) == ((kernel, kernel), (1, 1), 32)
    assert sides == [28, 14, 14, 14, 7, 7]


@pytest.mark.parametrize("width", [32, 64])
def test_transposed_convolutions_double_the_size(width):
    shapes, x = [], torch.rand(2, 32, 7, 7)
    for layer in ConvAutoencoder(width).decoder:
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(width, 14, 14), (width, 14, 14), (1, 28, 28), (1, 28, 28)]


# ---- how they start


@pytest.mark.parametrize("build", [ConvAutoencoder, ContractiveAutoencoder, PublishedContractiveAutoencoder])
def test_autoencoders_start_as_dark_as_mnist(build):
    with initial_weights_from(0):
        model = build()
    assert model.decoder[2].bias.tolist() == pytest.approx([-1.9])
    with torch.no_grad():
        assert 0.10 < model(IMAGES).mean() < 0.16
    assert torch.sigmoid(torch.tensor(-1.9)).item() == pytest.approx(0.1307, abs=1e-3), "the mean pixel of MNIST"


def test_the_published_copy_is_a_buffer_that_is_not_saved():
    with initial_weights_from(0):
        model = PublishedContractiveAutoencoder()
    assert dict(model.named_buffers()).keys() == {"initial_weight"}
    assert model.state_dict().keys() == ContractiveAutoencoder(64).state_dict().keys()
    assert model.initial_weight.data_ptr() != model.dense.weight.data_ptr()
    other = PublishedContractiveAutoencoder()
    other.load_state_dict(model.state_dict())
    assert not torch.equal(other.initial_weight, model.initial_weight)


# ---- stacks


def test_a_stack_is_the_composition_of_its_stages():
    with initial_weights_from(0):
        stages = [ConvAutoencoder() for _ in range(3)]
    for size in (1, 2, 3):
        expected = IMAGES
        for stage in stages[:size]:
            expected = stage(expected)
        torch.testing.assert_close(StackedAutoencoder(stages[:size])(IMAGES), expected, rtol=0, atol=0)
    reordered = StackedAutoencoder(stages[::-1])(IMAGES)
    assert not torch.equal(reordered, StackedAutoencoder(stages)(IMAGES))


def test_a_stack_shares_its_stages():
    stage = ConvAutoencoder()
    stack = StackedAutoencoder([stage, ConvAutoencoder()])
    assert stack.stages[0] is stage
    nn.init.zeros_(stack.stages[0].decoder[2].weight)
    assert stage.decoder[2].weight.eq(0).all()


def test_an_empty_stack_is_refused():
    with pytest.raises(ValueError, match="at least one autoencoder, got none"):
        StackedAutoencoder([])


def test_the_initial_weights_follow_pytorchs_generator():
    states = []
    for seed in (0, 0, 1):
        with initial_weights_from(seed):
            states.append(weights(ContractiveAutoencoder()))
    assert equal(states[0], states[1])
    assert not equal(states[0], states[2])


@pytest.mark.parametrize(
    ("kind", "parameters", "code"), [(MagNetAutoencoder1, 310, 588), (MagNetAutoencoder2, 142, 2352)]
)
def test_magnets_own_autoencoders(kind, parameters, code):
    """Meng & Chen 2017, table 2, counted by hand: 3·9+3, 3·(3·3·9+3) or one, 3·9+1."""
    with initial_weights_from(0):
        model = kind()
    assert sum(weight.numel() for weight in model.parameters()) == parameters
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    out = model(images)
    assert out.shape == images.shape
    assert out.min() > 0
    assert out.max() < 1
    assert out.mean() < 0.3, "it starts dark"
    sizes = []
    for layer in model:
        images = layer(images)
        sizes.append(images[0].numel())
    assert min(sizes[:-2]) == code
