"""Smallest changes against what is known: the distance of a point from a linear model's boundary, and foolbox."""

from copy import deepcopy

import foolbox
import pytest
import torch
from tiny import steep_classifier, tiny_images
from torch import nn

from magnet_helpers.attacks import DDN, JSMA, CarliniWagner, ElasticNet
from magnet_helpers.inference import apply_model, predict

# Far from black and white, so that the box [0, 1] is never met.
GREY = 0.5 + 0.02 * torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
DIFFERENT = (CarliniWagner(iterations=40), ElasticNet(iterations=40), DDN(40), JSMA())


@pytest.fixture(scope="module")
def linear() -> nn.Module:
    return steep_classifier(30)


@pytest.fixture(scope="module")
def curved() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def distances(model: nn.Module, images, norm: float):
    """The distance of each image from the nearest other class: margin over the dual norm of the weights' difference."""
    weight, logits = model[1].weight.double(), apply_model(model, images).double()
    answers = logits.argmax(dim=1)
    dual = {1: torch.inf, 2: 2, torch.inf: 1}[norm]
    nearest = []
    for row, answer in zip(logits, answers, strict=True):
        others = [j for j in range(10) if j != answer]
        slopes = torch.stack([torch.linalg.vector_norm(weight[answer] - weight[j], dual) for j in others])
        nearest.append(((row[answer] - row[others]) / slopes).min())
    return torch.stack(nearest).detach()


# ---- the value


OF_L2 = (DDN(steps=100), CarliniWagner(iterations=100, searches=5, learning_rate=0.01))


@pytest.mark.parametrize("attack", OF_L2, ids=["DDN", "C&W"])
def test_in_l2_it_is_the_distance_from_the_boundary(linear, attack):
    got = attack.run(linear, GREY, predict(linear, GREY))
    assert got.success.all()
    ratio = got.norms["L2"].double() / distances(linear, GREY, 2)
    assert ratio.min() >= 1 - 1e-4, "nothing can be smaller"
    assert ratio.max() <= 1.02


def test_the_elastic_net_comes_near_the_distance_in_l1(linear):
    labels = predict(linear, GREY)
    settings = {"iterations": 100, "searches": 5, "learning_rate": 0.03}
    sparse = ElasticNet(beta=0.1, **settings).run(linear, GREY, labels)
    dense = ElasticNet(beta=0.0, **settings).run(linear, GREY, labels)
    assert sparse.success.all()
    ratio = sparse.norms["L1"].double() / distances(linear, GREY, 1)
    assert ratio.min() >= 1 - 1e-4, "nothing can be smaller"
    assert ratio.max() <= 1.6
    assert (sparse.norms["L1"] < 0.75 * dense.norms["L1"]).all()
    assert (sparse.norms["L0"] < 0.5 * dense.norms["L0"]).all()


@pytest.mark.parametrize("attack", [CarliniWagner, ElasticNet])
def test_with_confidence_the_wrong_answer_wins_by_so_much(linear, attack):
    labels = predict(linear, GREY)
    by = {}
    for kappa in (0.0, 2.0):
        got = attack(kappa, iterations=60, searches=4, learning_rate=0.02).run(linear, GREY, labels)
        assert got.success.all()
        logits = apply_model(linear, got.adversarial)
        right = logits.gather(1, labels[:, None])[:, 0]
        margin = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1) - right
        assert margin.min() >= kappa - 1e-4
        by[kappa] = got.norms["L2"]
    assert (by[2.0] > by[0.0]).all()


def test_saliency_maps_by_hand(linear):
    """Papernot et al. 2016, algorithm 3, for the first pair of pixels: a linear model's Jacobian is its weights."""
    image = GREY[:1]
    logits = apply_model(linear, image)[0]
    second = logits.argsort(descending=True)[1]
    got = JSMA(theta=0.3, gamma=2.5 / 784).perturb(linear, image, logits.argmax()[None])
    for_target = linear[1].weight[second].double()
    for_others = linear[1].weight.double().sum(dim=0) - for_target
    alpha, beta = for_target[:, None] + for_target[None], for_others[:, None] + for_others[None]
    saliency = torch.where((alpha > 0) & (beta < 0), -alpha * beta, 0.0).fill_diagonal_(0)
    pair = divmod(int(saliency.argmax()), 784)
    changed = (got - image).flatten().nonzero()[:, 0].tolist()
    assert sorted(changed) == sorted(pair)
    assert (got - image).flatten()[changed].tolist() == pytest.approx([0.3, 0.3], abs=1e-6)


