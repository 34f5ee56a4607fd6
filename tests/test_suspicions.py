"""What a careful reader would doubt about a report."""

import pytest
import torch
from tiny import tiny_images
from torch import nn

from magnet_helpers.attacks import FGSM
from magnet_helpers.evaluation import MEASURED, DefenseReport, evaluate_defense, suspicions
from magnet_helpers.intervals import Accuracy

NOTHING, CLASSIFIER, REFORMER = MEASURED

TEST = tiny_images(30)
ATTACK = FGSM(0.2)


def report_of(clean, grey, white, *, both=None, **facts):
    """Return a report of 100 images with these counts; white box and grey box share `both` right answers."""
    labels = torch.arange(100) % 10
    wrong = (labels + 1) % 10

    def right(first, last):
        where = torch.arange(100)
        return torch.where((where >= first) & (where < last), labels, wrong)

    start = 0 if both is None else grey - both
    fields = {"unchanged": 0, "collapsed": False, "has_reformer": True, "attack": repr(ATTACK), **facts}
    answers = (right(0, clean), right(0, grey), right(start, start + white))
    return DefenseReport(labels, dict(zip(MEASURED, answers, strict=True)), **fields)


def test_nothing_is_suspicious_about_a_plain_report():
    assert suspicions(report_of(98, 60, 40)) == []
    assert suspicions(report_of(98, 60, 60)) == []
    assert suspicions(report_of(98, 98, 98)) == []


def test_white_box_above_grey_box_is_suspicious():
    (sentence,) = suspicions(report_of(98, 33, 48, both=30))
    assert sentence.startswith("white box (48.0 %) is above grey box (33.0 %): 18 images survive the white-box attack")
    assert "gradient is masked" in sentence


def test_images_that_the_attack_left_alone_are_suspicious():
    class ZeroGradient(nn.Module):
        def forward(self, images):
            return torch.round(images)  # its gradient is zero everywhere

    model = nn.Sequential(ZeroGradient(), nn.Flatten(), nn.Linear(784, 10))
    report = evaluate_defense(model, None, TEST, ATTACK)
    assert report.unchanged == 30
    sentence = "the attack left 30 of 30 images as they were: their gradient is zero"
    assert sentence in suspicions(report)
    assert suspicions(report_of(98, 60, 40, unchanged=3)) == [sentence.replace("30 of 30", "3 of 100")]


def test_a_collapsed_reformer_is_suspicious():
    assert suspicions(report_of(98, 60, 40, collapsed=True)) == ["the reformer's output is constant: it has collapsed"]


@pytest.mark.parametrize("clean", [0, 5, 10, 15])
def test_chance_level_is_suspicious(clean):
    assert suspicions(report_of(clean, 0, 0)) == [f"clean accuracy ({clean:.1f} %) is at chance level"]


def test_a_little_above_chance_is_no_chance():
    assert Accuracy(20, 100).interval[0] > 0.1
    assert suspicions(report_of(20, 0, 0)) == []


@pytest.mark.parametrize(("grey", "white"), [(81, 60), (81, 81)])
def test_an_attack_that_helps_is_suspicious(grey, white):
    assert suspicions(report_of(80, grey, white)) == ["accuracy under attack is above clean accuracy"]
