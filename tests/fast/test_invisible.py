"""Whatever a PyTorch user does to a network, the fast path does not undo."""

import itertools

import pytest
import torch
from small_network import EVERYTHING, close, fast, plainly, small_autoencoder, small_images
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import prune

INNER = ["encoder.0", "encoder.1", "encoder.2", "encoder.3", "encoder.4", "encoder.5", "decoder.0", "decoder.1"]
INNER += ["decoder.2", "decoder.3"]


def gradients_of(model, ask, images):
    images = images.clone().requires_grad_()
    outputs = ask(model, images)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [outputs, *torch.autograd.grad(outputs.square().sum(), [images, *parameters])]


def compare(model, images=None):
    images = small_images() if images is None else images
    for one, other in zip(*(gradients_of(model, ask, images) for ask in (fast, plainly)), strict=True):
        close(one, other)


def test_untouched_networks_are_fast(calls):
    compare(small_autoencoder())
    assert calls == EVERYTHING


# ---- hooks


@pytest.mark.parametrize("name", INNER)
@pytest.mark.parametrize("kind", ["forward", "forward_pre"])
def test_forward_hooks_fire_and_may_change_what_passes(name, kind):
    model, seen = small_autoencoder(), []
    layer = model.get_submodule(name)

    def hook(module, inputs, outputs=None):
        seen.append(module)
        return 0.7 * outputs if kind == "forward" else (0.7 * inputs[0],)

    before = plainly(model, small_images())
    getattr(layer, f"register_{kind}_hook")(hook)
    compare(model)
    assert seen == [layer] * 2
    assert not torch.equal(plainly(model, small_images()), before)


@pytest.mark.parametrize("name", INNER)
@pytest.mark.parametrize("kind", ["full_backward", "full_backward_pre"])
def test_backward_hooks_fire_and_may_change_gradients(name, kind):
    model, seen = small_autoencoder(), []
    layer = model.get_submodule(name)

    def hook(module, *gradients):
        seen.append(module)
        return tuple(0.7 * gradient for gradient in gradients[0])

    getattr(layer, f"register_{kind}_hook")(hook)
    compare(model)
    assert seen == [layer] * 2


def test_hooks_on_containers_fire_and_cost_no_speed(calls):
    model, seen = small_autoencoder(), []
    for module in (model, model.encoder, model.decoder):
        module.register_forward_hook(lambda module, *_: seen.append(module))
        module.register_full_backward_hook(lambda module, *_: seen.append(module))
    compare(model)
    assert len(seen) == 12
    assert calls == EVERYTHING


def test_hooks_on_all_modules_fire():
    model, seen = small_autoencoder(), []
    handle = register_module_forward_hook(lambda module, *_: seen.append(module))
    try:
        fast(model, small_images())
    finally:
        handle.remove()
    assert len(seen) == len(list(model.modules()))


def test_a_hook_that_is_registered_meanwhile_fires(calls):
    from magnet_helpers.fast.switch import sooner

    model, seen = small_autoencoder(), []
    with sooner(model):
        model(small_images())
        assert calls == EVERYTHING
        handle = model.encoder[3].register_forward_hook(lambda *_: seen.append(1))
        model(small_images())
        handle.remove()
        assert calls == [*EVERYTHING, "FirstLayer", "LastLayer"]
        model(small_images())
    assert seen == [1]
    assert calls[-3:] == EVERYTHING


# ---- layers that are not what they were


class Doubled(nn.Conv2d):
    def forward(self, images):
        return 2 * super().forward(images)


def as_subclass(model):
    model.encoder[3].__class__ = Doubled


def with_a_forward_of_its_own(model):
    layer = model.decoder[2]
    layer.forward = lambda images: 2 * nn.ConvTranspose2d.forward(layer, images)


def with_a_convolution_of_its_own(model):
    layer = model.encoder[0]
    layer._conv_forward = lambda images, weight, bias: 2 * nn.Conv2d._conv_forward(layer, images, weight, bias)


def container_with_a_forward_of_its_own(model):
    layers = model.encoder
    layers.forward = lambda images: 2 * nn.Sequential.forward(layers, images)


