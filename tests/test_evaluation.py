import math
import statistics
import warnings
from dataclasses import replace

import pytest
import torch
from tiny import equal, tiny_autoencoder, tiny_classifier, tiny_images, weights
from torch import nn

from magnet_helpers import inference
from magnet_helpers.attacks import FGSM, PGDL2, CarliniWagner, DetectorAwarePGD, RandomNoise, Square
from magnet_helpers.evaluation import MEASURED, DefenseReport, evaluate_accuracy, evaluate_defense, suspicions
from magnet_helpers.inference import apply_model, frozen, is_constant, predict
from magnet_helpers.intervals import Accuracy

NOTHING, CLASSIFIER, REFORMER = MEASURED

TEST = tiny_images(30)
ATTACK = FGSM(0.2)
BLUR = nn.AvgPool2d((7, 1), stride=1, padding=(3, 0))  # a reformer that mixes up some of the classes


class Constant(nn.Module):
    def forward(self, images):
        return images * 0 + 0.5


class Recording(nn.Module):
    """Passes images on and notes how it was called."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, images):
        self.seen.append((len(images), self.training, self.weight.requires_grad, torch.is_grad_enabled()))
        return images * self.weight


@pytest.fixture(scope="module")
def classifier():
    """A linear classifier that has learnt the tiny images by 20 plain gradient steps."""
    model = tiny_classifier()
    for _ in range(20):
        loss = nn.functional.cross_entropy(model(TEST.images), TEST.labels)
        for parameter, gradient in zip(
            model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True
        ):
            parameter.data -= 0.05 * gradient
    return model


# ---- accuracies


@pytest.mark.parametrize(("correct", "total"), [(-1, 10), (11, 10), (0, 0), (1, 0), (0, -1)])
def test_impossible_accuracies(correct, total):
    with pytest.raises(ValueError, match=f"total ≥ 1, got {correct} of {total}"):
        Accuracy(correct, total)


@pytest.mark.parametrize(
    ("correct", "total"), [(0, 10), (10, 10), (0, 1), (1, 1), (7, 10), (1135, 10_000), (9916, 10_000)]
)
def test_the_interval_is_wilsons(correct, total):
    z = statistics.NormalDist().inv_cdf(0.975)
    p = correct / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    accuracy = Accuracy(correct, total)
    assert accuracy.value == p
    assert accuracy.interval == pytest.approx((max(0, centre - half), min(1, centre + half)), abs=1e-12)


def test_an_accuracy_prints_its_interval():
    assert str(Accuracy(1135, 10_000)) == "11.3 [10.7, 12.0]"


def test_accuracy_counts_right_answers(classifier):
    right = sum(
        int(classifier(image[None]).argmax()) == label for image, label in zip(TEST.images, TEST.labels, strict=True)
    )
    assert right > 0
    assert evaluate_accuracy(classifier, TEST) == Accuracy(right, 30)


# ---- the three settings


def by_hand(classifier, reformer, images):
    return torch.tensor([int(classifier(reformer(image[None])).argmax()) for image in images])


def test_a_report_agrees_with_a_loop_over_single_images(classifier):
    reformer = BLUR
    report = evaluate_defense(classifier, reformer, TEST, ATTACK)
    assert len({tuple(answers.tolist()) for answers in report.tensors().values()}) == 4, "no two may agree by chance"
    grey, white = [], []
    for image in TEST.images:
        grey.append(ATTACK.perturb(classifier, image[None])[0])
        white.append(ATTACK.perturb(nn.Sequential(reformer, classifier), image[None])[0])
    assert torch.equal(report.labels, TEST.labels)
    assert torch.equal(report.answers[NOTHING], by_hand(classifier, reformer, TEST.images))
    assert torch.equal(report.answers[CLASSIFIER], by_hand(classifier, reformer, grey))
    assert torch.equal(report.answers[REFORMER], by_hand(classifier, reformer, white))
    assert report.has_reformer
    assert not report.collapsed
    assert report.attack == repr(ATTACK)
    assert report.unchanged == 0
    for knows in MEASURED:
        pairs = list(zip(report.answers[knows].tolist(), TEST.labels.tolist(), strict=True))
        assert report.accuracy(knows) == Accuracy(sum(answer == label for answer, label in pairs), 30)
        assert report.right(knows).tolist() == [answer == label for answer, label in pairs]


def test_a_reformer_that_does_nothing_is_no_reformer(classifier):
    undefended = evaluate_defense(classifier, None, TEST, ATTACK)
    identity = evaluate_defense(classifier, nn.Identity(), TEST, ATTACK)
    assert equal(identity.tensors(), undefended.tensors())
    assert torch.equal(identity.answers[CLASSIFIER], identity.answers[REFORMER])
    assert (undefended.has_reformer, identity.has_reformer) == (False, True)
    assert undefended.accuracy(NOTHING) == evaluate_accuracy(classifier, TEST)
    assert undefended.accuracy(REFORMER).correct < undefended.accuracy(NOTHING).correct
    assert not undefended.collapsed


def test_a_reformer_that_destroys_everything_has_collapsed(classifier):
    report = evaluate_defense(classifier, Constant(), TEST, ATTACK)
    assert report.collapsed
    for answers in report.answers.values():
        assert len(set(answers.tolist())) == 1
    assert report.unchanged == 30
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = evaluate_defense(classifier, Constant(), TEST.first(1), ATTACK)
    assert not one.collapsed, "one image shows nothing"


@pytest.mark.parametrize("labels", ["predicted", "given"])
def test_grey_box_images_may_be_there_already(classifier, labels):
    attack, reformer = FGSM(0.2, labels), BLUR
    images = attack.perturb(classifier, TEST.images, TEST.labels)
    first = evaluate_defense(classifier, reformer, TEST, attack)
    second = evaluate_defense(classifier, reformer, TEST, attack, grey_box_images=images)
    assert equal(first.tensors(), second.tensors())
    assert first.facts() == second.facts()
    assert len(set(first.answers[CLASSIFIER].tolist())) > 1
    blank = evaluate_defense(classifier, reformer, TEST, attack, grey_box_images=TEST.images)
    assert torch.equal(blank.answers[CLASSIFIER], blank.answers[NOTHING]), "what was passed is what is used"
    assert torch.equal(blank.answers[REFORMER], first.answers[REFORMER])


def test_grey_box_images_of_another_shape_are_refused(classifier):
    with pytest.raises(ValueError, match=r"shape of the test images, \(30, 1, 28, 28\), got \(29, 1, 28, 28\)"):
        evaluate_defense(classifier, None, TEST, ATTACK, grey_box_images=TEST.images[:29])


@pytest.mark.parametrize("attack", [FGSM(0.2), PGDL2(1.0, steps=2)], ids=repr)
def test_grey_box_images_of_another_size_are_refused(classifier, attack):
    own = attack.perturb(classifier, TEST.images)
    assert evaluate_defense(classifier, BLUR, TEST, attack, grey_box_images=own).attack == repr(attack)
    stronger = replace(
        attack, epsilon=2 * attack.epsilon, **({"step_size": 2.0} if attack == PGDL2(1, steps=2) else {})
    )
    with pytest.raises(ValueError, match=r"must be made with the attack's own ε, L.* got a change of"):
        evaluate_defense(classifier, BLUR, TEST, attack, grey_box_images=FGSM(0.9).perturb(classifier, TEST.images))
    assert evaluate_defense(classifier, BLUR, TEST, stronger, grey_box_images=own)


@pytest.mark.parametrize(
    "attack", [CarliniWagner(), Square(), FGSM, "FGSM", DetectorAwarePGD(), RandomNoise(), None], ids=repr
)
def test_attacks_that_no_report_is_of(classifier, attack):
    with pytest.raises(TypeError, match=r"\(FGSM, IFGSM, MIFGSM, PGD, PGDL2\), got .*: for any other take `attack.run"):
        evaluate_defense(classifier, None, TEST, attack)


def test_an_epsilon_of_zero_says_nothing_about_gradients(classifier):
    for reformer in (None, BLUR):
        report = evaluate_defense(classifier, reformer, TEST, FGSM(0))
        assert report.unchanged == 0
        assert not [doubt for doubt in suspicions(report) if "gradient" in doubt]


def test_a_report_is_restored_from_what_is_stored(classifier):
    report = evaluate_defense(classifier, BLUR, TEST, ATTACK)
    facts = report.facts()
    assert facts["accuracy"]["nothing"] == {"correct": report.accuracy(NOTHING).correct, "total": 30}
    restored = DefenseReport.restore(report.tensors(), {**facts, "seconds": 3.0})
    assert equal(restored.tensors(), report.tensors())
    assert restored.facts() == facts


def test_evaluation_leaves_models_and_images_as_they_were(classifier):
    reformer = tiny_autoencoder(1)
    reformer.train()
    reformer[1].eval()
    classifier.eval()
    before = weights(reformer), weights(classifier), TEST.images.clone(), torch.get_rng_state()
    modes = [module.training for module in (*reformer.modules(), *classifier.modules())]
    evaluate_defense(classifier, reformer, TEST, ATTACK)
    assert equal(weights(reformer), before[0])
    assert equal(weights(classifier), before[1])
    assert torch.equal(TEST.images, before[2])
    assert torch.equal(torch.get_rng_state(), before[3])
    assert [module.training for module in (*reformer.modules(), *classifier.modules())] == modes
    for parameter in (*reformer.parameters(), *classifier.parameters()):
        assert parameter.grad is None
        assert parameter.requires_grad


# ---- running a network without changing it


def test_a_constant_output_is_one_below_a_hundredth_of_the_inputs_spread():
    images = TEST.images
    assert is_constant(torch.full_like(images, 0.13), images)
    assert is_constant(images * 0.0099, images)
    assert not is_constant(images * 0.0101, images)
    assert not is_constant(images, images)
    assert not is_constant(1 - images, images)


def test_frozen_restores_each_modules_mode_and_each_parameters_wish():
    model = nn.Sequential(Recording(), nn.Dropout(), nn.Linear(2, 2)).train()
    model[1].eval()
    model[2].bias.requires_grad_(False)
    modes = [module.training for module in model.modules()]
    for error in (None, RuntimeError):
        try:
            with frozen(model) as same:
                assert same is model
                assert not any(module.training for module in model.modules())
                assert not any(parameter.requires_grad for parameter in model.parameters())
                if error:
                    raise error
        except RuntimeError:
            pass
        assert [module.training for module in model.modules()] == modes
        assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["2.bias"]


def test_outputs_come_batch_by_batch_without_gradients(monkeypatch):
    monkeypatch.setattr(inference, "BATCH_SIZE", 8)
    model = Recording().train()
    outputs = apply_model(model, TEST.images)
    assert torch.equal(outputs, TEST.images)
    assert model.seen == [(size, False, False, False) for size in (8, 8, 8, 6)]
    assert model.training
    assert model.weight.requires_grad
    assert not outputs.requires_grad


def test_predictions_are_the_largest_logits(classifier):
    expected = [max(range(10), key=classifier(image[None])[0].tolist().__getitem__) for image in TEST.images]
    assert predict(classifier, TEST.images).tolist() == expected
