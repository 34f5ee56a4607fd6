"""Running networks: what their answers stand for, and how what cannot be answered is refused."""

import pytest
import torch
from tiny import tiny_classifier, tiny_images
from torch import nn

from magnet_helpers.attacks import FGSM, JSMA
from magnet_helpers.data import ImageData
from magnet_helpers.evaluation import evaluate_accuracy, evaluate_defense
from magnet_helpers.inference import apply_model, classes_of, predict
from magnet_helpers.losses import ClassificationLoss
from magnet_helpers.magnet import MagNet
from magnet_helpers.training import TrainingConfig, fit

TEST = tiny_images(30)
NAN, INF = torch.nan, torch.inf


def diverged():
    """Return a classifier with one weight that is no number."""
    model = tiny_classifier()
    with torch.no_grad():
        model[1].weight[3, 5] = NAN
    return model


class NoNumbers(nn.Module):
    """A reformer that spoils the fifth image alone, so that asking about the first shows nothing."""

    def forward(self, images):
        spoiled = images.clone()
        spoiled[4] = NAN
        return spoiled


# ---- what logits stand for


@pytest.mark.parametrize("place", ["predict", "accuracy", "defense", "undefended", "run", "perturb", "judge"])
def test_a_network_that_answers_no_number_is_refused_in_words(place):
    model = diverged()
    calls = {
        "predict": lambda: predict(model, TEST.images),
        "accuracy": lambda: evaluate_accuracy(model, TEST),
        "defense": lambda: evaluate_defense(model, nn.Identity(), TEST, FGSM(0.1, "given")),
        "undefended": lambda: evaluate_defense(model, None, TEST, FGSM(0.1, "given")),
        "run": lambda: FGSM(0.1, "given").run(model, TEST.images, TEST.labels),
        "perturb": lambda: JSMA().perturb(model, TEST.images, TEST.labels),
        "judge": lambda: MagNet(model, None, {}).judge(TEST.images, TEST.labels),
    }
    with pytest.raises(ValueError, match=r"got NaN.* for \d+ of 30 images: look for NaN"):
        calls[place]()


def test_a_reformer_that_paints_no_numbers_is_noticed():
    with pytest.raises(ValueError, match="for 1 of 30 images"):
        evaluate_defense(tiny_classifier(), NoNumbers(), TEST, FGSM(0.1))


@pytest.mark.parametrize(
    ("logits", "answer"),
    [([0, 0, 0], 0), ([-1, 2, 2], 1), ([0, INF, 5], 1), ([-INF, -INF, 5], 2), ([-INF, 3, 3], 1)],
)
def test_of_equal_numbers_the_first_is_taken_and_one_infinite_number_is_the_largest(logits, answer):
    assert classes_of(torch.tensor([logits, [1.0, 0, 0]])).tolist() == [answer, 0]


@pytest.mark.parametrize("logits", [[NAN, 1, 2], [0, 1, NAN], [INF, NAN, 0], [INF, INF, 0], [-INF, -INF, -INF]])
def test_numbers_of_which_none_is_the_largest_are_refused(logits):
    with pytest.raises(ValueError, match="for 1 of 2 images"):
        classes_of(torch.tensor([logits, [1.0, 0, 0]]))


def test_no_images_have_no_classes():
    assert classes_of(torch.zeros(0, 10)).tolist() == []


# ---- images that a network does not take


@pytest.mark.parametrize(
    ("images", "got"),
    [
        (TEST.images.numpy(), "a ndarray of float32: take torch.from_numpy.images..float"),
        ((255 * TEST.images).byte().numpy(), "a ndarray of uint8: take torch.from_numpy.images. / 255"),
        (TEST, "a LabeledImages: take its .images"),
        ([0.0], "a list: take torch.stack"),
    ],
)
@pytest.mark.parametrize("place", ["apply", "predict", "run"])
def test_images_that_are_no_tensor_are_refused_in_words(images, got, place):
    model = tiny_classifier()
    calls = {
        "apply": lambda: apply_model(model, images),
        "predict": lambda: predict(model, images),
        "run": lambda: FGSM(0.1).run(model, images, TEST.labels),
    }
    with pytest.raises(TypeError, match=f"must be a torch.Tensor, got {got}"):
        calls[place]()


@pytest.mark.parametrize("call", [predict, lambda model, images: FGSM(0.1).run(model, images, TEST.labels)])
def test_numbers_of_another_type_than_the_networks_are_refused_in_words(call):
    with pytest.raises(ValueError, match=r"of torch.float32 must be given .* got torch.float64: .*\.to\(torch.float32"):
        call(tiny_classifier(), TEST.images.double())


def test_a_network_of_doubles_and_one_that_converts_are_as_good_as_any():
    class Converts(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = tiny_classifier()

        def forward(self, images):
            return self.model(images.float())

    expected, doubles = predict(tiny_classifier(), TEST.images), TEST.images.double()
    assert torch.equal(predict(tiny_classifier().double(), doubles), expected)
    assert torch.equal(predict(Converts(), doubles), expected)


def test_images_of_another_shape_are_named():
    message = r"images of shape \(30, 3, 28, 28\): these have three colours; .* PyTorch says: .* cannot be multiplied"
    with pytest.raises(ValueError, match=message):
        predict(tiny_classifier(), TEST.images.repeat(1, 3, 1, 1))


def test_a_whole_dataset_is_not_taken_for_its_part():
    data = ImageData("tiny", TEST, TEST, TEST, "0" * 12)
    with pytest.raises(TypeError, match=r"train must be LabeledImages, got a ImageData: give its .train"):
        fit(tiny_classifier(), ClassificationLoss(), data, TEST, TrainingConfig(epochs=1))
    with pytest.raises(TypeError, match=r"test must be LabeledImages, got a ImageData: give its .test"):
        evaluate_accuracy(tiny_classifier(), data)
    with pytest.raises(AttributeError, match=r"no 'labels': it has three parts; .* or data.test"):
        _ = data.labels
    with pytest.raises(AttributeError, match=r"an ImageData has no 'training'$"):
        _ = data.training
    assert not hasattr(data, "images")