def test_saliency_maps_change_few_pixels(linear):
    got = JSMA(theta=0.5, gamma=0.2).run(linear, GREY, predict(linear, GREY))
    assert got.success.any()
    assert got.norms["L0"].max() <= 0.2 * 784
    assert got.norms["L∞"].max() <= 0.5 + 1e-6


# ---- a second library


SETTINGS = {"iterations": 60, "searches": 5, "learning_rate": 0.05}
OF_FOOLBOX = {
    "DDN": (DDN(60), foolbox.attacks.DDNAttack(steps=60, init_epsilon=1.0, gamma=0.05)),
    "C&W": (
        CarliniWagner(**SETTINGS),
        foolbox.attacks.L2CarliniWagnerAttack(5, steps=60, stepsize=0.05, initial_const=0.1),
    ),
    "EAD": (
        ElasticNet(**SETTINGS),
        foolbox.attacks.EADAttack(5, steps=60, initial_stepsize=0.05, initial_const=0.1, regularization=0.1),
    ),
}


@pytest.mark.parametrize("name", OF_FOOLBOX)
def test_foolbox_finds_no_smaller_changes(curved, name):
    ours, theirs = OF_FOOLBOX[name]
    images = tiny_images(10).images
    labels = predict(curved, images)
    got = ours.run(curved, images, labels)
    wrapped = foolbox.PyTorchModel(deepcopy(curved).eval(), bounds=(0, 1), device="cpu")
    _, found, success = theirs(wrapped, images, labels, epsilons=None)
    assert success.all()
    assert got.success.all()
    change = (found - images).flatten(1)
    beta = 0.1 if name == "EAD" else 0.0
    size = change.square().sum(dim=1) + beta * change.abs().sum(dim=1)
    own = got.norms["L2"] ** 2 + beta * got.norms["L1"]
    assert own.median() <= 1.1 * size.median()
    if name == "C&W":
        torch.testing.assert_close(own, size, rtol=0.02, atol=0)


# ---- what they all do


@pytest.mark.parametrize("attack", DIFFERENT, ids=lambda attack: type(attack).__name__)
def test_an_undefended_model_falls_and_nothing_else_changes(curved, attack):
    images = tiny_images(10).images
    labels = predict(curved, images)
    before = images.clone()
    state = torch.get_rng_state()
    got = attack.run(curved, images, labels)
    assert got.success.all() or isinstance(attack, JSMA)
    assert got.success.float().mean() >= 0.5
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert got.adversarial.min() >= 0
    assert got.adversarial.max() <= 1
    assert all(parameter.requires_grad and parameter.grad is None for parameter in curved.parameters())
    assert got.backward_passes > 1
    assert torch.equal(got.adversarial, attack.run(curved, images, labels).adversarial)
    assert attack.perturb(curved, images[:0], labels[:0]).shape == (0, 1, 28, 28)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CarliniWagner(confidence=-1), "confidence must be at least 0, got -1"),
        (lambda: CarliniWagner(iterations=0), "iterations must be at least 1"),
        (lambda: ElasticNet(searches=0), "searches must be at least 1"),
        (lambda: ElasticNet(learning_rate=0), "learning_rate must be more than 0"),
        (lambda: ElasticNet(beta=-0.1), "beta must be at least 0"),
        (lambda: DDN(steps=0), "steps must be at least 1"),
        (lambda: DDN(gamma=1), "gamma must be more than 0 and less than 1"),
        (lambda: JSMA(theta=0), "theta must be"),
        (lambda: JSMA(gamma=2), "gamma must be more than 0 and at most 1"),
    ],
)
def test_settings_that_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("attack", DIFFERENT, ids=lambda attack: type(attack).__name__)
def test_bad_input_is_named(linear, attack):
    with pytest.raises(ValueError, match="a label for each of the 8 images, got 2"):
        attack.perturb(linear, GREY, torch.zeros(2).long())
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        attack.perturb(linear, GREY + 1, torch.zeros(8).long())