CHANGES = {
    "pruned": lambda model: prune.l1_unstructured(model.encoder[0], "weight", 0.5),
    "pruned bias": lambda model: prune.random_unstructured(model.decoder[0], "bias", 2),
    "pruned for good": lambda model: prune.remove(prune.l1_unstructured(model.encoder[3], "weight", 0.5), "weight"),
    "weight norm": lambda model: nn.utils.parametrizations.weight_norm(model.encoder[3]),
    "spectral norm": lambda model: nn.utils.parametrizations.spectral_norm(model.encoder[0]).eval(),
    "old weight norm": lambda model: nn.utils.weight_norm(model.decoder[2]),
    "old spectral norm": lambda model: nn.utils.spectral_norm(model.decoder[0]).eval(),
    "subclass": as_subclass,
    "forward of its own": with_a_forward_of_its_own,
    "convolution of its own": with_a_convolution_of_its_own,
    "container's own forward": container_with_a_forward_of_its_own,
    "odd number of channels": lambda model: model.encoder.__setitem__(3, nn.Conv2d(3, 4, 5, padding=2).double()),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_network_is_taken_as_it_is(change):
    model = small_autoencoder()
    before = plainly(model, small_images())
    CHANGES[change](model)
    compare(model)
    if "weight norm" not in change:  # that keeps the weights until they are trained
        assert not torch.allclose(plainly(model, small_images()), before)


def test_pooling_that_returns_indices_is_no_max_pooling(calls):
    pool = nn.MaxPool2d(2, return_indices=True)

    class Values(nn.Module):
        def forward(self, both):
            return both[0]

    layers = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), pool, Values(), nn.ReLU()).double()
    wrong = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), pool, nn.ReLU()).double()
    close(fast(layers, small_images()), plainly(layers, small_images()))
    with pytest.raises(TypeError):
        fast(wrong, small_images())
    assert not calls


def test_a_convolution_function_that_is_replaced_for_all_is_used(monkeypatch, calls):
    original = nn.Conv2d.forward
    monkeypatch.setattr(nn.Conv2d, "forward", lambda self, images: 2 * original(self, images))
    compare(small_autoencoder())
    assert set(calls) == {"LastLayer"}


# ---- what is trained, and what is not


NAMES = [name for name, _ in small_autoencoder().named_parameters()]
FROZEN = [*itertools.combinations(NAMES, 1), *itertools.combinations(NAMES, 7), *itertools.combinations(NAMES, 4)]


@pytest.mark.parametrize("image_gradient", [True, False])
@pytest.mark.parametrize("frozen", [*FROZEN[:16], *FROZEN[16::7]], ids=" ".join)
def test_partly_frozen_networks_train(frozen, image_gradient, calls):
    model = small_autoencoder()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    free = [parameter for parameter in model.parameters() if parameter.requires_grad]
    results = []
    for ask in (fast, plainly):
        images = small_images().requires_grad_(image_gradient)
        results.append(torch.autograd.grad(ask(model, images).square().sum(), [images] * image_gradient + free))
    for one, other in zip(*results, strict=True):
        close(one, other)
    assert calls == EVERYTHING


def test_images_that_change_before_the_gradient_are_noticed():
    for ask in (fast, plainly):
        images = small_images()
        loss = ask(small_autoencoder(), images).sum()
        images.zero_()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


# ---- images


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 2, 8, 8), (2, 0, 8, 8)])
def test_another_number_of_channels_is_refused(shape):
    for ask in (fast, plainly):
        with pytest.raises(RuntimeError, match="channel"):
            ask(small_autoencoder(), torch.rand(shape, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (1, 8, 8), (2, 1, 12, 8), (1, 1, 9, 10)])
def test_any_shape_that_pytorch_takes(shape):
    compare(small_autoencoder(), torch.rand(shape, dtype=torch.float64))


def test_mixed_types_are_refused():
    model = small_autoencoder()
    for layers in (model, model.encoder[:3]):
        for ask in (fast, plainly):
            with pytest.raises(RuntimeError, match=r"dtype|type"):
                ask(layers, small_images().float())


def test_weights_that_fit_no_images_are_refused():
    model = small_autoencoder()
    model.decoder[2] = nn.ConvTranspose2d(2, 1, 3, stride=2, padding=1, output_padding=1).double()
    for ask in (fast, plainly):
        with pytest.raises(RuntimeError, match="channels"):
            ask(model, small_images())


@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize("channels_last", [True, False])
def test_features_lie_in_memory_as_pytorchs_do(placed, channels_last):
    model = small_autoencoder()
    if placed:
        model.to(memory_format=torch.channels_last)
    images = small_images()
    for layers, given in ((model.encoder, images), (model.encoder[3:], model.encoder[:3](images))):
        if channels_last:
            given = given.contiguous(memory_format=torch.channels_last)
        assert fast(layers, given).stride() == plainly(layers, given).stride()


def test_a_view_of_features_is_possible_where_it_is_with_pytorch(calls):
    encoder = small_autoencoder().encoder
    close(fast(encoder, small_images()).view(3, -1), plainly(encoder, small_images()).view(3, -1))
    assert calls


# ---- modes


def test_inference_mode_and_no_grad(calls):
    model = small_autoencoder()
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            outputs = fast(model, small_images())
            close(outputs, plainly(model, small_images()))
            assert not outputs.requires_grad
    assert calls == 2 * EVERYTHING


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype, calls):
    model, images = small_autoencoder().float(), small_images().float()
    with torch.autocast("cpu", dtype):
        torch.testing.assert_close(fast(model, images).to(dtype), plainly(model, images), rtol=0.02, atol=0.02)
    assert bool(calls) == (dtype == torch.bfloat16)
