"""Checks for lesson 05: a layer's Jacobian norm in closed form, by projections, and a loss that penalises it."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from magnet_helpers.checks.feedback import Feedback, attempt, check, check_gradient, compare, off, plainly
from magnet_helpers.seeds import global_numbers


@plainly
def check_relu_layer_penalty(penalty: Callable[..., object]) -> Feedback:
    """Check `relu_layer_penalty(codes (N, m), weight (m, n)) → ‖∂h/∂x‖²_F of h = relu(W x + b)`, shape (N,).

    Lesson 05, "Try it", exercise 1.
    """
    generator = torch.Generator().manual_seed(50)
    cases = []
    for n, m, inputs in ((3, 5, 5), (4, 6, 2)):
        weight = torch.randn(m, inputs, generator=generator)
        codes = torch.relu(torch.randn(n, inputs, generator=generator) @ weight.T)
        live = (codes > 0).float()
        rows = weight.square().sum(dim=1)
        mistakes: dict[str, object] = {
            "the code itself stands where its slope should: how steep is ReLU?": codes.square() @ rows,
            "units that are switched off count too: how steep is ReLU left of 0?": rows.sum().expand(n),
            "this is the sigmoid's slope; how steep is ReLU?": (codes * (1 - codes)).square() @ rows,
            "the entries of W are not squared": live @ weight.sum(dim=1),
            "it is one number for all images; wanted is one for each": (live @ rows).sum(),
        }
        if m == inputs:
            mistakes["W is summed over the wrong dimension: a row belongs to a unit of the code"] = (
                live @ weight.square().sum(dim=0)
            )
        cases.append(((codes, weight), live @ rows, mistakes))
    return check(penalty, cases, success="the closed form of a ReLU layer agrees")


@plainly
def check_sigmoid_layer_penalty(penalty: Callable[..., object]) -> Feedback:
    """Check `sigmoid_layer_penalty(codes (N, m), weight (m, n)) → ‖∂h/∂x‖²_F of h = σ(W x + b)`, shape (N,).

    Gradients must reach both arguments.

    Assignment 05, "The penalty of one layer".
    """
    generator = torch.Generator().manual_seed(51)
    cases: list[tuple[tuple[Tensor, Tensor], Tensor, dict[str, object]]] = []
    for n, m, inputs in ((3, 5, 5), (1, 4, 7)):
        weight = torch.randn(m, inputs, generator=generator)
        codes = torch.sigmoid(torch.randn(n, inputs, generator=generator) @ weight.T)
        slopes, rows = codes * (1 - codes), weight.square().sum(dim=1)
        again = torch.sigmoid(codes)
        right = slopes.square() @ rows
        mistakes: dict[str, object] = {
            "W is squared, the slopes are not": slopes @ rows,
            "the slopes are squared, the entries of W are not": slopes.square() @ weight.sum(dim=1),
            "the code itself stands where its slope should": codes.square() @ rows,
            "the rows of J are added up first and squared then: rows of opposite sign cancel": (slopes @ weight)
            .square()
            .sum(dim=1),
            "this is the norm; wanted is its square": right.sqrt(),
            "the codes come out of the sigmoid already: it was applied again": (again * (1 - again)).square() @ rows,
        }
        if m == inputs:
            mistakes["W is summed over the wrong dimension: a row belongs to a unit of the code"] = (
                slopes.square() @ weight.square().sum(dim=0)
            )
            mistakes["it is the sum over the images; wanted is one number for each"] = right.sum()
            mistakes["it is the mean over the images; wanted is one number for each"] = right.mean()
        cases.append(((codes, weight), right, mistakes))
    success = "the closed form agrees, and gradients come through to the codes and to the weights"
    feedback = check(penalty, cases, success=success)
    (codes, weight), _, _ = cases[0]
    slopes, rows = codes * (1 - codes), weight.square().sum(dim=1)
    of_codes = 2 * slopes * (1 - 2 * codes) * rows
    of_weight = 2 * slopes.square().sum(dim=0)[:, None] * weight
    return (
        feedback
        and check_gradient(penalty, (codes, weight), of_codes, success=success)
        and check_gradient(lambda w, h: penalty(h, w), (weight, codes), of_weight, success=success)
    )


def _encode(weight: Tensor, images: Tensor) -> Tensor:
    return torch.tanh(images @ weight.T)


def _products(weight: Tensor, images: Tensor, directions: Tensor) -> Tensor:
    """Return J v for each direction and image, (K, N, m), of the encoder tanh(W x), whose J is diag(1 − h²) W."""
    slopes = 1 - _encode(weight, images).square()
    return slopes * (directions @ weight.T)


@plainly
def check_penalty_by_projections(penalty: Callable[..., object]) -> Feedback:
    """Check `penalty_by_projections(encoder, images (N, …), directions (K, N, …)) → mean of ‖J v‖²`, shape (N,).

    Gradients must reach what the encoder is made of.

    Assignment 05, "The penalty of any encoder, by projections".
    """
    generator = torch.Generator().manual_seed(52)
    weight, images = torch.randn(4, 6, generator=generator), torch.randn(3, 6, generator=generator)
    directions = torch.randint(0, 2, (5, 3, 6), generator=generator).mul(2).sub(1).float()
    products = _products(weight, images, directions)
    squared = products.square().sum(dim=2)
    shared = _products(weight, images, directions[:, :1].expand_as(directions))
    mistakes = {
        "it is the sum over the directions; wanted is the mean": squared.sum(dim=0),
        "it is one number for all images; wanted is one for each": squared.mean(),
        "it is one number for each direction; wanted is one for each image": squared.mean(dim=1),
        "the products Jv are averaged before they are squared: random signs cancel": products.mean(dim=0)
        .square()
        .sum(dim=1),
        "this is the mean *length* of Jv; wanted is the mean of its square": squared.sqrt().mean(dim=0),
        "it is the mean over the code's units; wanted is their sum": products.square().mean(dim=2).mean(dim=0),
        "the code's units are added up before they are squared": products.sum(dim=2).square().mean(dim=0),
        "only one of the directions counts": squared[0],
        "each image has directions of its own; here all got those of the first image": shared.square()
        .sum(dim=2)
        .mean(dim=0),
        "the directions were scaled to length 1; take them as they are": squared.mean(dim=0) / 6,
    }
    right, success = squared.mean(dim=0), "the mean of ‖Jv‖² agrees, and it can be trained with"
    feedback = check(penalty, [((partial(_encode, weight), images, directions), right, mistakes)], success=success)

    def of_weight(w: Tensor, x: Tensor, v: Tensor) -> object:
        return penalty(partial(_encode, w), x, v)

    live = weight.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(_products(live, images, directions).square().sum() / 5, live)
    return feedback and check_gradient(of_weight, (weight, images, directions), gradient, success=success)


class _Autoencoder(nn.Module):
    """One sigmoid layer and one linear layer; it keeps a copy of its first weights, as the published program does."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.decoder = nn.Linear(6, 4), nn.Linear(4, 6)
        self.copied_weight = self.dense.weight.detach().clone()
        with torch.no_grad():  # as if it had been trained since
            self.dense.weight.mul_(1.5).add_(0.1)

    def encode(self, images: Tensor) -> Tensor:
        return torch.sigmoid(self.dense(images))

    def decode(self, codes: Tensor) -> Tensor:
        decoded: Tensor = self.decoder(codes)
        return decoded

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))

    def errors(self, images: Tensor) -> Tensor:
        """‖x − x̂‖² of each image."""
        return (images - self.decode(self.encode(images))).square().sum(dim=1)

    def penalties(self, images: Tensor, weight: Tensor) -> Tensor:
        """‖∂h/∂x‖²_F of each image, with these weights in the place of W."""
        codes = self.encode(images)
        return (codes * (1 - codes)).square() @ weight.square().sum(dim=1)


