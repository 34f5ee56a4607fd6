"""What networks of one's own promise, and how they are refused."""

import pytest
import torch
from tiny import tiny_images
from torch import nn

from magnet_helpers.attacks import FGSM, Knowledge
from magnet_helpers.attacks.base import _counted
from magnet_helpers.contracts import check_classes, check_reformed
from magnet_helpers.defenses import ReformedClassifier
from magnet_helpers.detectors import DivergenceDetector, ReconstructionDetector
from magnet_helpers.evaluation import evaluate_accuracy, evaluate_defense, suspicions
from magnet_helpers.inference import n_classes_of
from magnet_helpers.losses import ClassificationLoss
from magnet_helpers.magnet import MagNet, RandomReformer
from magnet_helpers.models import ConvClassifier
from magnet_helpers.training import TrainingConfig, fit

TEST = tiny_images(30)


def own_network(classes=10, channels=1):
    """Return a network in training mode whose answers in that mode depend on the batch and on chance."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(classes)
        return nn.Sequential(
            nn.Conv2d(channels, 4, 5, stride=3),
            nn.BatchNorm2d(4),
            nn.Dropout(0.5),
            nn.ReLU(),
            nn.Flatten(),
            nn.LazyLinear(classes) if channels != 1 else nn.Linear(256, classes),
        ).train()


class Returns(nn.Module):
    """Returns what a function makes of a sound network's logits."""

    def __init__(self, function):
        super().__init__()
        self.network = own_network()
        self.function = function

    def forward(self, images):
        return self.function(self.network(images))


class Half(nn.Module):
    """A reformer that returns smaller images."""

    def forward(self, images):
        return images[:, :, ::2, ::2]


class OnePixel(nn.Module):
    """A reformer whose images would be broadcast."""

    def forward(self, images):
        return images.mean(dim=(2, 3), keepdim=True)


# ---- the question


@pytest.mark.parametrize("classes", [2, 5, 10, 26])
def test_the_number_of_classes_is_asked(classes):
    assert n_classes_of(own_network(classes), TEST.images) == classes
    assert n_classes_of(ConvClassifier(classes), TEST.images) == classes


def test_the_question_leaves_no_trace():
    draws = RandomReformer([nn.Identity(), nn.Dropout()], seed=3)
    model = nn.Sequential(draws, own_network())
    model[1][2].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    states = torch.get_rng_state(), draws.generator.get_state()

    class Draws(nn.Module):
        def forward(self, images):
            return images + torch.rand_like(images)

    with _counted(model) as passes:
        n_classes_of(model, TEST.images)
        n_classes_of(nn.Sequential(Draws(), model), TEST.images)
    assert (passes.forward, passes.backward) == (1, 0), "the model's own call is not _counted, one through another is"
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert torch.equal(draws.generator.get_state(), states[1])
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


