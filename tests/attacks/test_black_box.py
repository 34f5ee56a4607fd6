"""Attacks that only ask: against what is known of a linear model, and beside attacks that see the gradient."""

import numpy as np
import pytest
import torch
from tiny import steep_classifier
from torch import nn

from magnet_helpers.attacks import FGSM, SPSA, ZOO, HopSkipJump, Square
from magnet_helpers.inference import predict

GREY = 0.5 + 0.1 * torch.randn(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
GREY = GREY.clamp(0, 1)
QUICK = (
    SPSA(0.1, steps=10, samples=16, step_size=0.02),
    ZOO(iterations=20, searches=1, pixels=64, first_c=10),
    Square(0.1, queries=200),
    HopSkipJump(steps=4, queries=100, first_queries=20),
)
EACH = pytest.mark.parametrize("attack", QUICK, ids=lambda attack: type(attack).__name__)


@pytest.fixture(scope="module")
def linear() -> nn.Module:
    return steep_classifier(10)


class Blind(nn.Module):
    """The same answers, without a gradient."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        with torch.no_grad():
            return self.model(images)


@EACH
def test_a_model_without_gradient_falls(linear, attack):
    blind = Blind(linear)
    labels = predict(linear, GREY)
    state, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    before = GREY.clone()
    got = attack.run(blind, GREY, labels)
    assert got.success.all()
    assert got.backward_passes == 0
    assert got.forward_passes > 5
    assert got.adversarial.dtype == torch.float32
    assert got.adversarial.min() >= 0
    assert got.adversarial.max() <= 1
    assert torch.equal(GREY, before)
    assert torch.equal(torch.get_rng_state(), state), "the global random numbers stay as they are"
    assert np.array_equal(np.random.get_state()[1], numpys)  # noqa: NPY002
    assert torch.equal(got.adversarial, attack.run(blind, GREY, labels).adversarial), "its own seed decides"


@EACH
def test_another_seed_asks_otherwise(linear, attack):
    labels = predict(linear, GREY)
    other = type(attack)(**{**attack.__dict__, "seed": 1})
    assert not torch.equal(attack.perturb(linear, GREY, labels), other.perturb(linear, GREY, labels))


@pytest.mark.parametrize("kind", [SPSA, Square])
def test_the_bound_is_kept(linear, kind):
    got = kind(0.03).run(linear, GREY, predict(linear, GREY))
    assert got.norms["L∞"].max() <= 0.03 + 1e-6
    assert got.norms["L∞"].max() > 0.02


def test_guessed_gradients_come_near_the_true_ones(linear):
    """SPSA's loss against FGSM's, which on a linear model with two near classes is the best there is."""
    labels = predict(linear, GREY)
    loss = nn.CrossEntropyLoss()
    best = loss(linear(FGSM(0.02, "given").perturb(linear, GREY, labels)), labels)
    start = loss(linear(GREY), labels)
    guessed = loss(linear(SPSA(0.02, steps=30, samples=64, step_size=0.01).perturb(linear, GREY, labels)), labels)
    assert (guessed - start) > 0.5 * (best - start)


def test_a_walk_along_the_boundary_comes_near_the_nearest_point(linear):
    labels = predict(linear, GREY)
    weight, logits = linear[1].weight.double(), linear(GREY).double()
    nearest = []
    for row, answer in zip(logits, labels, strict=True):
        others = [j for j in range(10) if j != answer]
        nearest.append(((row[answer] - row[others]) / (weight[answer] - weight[others]).norm(dim=1)).min())
    nearest = torch.stack(nearest).detach()
    few = HopSkipJump(steps=1, queries=300, first_queries=100).run(linear, GREY, labels)
    many = HopSkipJump(steps=12, queries=300, first_queries=100).run(linear, GREY, labels)
    assert many.success.all()
    ratio = many.norms["L2"].double() / nearest
    assert ratio.min() >= 1 - 1e-3, "nothing can be nearer"
    assert ratio.median() < 2
    assert (many.norms["L2"] < few.norms["L2"]).all()


def test_an_image_without_any_other_answer_comes_back(linear):
    class Stubborn(nn.Module):
        def forward(self, images):
            return torch.eye(10)[3].expand(len(images), 10) + 0 * images.flatten(1)[:, :10]

    got = HopSkipJump(steps=1, queries=20, first_queries=10).run(Stubborn(), GREY[:2], torch.tensor([3, 3]))
    assert not got.success.any()
    assert torch.equal(got.adversarial, GREY[:2])


@EACH
def test_bad_input_is_named(linear, attack):
    with pytest.raises(ValueError, match="a label for each of the 6 images, got 2"):
        attack.perturb(linear, GREY, torch.zeros(2).long())
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        attack.perturb(linear, GREY + 1, torch.zeros(6).long())
    assert attack.perturb(linear, GREY[:0], torch.zeros(0).long()).shape == (0, 1, 28, 28)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SPSA(2.0), r"epsilon must be in \[0, 1\]"),
        (lambda: SPSA(samples=0), "samples must be at least 1, got 0"),
        (lambda: ZOO(pixels=785), "pixels must be at most 784"),
        (lambda: ZOO(confidence=-1), "confidence must be at least 0"),
        (lambda: ZOO(difference=0), "difference must be more than 0"),
        (lambda: Square(-0.1), "epsilon must be"),
        (lambda: Square(queries=0), "queries must be at least 1"),
        (lambda: HopSkipJump("L1"), "norm must be one of L2, L∞, got 'L1'"),
        (lambda: HopSkipJump(queries=10), "first_queries must be at most queries"),
    ],
)
def test_settings_that_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