@plainly
def check_contractive_loss(contractive_loss: Callable[..., object]) -> Feedback:
    """Check `contractive_loss(network, images (N, P), penalty_weight) → mean of ‖x − x̂‖² + λ‖∂h/∂x‖²_F`.

    The network has `dense`, `encode(images)` and `decode(codes)`; gradients must reach all its weights.

    Assignment 05, "Find the bugs".
    """
    with global_numbers(53):
        network, images = _Autoencoder(), torch.rand(5, 6)
    live, penalty_weight = network.dense.weight, 0.7

    def loss(weight: Tensor) -> Tensor:
        return network.errors(images).mean() + penalty_weight * network.penalties(images, weight).mean()

    error, penalties = network.errors(images).mean(), network.penalties(images, live)
    stale = network.penalties(images, network.copied_weight).mean()
    mistakes = {
        "nothing is mended: the value is still that of the published program": error / 6 + penalty_weight * stale,
        "the penalty's weights are still the copy from before the training": error + penalty_weight * stale,
        "the weights are live now, but the error is not yet that of the formula": error / 6
        + penalty_weight * penalties.mean(),
        "the penalty is missing": error,
        "the penalty is there, but λ is not": error + penalties.mean(),
        "λ weighs the error too; it belongs to the penalty only": penalty_weight * (error + penalties.mean()),
        "the penalty is summed over the images; wanted is the mean": error + penalty_weight * penalties.sum(),
        "it is the sum over the images; wanted is the mean": 5 * loss(live),
        "it is one number for each image; wanted is their mean": network.errors(images) + penalty_weight * penalties,
    }
    success = "the loss is that of the formula, and its gradient reaches the live weights"
    arguments = (network, images, penalty_weight)
    feedback = check(contractive_loss, [(arguments, loss(live), mistakes)], success=success)
    if not feedback:
        return feedback
    answer = attempt(contractive_loss, *arguments)
    if not isinstance(answer, Tensor) or not answer.requires_grad:
        return off("the value is right, but no gradient comes through: was it detached, or turned into a plain number?")
    (gradient,) = torch.autograd.grad(answer, live, allow_unused=True)
    (right,) = torch.autograd.grad(loss(live), live)
    (cut,) = torch.autograd.grad(loss(live.detach()), live)
    hint = "the value is right, but the penalty still takes W for a constant: its gradient does not reach the weights"
    (none,) = torch.autograd.grad(network.errors(images).mean(), live)
    no_hint = "the value is right, but the penalty has no gradient at all: a training could not lower it"
    feedback = compare(gradient, right, mistakes={hint: cut, no_hint: none})
    return Feedback(True, success) if feedback else feedback
