import math

import pytest
import torch
from torch import nn

from magnet_helpers.detectors import Detector, ReconstructionDetector, Threshold
from magnet_helpers.intervals import Accuracy
from magnet_helpers.magnet import MagNet, Outcome, RandomReformer

# An "image" of brightness b is answered with the digit ⌊10 b⌋; detectors score its brightness.
BRIGHTNESS = torch.tensor([0.05, 0.25, 0.45, 0.65, 0.85])
IMAGES = BRIGHTNESS[:, None, None, None].expand(-1, 1, 28, 28).clone()


class ByBrightness(nn.Module):
    def forward(self, images):
        return -(10 * images.mean(dim=(1, 2, 3))[:, None] - torch.arange(10) - 0.5).abs()


class Brightness(Detector):
    def __init__(self, label="brightness", sign=1.0):
        super().__init__()
        self.label = label
        self.sign = sign

    def forward(self, images):
        return self.sign * images.mean(dim=(1, 2, 3))


class Add(nn.Module):
    def __init__(self, amount):
        super().__init__()
        self.amount = amount

    def forward(self, images):
        return images + self.amount


def threshold(value):
    return Threshold(value, 0.1, 0, 10)


LABELS = torch.tensor([0, 2, 4, 6, 8])


def test_reformer_and_classifier_answer_and_detectors_reject():
    magnet = MagNet(ByBrightness(), Add(0.1), {"bright": (Brightness(), threshold(0.5))})
    outcome = magnet.judge(IMAGES, LABELS)
    assert outcome.answers.tolist() == [1, 3, 5, 7, 9], "the reformer comes before the classifier"
    assert outcome.rejected.tolist() == [False, False, False, True, True], "detectors see the image itself"
    assert torch.equal(magnet(IMAGES), ByBrightness()(IMAGES + 0.1))


def test_any_detector_rejects():
    magnet = MagNet(
        ByBrightness(),
        None,
        {"bright": (Brightness(), threshold(0.7)), "dark": (Brightness(sign=-1), threshold(-0.1))},
    )
    assert magnet.rejections(IMAGES).tolist() == [
        [False, True],
        [False, False],
        [False, False],
        [False, False],
        [True, False],
    ]
    outcome = magnet.judge(IMAGES, torch.tensor([0, 2, 4, 0, 0]))
    assert outcome.counts == {"rejected": 2, "accepted and right": 2, "accepted and wrong": 1}
    assert outcome.rejected_counts_as_wrong == Accuracy(2, 5)
    assert outcome.rejected_counts_as_right == Accuracy(4, 5)


def test_each_component_can_be_left_out():
    assert MagNet(ByBrightness(), None, {}).judge(IMAGES, LABELS).counts == {
        "rejected": 0,
        "accepted and right": 5,
        "accepted and wrong": 0,
    }
    assert MagNet(ByBrightness(), None, {}).excess(IMAGES).shape == (5, 0)


def test_thresholds_come_from_clean_images():
    clean = torch.linspace(0, 1, 101)[:, None, None, None].expand(-1, 1, 28, 28)
    magnet = MagNet.calibrated(ByBrightness(), None, [Brightness()], clean, false_positive_rate=0.1)
    (found,) = magnet.thresholds
    assert found.rejected == 10
    assert found.value == pytest.approx(0.9)
    assert magnet.judge(clean, torch.zeros(101).long()).counts["rejected"] == 10
    with pytest.raises(ValueError, match="a label of its own"):
        MagNet.calibrated(ByBrightness(), None, [Brightness(), Brightness()], clean, 0.1)


def test_the_excess_has_the_sign_of_the_decision_and_a_gradient():
    magnet = MagNet(
        ByBrightness(), None, {"a": (Brightness("a"), threshold(0.5)), "b": (Brightness("b", -1), threshold(-0.3))}
    )
    images = IMAGES.clone().requires_grad_()
    excess = magnet.excess(images)
    assert torch.equal(excess > 0, magnet.rejections(IMAGES))
    assert excess[0].tolist() == pytest.approx([(0.05 - 0.5) / 0.5, (-0.05 + 0.3) / 0.3], rel=1e-5)
    excess.sum().backward()
    assert images.grad.abs().min() > 0


@pytest.mark.parametrize(("value", "rejected"), [(-math.inf, True), (0.0, True)])
def test_the_excess_of_thresholds_without_a_scale(value, rejected):
    magnet = MagNet(ByBrightness(), None, {"a": (Brightness("a"), threshold(value))})
    assert bool((magnet.excess(IMAGES) > 0).all()) is rejected
    assert bool(magnet.rejections(IMAGES).all()) is rejected


def test_no_gradient_is_left_and_modes_come_back():
    magnet = MagNet(ByBrightness(), nn.Dropout(), {"a": (ReconstructionDetector(nn.Dropout(), 1), threshold(0.0))})
    outcomes = [magnet.judge(IMAGES, LABELS) for _ in range(2)]
    assert torch.equal(outcomes[0].answers, outcomes[1].answers), "nothing is dropped while it is judged"
    assert not outcomes[0].rejected.any()
    assert all(module.training for module in magnet.modules())


def test_labels_and_images_must_be_as_many():
    with pytest.raises(ValueError, match="a label for each of the 5 images, got 4 labels"):
        MagNet(ByBrightness(), None, {}).judge(IMAGES, LABELS[:4])


def test_the_two_accuracies_are_the_literatures():
    """MagNet, section 5: a rejected adversarial image counts as right, a rejected clean one as wrong."""
    outcome = Outcome(torch.tensor([1, 1, 1, 1]), torch.tensor([1, 2, 1, 2]), torch.tensor([True, True, False, False]))
    assert (outcome.rejected_counts_as_wrong.correct, outcome.rejected_counts_as_right.correct) == (1, 3)
    assert sum(outcome.counts.values()) == 4


# ---- the random pick


def test_each_image_meets_one_autoencoder_picked_at_random():
    reformer = RandomReformer([Add(0.0), Add(1.0), Add(2.0)], seed=1)
    images = torch.zeros(3000, 1, 2, 2)
    out = reformer(images)
    assert torch.equal(out, out[:, :1, :1, :1].expand_as(out)), "one autoencoder for the whole image"
    counts = torch.bincount(out[:, 0, 0, 0].long(), minlength=3)
    assert counts.min() > 900
    assert not torch.equal(out, reformer(images)), "every call picks anew"
    assert torch.equal(out, RandomReformer([Add(0.0), Add(1.0), Add(2.0)], seed=1)(images)), "and the seed fixes it"


def test_a_gradient_flows_through_the_pick():
    images = IMAGES.clone().requires_grad_()
    RandomReformer([Add(0.0), Add(1.0)])(images).sum().backward()
    assert torch.equal(images.grad, torch.ones_like(images))


def test_there_is_something_to_pick():
    with pytest.raises(ValueError, match="at least one autoencoder"):
        RandomReformer([])
