"""Every attack on a network of one's own: with other layers, classes, channels and sizes, and in training mode."""

import pytest
import torch
from torch import nn

from magnet_helpers.attacks import (
    DDN,
    FGSM,
    IFGSM,
    JSMA,
    MIFGSM,
    PGD,
    PGDL2,
    SPSA,
    ZOO,
    CarliniWagner,
    DetectorAwareCarliniWagner,
    DetectorAwarePGD,
    ElasticNet,
    Ensemble,
    ExpectationOverTransformation,
    HopSkipJump,
    RandomNoise,
    RejectedAsClass,
    Square,
    Transferred,
    substitute,
)
from magnet_helpers.attacks.substitute import train_substitute
from magnet_helpers.detectors import DivergenceDetector, ReconstructionDetector
from magnet_helpers.inference import predict
from magnet_helpers.magnet import MagNet
from magnet_helpers.robustness import check_up, worst_case

ATTACKS = (
    FGSM(0.2),
    FGSM(0.2, "given"),
    IFGSM(0.2, "given", steps=2, step_size=0.1),
    MIFGSM(0.2, "given", steps=2, step_size=0.1),
    PGD(0.2, "given", steps=2, step_size=0.1, restarts=1),
    PGDL2(2.0, "given", steps=2, step_size=1.0),
    CarliniWagner(iterations=4, searches=2, first_c=10, learning_rate=0.2),
    ElasticNet(iterations=4, searches=2, first_c=10, learning_rate=0.2),
    DDN(4),
    JSMA(gamma=0.01),
    RandomNoise(0.2),
    SPSA(0.2, steps=2, samples=4),
    ZOO(iterations=2, searches=1, pixels=16),
    Square(0.2, queries=10),
    HopSkipJump(steps=1, queries=10, first_queries=5),
)
OF_MAGNETS = (
    DetectorAwarePGD(0.2, "given", steps=3, step_size=0.1),
    DetectorAwareCarliniWagner(iterations=4, searches=2, first_c=10, learning_rate=0.2),
)
# Classes and images: fewer and more than ten, in colour, and of another size.
KINDS = {"5 classes": (5, (1, 28, 28)), "26 classes, colour": (26, (3, 12, 12)), "3 classes, larger": (3, (1, 32, 32))}
EACH = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: type(attack).__name__)


def own_network(classes, shape):
    """Return a network in training mode, whose answers there depend on the batch and on chance."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(shape[0], 4, 5, stride=3),
            nn.BatchNorm2d(4),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.LazyLinear(classes),
        )
        for _ in range(3):  # so that the running means are not those of the start
            model(torch.rand(8, *shape))
        with torch.no_grad():
            model[-1].weight.mul_(20)
    return model.train()


def images_of(shape, count=6):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1))


def state_of(model):
    """Return everything that an attack must leave as it is."""
    return (
        {name: value.clone() for name, value in model.state_dict().items()},
        [module.training for module in model.modules()],
        [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()],
    )


def is_same(first, second):
    return all(torch.equal(first[0][name], second[0][name]) for name in first[0]) and first[1:] == second[1:]


@EACH
@pytest.mark.parametrize("kind", KINDS)
def test_an_attack_takes_the_network_and_leaves_it_as_it_was(attack, kind):
    classes, shape = KINDS[kind]
    model, images = own_network(classes, shape), images_of(shape)
    labels = predict(model, images)
    before = state_of(model)
    got = attack.run(model, images, labels)
    assert is_same(state_of(model), before), "running means and training mode too"
    assert got.adversarial.shape == images.shape
    assert 0 <= got.adversarial.min() <= got.adversarial.max() <= 1
    assert torch.equal(got.success, model.eval()(got.adversarial).argmax(dim=1) != labels), "as it would be used"
    assert torch.equal(attack.run(model, images, labels).adversarial, got.adversarial), "nothing is dropped"
    if isinstance(attack, Square | CarliniWagner | ElasticNet | DDN | FGSM):
        assert got.success.any()


@EACH
def test_labels_that_do_not_fit_are_refused(attack):
    classes, shape = KINDS["5 classes"]
    model, images = own_network(classes, shape), images_of(shape)
    with pytest.raises(ValueError, match="labels 0 to 4, got 5: give it an output for every class"):
        attack.run(model, images, torch.full((6,), 5))
    with pytest.raises(ValueError, match=r"class numbers of shape \(N,\), got torch.float32 of shape \(6, 5\).*argmax"):
        attack.run(model, images, torch.eye(6, 5))
    with pytest.raises(
        ValueError, match=r"floating-point numbers in .0, 1., got torch.uint8: for bytes, divide by 255"
    ):
        attack.run(model, (255 * images).byte(), torch.zeros(6).long())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attack", OF_MAGNETS, ids=lambda attack: type(attack).__name__)
def test_a_whole_magnet_of_such_networks(attack, kind):
    classes, shape = KINDS[kind]
    classifier, images = own_network(classes, shape), images_of(shape)
    reformer = nn.Sequential(nn.BatchNorm2d(shape[0]), nn.Sigmoid()).train()
    detectors = [ReconstructionDetector(reformer, 1), DivergenceDetector(reformer, classifier, 10)]
    magnet = MagNet.calibrated(classifier, reformer, detectors, images_of(shape, 20), 0.1)
    magnet.train()
    labels, before = predict(magnet, images), state_of(magnet)
    got = attack.run(magnet, images, labels)
    outcome = magnet.judge(got.adversarial, labels)
    assert is_same(state_of(magnet), before)
    assert torch.equal(got.success, ~outcome.rejected & (outcome.answers != labels))
    assert sum(outcome.counts.values()) == 6
    assert RejectedAsClass(magnet.eval())(images).shape == (6, classes + 1)


def test_squares_need_square_images():
    model, images = own_network(3, (1, 20, 24)), images_of((1, 20, 24))
    with pytest.raises(ValueError, match=r"as wide as they are high, \(N, C, H, H\), got \(1, 20, 24\).*crop or pad"):
        Square(0.2, queries=3).perturb(model, images, predict(model, images))


def test_several_networks_at_once():
    classes, shape = KINDS["26 classes, colour"]
    model, images = own_network(classes, shape), images_of(shape)
    labels = predict(model, images)
    on_another = Transferred(FGSM(0.1), own_network(classes, shape), "another network")
    assert on_another.run(model, images, labels).adversarial.shape == images.shape
    for target in (Ensemble([model, own_network(classes, shape)]), ExpectationOverTransformation(model, 2)):
        assert FGSM(0.2, "given").run(target, images, labels).adversarial.shape == images.shape
    checked = check_up(model, images, labels, iterated=PGD(0.2, "given", steps=2), queries=Square(0.2, queries=5))
    assert worst_case(checked.runs).total == 6


def test_a_substitute_needs_the_models_classes(monkeypatch):
    model, images = own_network(26, (1, 28, 28)), images_of((1, 28, 28), 40)
    assert predict(model, images).max() >= 10
    before = state_of(model)
    with monkeypatch.context() as patch:
        patch.setattr(substitute, "fit", None)  # it is said before the training
        with pytest.raises(ValueError, match="a classifier of 10 classes can be right about the labels 0 to 9, got"):
            train_substitute(model, images, rounds=1, epochs=1)
    copy = train_substitute(
        model, images, rounds=2, epochs=1, build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 26))
    )
    assert copy(images).shape == (40, 26)
    assert is_same(state_of(model), before)
    with pytest.raises(ValueError, match=r"\(N, 1, 28, 28\).*three colours"):
        train_substitute(own_network(5, (3, 28, 28)), images_of((3, 28, 28)), rounds=1)