ANSWERS = {
    "a tuple": (lambda logits: (logits, logits), "shape .N, K., got a tuple: wrap it"),
    "a dictionary": (lambda logits: {"logits": logits}, "got a dict"),
    "a map": (lambda logits: logits[:, :, None, None], r"got \(1, 10, 1, 1\) of torch.float32"),
    "a class number": (lambda logits: logits.argmax(dim=1), r"got \(1,\) of torch.int64"),
    "one score": (lambda logits: logits[:, :1], r"K at least 2, got \(1, 1\)"),
    "no batch": (lambda logits: logits[0], r"got \(10,\)"),
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("place", ["asked", "accuracy", "defense", "attack", "run", "MagNet", "judge"])
def test_an_answer_that_is_no_logits_is_refused_in_words(answer, place):
    function, message = ANSWERS[answer]
    model = Returns(function)
    calls = {
        "asked": lambda: n_classes_of(model, TEST.images),
        "accuracy": lambda: evaluate_accuracy(model, TEST),
        "defense": lambda: evaluate_defense(model, nn.Identity(), TEST, FGSM(0.1)),
        "attack": lambda: FGSM(0.1).perturb(model, TEST.images),
        "run": lambda: FGSM(0.1).run(model, TEST.images, TEST.labels),
        "MagNet": lambda: MagNet.calibrated(model, None, [], TEST.images, 0.1),
        "judge": lambda: MagNet(model, None, {}).judge(TEST.images, TEST.labels),
    }
    with pytest.raises(ValueError, match=message):
        calls[place]()


def test_images_that_the_network_does_not_take_are_named():
    colours = TEST.images.repeat(1, 3, 1, 1)
    message = r"A Sequential was asked about images of shape \(30, 3, 28, 28\): these have three colours; .* 3 channels"
    with pytest.raises(ValueError, match=message):
        FGSM(0.1).perturb(own_network(), colours)
    with pytest.raises(ValueError, match=r"images.expand\(-1, 3, -1, -1\).* PyTorch says:"):
        FGSM(0.1).perturb(nn.Sequential(nn.Conv2d(3, 4, 28), nn.Flatten()), TEST.images)


# ---- classes


@pytest.mark.parametrize("call", ["accuracy", "defense", "run", "judge", "given"])
def test_labels_that_the_network_cannot_give_are_refused(call):
    model = own_network(5)
    calls = {
        "accuracy": lambda: evaluate_accuracy(model, TEST),
        "defense": lambda: evaluate_defense(model, None, TEST, FGSM(0.1)),
        "run": lambda: FGSM(0.1).run(model, TEST.images, TEST.labels),
        "judge": lambda: MagNet(model, None, {}).judge(TEST.images, TEST.labels),
        "given": lambda: FGSM(0.1, "given").perturb(model, TEST.images, TEST.labels),
    }
    with pytest.raises(ValueError, match="of 5 classes can be right about the labels 0 to 4, got 9: give it an output"):
        calls[call]()


def test_fewer_classes_than_outputs_are_fine():
    assert evaluate_accuracy(own_network(26), TEST).total == 30
    check_classes(torch.zeros(0).long(), 2)
    with pytest.raises(ValueError, match="labels 0 to 1, got -1"):
        check_classes(torch.tensor([-1, 1]), 2)


def test_a_training_on_more_classes_than_outputs_is_refused_in_words():
    with pytest.raises(ValueError, match="5 classes can be right about the labels 0 to 4, got 9"):
        fit(own_network(5), ClassificationLoss(), TEST, TEST, TrainingConfig(epochs=1), device=torch.device("cpu"))


def test_chance_is_one_of_the_classes():
    model = own_network(2)
    coins = type(TEST)(TEST.images, TEST.labels % 2)
    report = evaluate_defense(model, None, coins, FGSM(0.1))
    assert report.accuracy(Knowledge.NOTHING).interval[0] > 0.1
    assert any("is at chance level" in sentence for sentence in suspicions(report)) == (
        report.accuracy(Knowledge.NOTHING).interval[0] <= 0.5
    )


# ---- reformers


@pytest.mark.parametrize("reformer", [Half(), OnePixel()], ids=["smaller", "broadcast"])
@pytest.mark.parametrize("place", ["defense", "reformed", "random", "MagNet", "by error", "by divergence"])
def test_a_reformer_that_returns_another_shape_is_refused_in_words(reformer, place):
    model, images = own_network().eval(), TEST.images
    calls = {
        "defense": lambda: evaluate_defense(model, reformer, TEST, FGSM(0.1)),
        "reformed": lambda: ReformedClassifier(reformer, model)(images),
        "random": lambda: RandomReformer([reformer])(images),
        "MagNet": lambda: MagNet(model, reformer, {}).judge(images, TEST.labels),
        "by error": lambda: MagNet.calibrated(model, None, [ReconstructionDetector(reformer, 1)], images, 0.1),
        "by divergence": lambda: DivergenceDetector(reformer, nn.Flatten(), 10)(images),
    }
    with pytest.raises(ValueError, match=r"of the shape that it is given, \(\d+, 1, 28, 28\), got \(\d+, 1, 1?"):
        calls[place]()


def test_the_right_shape_passes_as_it_is():
    assert check_reformed(TEST.images, TEST.images) is TEST.images


# ---- evaluation


@pytest.mark.parametrize("classes", [10, 26])
def test_a_network_in_training_mode_is_evaluated_as_it_would_be_used(classes):
    model, reformer = own_network(classes), nn.Dropout(0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = evaluate_defense(model, reformer, TEST, FGSM(0.1, "given"))
    again = evaluate_defense(model, reformer, TEST, FGSM(0.1, "given"))
    assert model.training
    assert reformer.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), "running means too"
    assert all(torch.equal(value, again.tensors()[name]) for name, value in report.tensors().items())
    used = model.eval()(TEST.images).argmax(dim=1)
    assert torch.equal(report.answers[Knowledge.NOTHING], used)
    assert evaluate_accuracy(model.train(), TEST).correct == int((used == TEST.labels).sum())
