"""Derivatives of all kinds, through networks whose fast path is switched on."""

import pytest
import torch
from small_network import EVERYTHING, close, fast, plainly, small_autoencoder, small_images
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual
from torch.func import functional_call, grad, hessian, jacrev, vmap
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from magnet_helpers.data import LabeledImages
from magnet_helpers.fast.switch import sooner
from magnet_helpers.training import TrainingConfig, fit


def slopes(model, ask, images):
    images = images.clone().requires_grad_()
    outputs = ask(model, images)
    (slope,) = torch.autograd.grad(outputs.square().sum(), images, create_graph=True)
    return images, slope


@pytest.mark.parametrize(
    "frozen", [(), ("encoder.0.weight",), ("encoder.0.bias", "decoder.0.bias", "encoder.3.weight")]
)
def test_second_derivatives_are_those_of_the_layers(frozen, calls):
    model, results = small_autoencoder(), []
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    free = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for ask in (fast, plainly):
        images, slope = slopes(model, ask, small_images())
        results.append([slope, *torch.autograd.grad(slope.square().sum(), [images, *free])])
    for one, other in zip(*results, strict=True):
        close(one, other)
    assert calls == EVERYTHING


def test_a_slope_of_the_weights_can_be_differentiated():
    model, results = small_autoencoder(), []
    for ask in (fast, plainly):
        images = small_images().requires_grad_()
        weights = list(model.parameters())
        first = torch.autograd.grad(ask(model, images).square().sum(), weights, create_graph=True)
        results.append(torch.autograd.grad(sum(slope.square().sum() for slope in first), [images, *weights]))
    for one, other in zip(*results, strict=True):
        close(one, other)


def test_second_derivatives_pass_gradgradcheck():
    model = small_autoencoder()
    with sooner(model):
        images = small_images(1, side=4).requires_grad_()
        assert torch.autograd.gradgradcheck(lambda images, *_: model(images), (images, *model.parameters()), atol=1e-4)


def test_third_derivatives():
    model, results = small_autoencoder(), []
    for ask in (fast, plainly):
        images, slope = slopes(model, ask, small_images(1))
        (second,) = torch.autograd.grad(slope.square().sum(), images, create_graph=True)
        results.append(torch.autograd.grad(second.square().sum(), [images, *model.parameters()]))
    for one, other in zip(*results, strict=True):
        close(one, other)


@pytest.mark.parametrize("vectorize", [False, True])
def test_the_hessian(vectorize, calls):
    model, image = small_autoencoder(), small_images(1, side=4)
    of_loss = [
        torch.autograd.functional.hessian(lambda x: ask(model, x).square().sum(), image, vectorize=vectorize)  # noqa: B023
        for ask in (fast, plainly)
    ]
    assert calls == EVERYTHING
    close(*of_loss)


def test_many_gradients_at_once():
    model, results = small_autoencoder(), []
    for ask in (fast, plainly):
        images = small_images(1, side=4).requires_grad_()
        outputs = ask(model, images)
        units = torch.eye(16, dtype=torch.float64).view(16, *outputs.shape)
        parameters = [images, *model.parameters()]
        results.append(torch.autograd.grad(outputs, parameters, units, is_grads_batched=True))
    for one, other in zip(*results, strict=True):
        close(one, other)


def test_forward_mode():
    model, images = small_autoencoder(), small_images()
    moved = []
    for ask in (fast, plainly):
        with dual_level():
            moved.append(unpack_dual(ask(model, make_dual(images, torch.ones_like(images)))).tangent)
    assert moved[0] is not None
    close(*moved)


TRANSFORMED = {
    "grad": lambda ask, model, x: grad(lambda x: ask(model, x).square().sum())(x),
    "jacrev": lambda ask, model, x: jacrev(lambda x: ask(model, x))(x),
    "vmap": lambda ask, model, x: vmap(lambda one: ask(model, one[None])[0])(x),
    "hessian": lambda ask, model, x: hessian(lambda x: ask(model, x).square().sum())(x[:1, :, :4, :4]),
    "gradients of weights": lambda ask, model, x: grad(
        lambda weights: fast_call(ask, model, weights, x).square().sum()
    )(dict(model.named_parameters()))["encoder.0.weight"],
    "functional_call": lambda ask, model, x: fast_call(
        ask, model, {name: 2 * weight for name, weight in model.named_parameters()}, x
    ),
}


def fast_call(ask, model, weights, images):
    return (
        ask(lambda x: functional_call(model, weights, x), images) if ask is plainly else within(model, weights, images)
    )


def within(model, weights, images):
    with sooner(model):
        return functional_call(model, weights, images)


@pytest.mark.parametrize("name", TRANSFORMED)
def test_function_transforms(name):
    model, images = small_autoencoder(), small_images(2)
    close(*(TRANSFORMED[name](ask, model, images) for ask in (fast, plainly)))


def test_checkpointed_activations():
    model, results = small_autoencoder(), []
    with sooner(model):
        for use_reentrant in (True, False):
            images = small_images().requires_grad_()
            loss = checkpoint(model, images, use_reentrant=use_reentrant).square().sum()
            results.append(torch.autograd.grad(loss, images)[0] if not use_reentrant else backward(loss, images))
    close(*results)


def backward(loss, images):
    loss.backward()
    return images.grad


class Operations(TorchDispatchMode):
    """Lists PyTorch's operations, as profilers do."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.names.append(str(function))
        return function(*arguments, **(keywords or {}))


def test_operations_that_are_counted_are_all_counted():
    names = []
    for ask in (fast, plainly):
        with Operations() as operations:
            ask(small_autoencoder(), small_images())
        names.append(operations.names)
    assert names[0] == names[1] != []


# ---- inside a training


def contractive_by_double_backward(model, images, labels, generator):
    """A loss from a textbook: reconstruction, and the slope of the code's sum."""
    images = images.clone().requires_grad_()
    codes = model.encoder(images)
    (slope,) = torch.autograd.grad(codes.sum(), images, create_graph=model.training)
    return (model.decoder(codes) - images).square().mean() + 0.1 * slope.square().sum()


def flat(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_loss_may_differentiate_the_model(precision, monkeypatch):
    images = LabeledImages(small_images(12, side=28).float(), torch.zeros(12, dtype=torch.long))
    weights = []
    for switch in ("1", "0"):
        monkeypatch.setenv("MAGNET_FAST", switch)
        model = small_autoencoder().float()

        def loss(model, images, labels, generator):
            with torch.enable_grad():
                return contractive_by_double_backward(model, images, labels, generator)

        fit(model, loss, images, images, TrainingConfig(3, 4, precision=precision), device=torch.device("cpu"))
        weights.append(flat(model))
    tolerance = 1e-4 if precision == "float32" else 5e-3
    torch.testing.assert_close(*weights, rtol=0, atol=tolerance)
    assert (weights[1] - flat(small_autoencoder().float())).abs().max() > 5e-3
