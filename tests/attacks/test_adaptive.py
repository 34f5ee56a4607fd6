"""Attacks on a whole defence: each beats what does not know of it."""

import pytest
import torch
from tiny import steep_classifier, tiny_classifier
from torch import nn

from magnet_helpers.attacks import (
    BPDA,
    FGSM,
    PGD,
    CarliniWagner,
    DetectorAwareCarliniWagner,
    DetectorAwarePGD,
    Ensemble,
    ExpectationOverTransformation,
    RejectedAsClass,
    Transferred,
)
from magnet_helpers.attacks.adaptive import _reweighted
from magnet_helpers.detectors import Detector, Threshold
from magnet_helpers.inference import predict
from magnet_helpers.magnet import MagNet

IMAGES = 0.5 + 0.1 * torch.randn(12, 1, 28, 28, generator=torch.Generator().manual_seed(0))
IMAGES = IMAGES.clamp(0, 1)


class Contrast(Detector):
    """Scores the squared distance from mid-grey, which every attack raises unless it is careful."""

    label = "contrast"

    def forward(self, images):
        return (images - 0.5).square().mean(dim=(1, 2, 3))


@pytest.fixture(scope="module")
def linear() -> nn.Module:
    return steep_classifier(10)


@pytest.fixture(scope="module")
def magnet(linear) -> MagNet:
    return MagNet.calibrated(linear, None, [Contrast()], IMAGES, false_positive_rate=0)


# ---- through reformer and detectors together


def test_a_careful_pgd_passes_a_detector_that_stops_pgd(linear, magnet):
    labels = predict(linear, IMAGES)
    settings = {"epsilon": 0.1, "labels": "given", "steps": 80, "step_size": 0.003}
    careless = magnet.judge(PGD(**settings).perturb(linear, IMAGES, labels), labels).counts
    assert careless["rejected"] == 12, "PGD on the classifier alone is caught"
    got = DetectorAwarePGD(**settings, weight=20).run(magnet, IMAGES, labels)
    assert got.success.sum() >= 10
    assert torch.equal(
        got.success, (lambda o: ~o.rejected & (o.answers != labels))(magnet.judge(got.adversarial, labels))
    )
    assert got.norms["L∞"].max() <= 0.1 + 1e-6


def by_hand(linear, images, labels, threshold, weight, slack, confidence):
    """Return the direction of one step, one image at a time."""
    signs = []
    for image, label in zip(images, labels.tolist(), strict=True):
        at = image[None].clone().requires_grad_()
        logits = linear(at)[0]
        wrong = max(logits[digit] for digit in range(10) if digit != label)
        excess = ((at - 0.5).square().mean() - threshold) / threshold
        gain = min(wrong - logits[label], torch.tensor(confidence)) - weight * max(excess + slack, 0 * excess)
        signs.append(torch.autograd.grad(gain, at)[0].sign())
    return torch.cat(signs)


@pytest.mark.parametrize(("weight", "slack", "confidence"), [(3, 0.2, 1), (40, 9, 1), (3, 9, -20)])
def test_one_step_by_hand(linear, magnet, weight, slack, confidence):
    labels = predict(linear, IMAGES)
    attack = DetectorAwarePGD(0.1, "given", steps=1, step_size=0.05, weight=weight, slack=slack)
    object.__setattr__(attack, "confidence", confidence)  # one that every image has: only the detectors count
    signs = by_hand(linear, IMAGES, labels, magnet.thresholds[0].value, weight, slack, float(confidence))
    expected = (IMAGES + 0.05 * signs).clamp(0, 1)
    got = attack.perturb(magnet, IMAGES, labels)
    assert ((got - expected).abs() < 1e-6).float().mean() > 0.999
    if confidence < 0:
        far = (IMAGES - 0.5).abs() > 0.05
        assert ((got - 0.5).abs() < (IMAGES - 0.5).abs())[far].all(), "towards grey: the classifier has no say"


def way_by_hand(linear, image, label, threshold, steps, weight):
    """Return where one image is led with a weight of its own, and by which factors that changed; slack 0.02."""
    at, factors = image[None], []
    for step in range(steps):
        at = at.detach().requires_grad_()
        logits = linear(at)[0]
        margin = max(logits[digit] for digit in range(10) if digit != label) - logits[label]
        excess = ((at - 0.5).square().mean() - threshold) / threshold
        if margin > 0 and excess <= 0:
            return at.detach(), factors
        gain = min(margin, torch.tensor(1.0)) - weight * max(excess + 0.02, 0 * excess)
        at = at + 0.008 / 3 ** (4 * step // steps) * torch.autograd.grad(gain, at)[0].sign()
        at = torch.min(torch.max(at, (image - 0.1).clamp(min=0)), (image + 0.1).clamp(max=1))
        factors += [1.1 if margin >= 1 and excess > -0.02 else 1 / 1.1 if margin < 1 and excess <= -0.02 else 1.0]
        weight *= factors[-1]
    return at.detach(), factors


@pytest.mark.parametrize("weight", [1.0, 200.0])
def test_each_image_has_its_own_weight(linear, magnet, weight):
    labels = predict(linear, IMAGES)
    tight = MagNet(
        linear, None, {"contrast": (Contrast(), Threshold(0.8 * Contrast()(IMAGES).mean().item(), 0, 12, 12))}
    )
    attack = DetectorAwarePGD(0.1, "given", steps=24, step_size=0.008, weight=weight)
    pairs = zip(IMAGES, labels.tolist(), strict=True)
    ways = [way_by_hand(linear, *pair, tight.thresholds[0].value, 24, weight) for pair in pairs]
    got = attack.perturb(tight, IMAGES, labels)
    assert ((got - torch.cat([way for way, _ in ways])).abs() < 1e-5).float().mean() > 0.99
    changed = {factor for _, factors in ways for factor in factors}
    assert (1.1 if weight == 1 else 1 / 1.1) in changed


def test_the_weight_grows_where_only_the_detectors_are_in_the_way():
    wins, is_seen = torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])
    got = _reweighted(torch.tensor([10.0, 20.0, 30.0, 44.0]), wins, is_seen)
    assert got.tolist() == pytest.approx([11, 20, 30, 40])


def test_without_detectors_it_is_as_strong_as_pgd(linear):
    labels = predict(linear, IMAGES)
    settings = {"epsilon": 0.01, "labels": "given", "steps": 20, "step_size": 0.003}
    plain = PGD(**settings).run(linear, IMAGES, labels).success
    careful = DetectorAwarePGD(**settings).run(MagNet(linear, None, {}), IMAGES, labels).success
    assert 0 < plain.sum() < 12
    assert careful.sum() >= plain.sum()


def test_the_steps_become_shorter(linear, magnet):
    """Along the one slope of a linear model without detectors, the way is 0.01 · (1 + 1/3 + 1/9 + 1/27) a pixel."""
    blind = MagNet(steep_classifier(1e-3), None, {})  # so flat that no image is misread on the way
    labels = predict(linear, IMAGES)
    got = DetectorAwarePGD(0.9, "given", steps=8, step_size=0.005).perturb(blind, IMAGES, labels)
    free = (IMAGES > 0.1) & (IMAGES < 0.9)
    way = (got - IMAGES).abs()[free].max().item()
    assert way == pytest.approx(0.01 * (1 + 1 / 3 + 1 / 9 + 1 / 27), rel=1e-4)


def test_the_first_image_that_passes_is_kept(linear, magnet):
    """The way goes on until every image is caught."""
    labels = predict(linear, IMAGES)
    settings = {"labels": "given", "steps": 60, "step_size": 0.01}
    kept = DetectorAwarePGD(0.5, **settings, weight=0, confidence=1e9).run(magnet, IMAGES, labels)
    end = PGD(0.2, **settings).perturb(linear, IMAGES, labels)
    assert magnet.judge(end, labels).rejected.all()
    assert kept.success.sum() >= 6
    assert kept.norms["L∞"][kept.success].max() < 0.06


def test_what_is_wrong_but_rejected_is_not_kept(linear):
    """Every image is rejected as it is, and answered wrongly long before it is grey enough to be accepted."""
    threshold = 0.5 * Contrast()(IMAGES).min().item()
    strict = MagNet(linear, None, {"contrast": (Contrast(), Threshold(threshold, 1.0, 12, 12))})
    labels = predict(linear, IMAGES)
    got = DetectorAwarePGD(0.2, "given", steps=60, step_size=0.01).run(strict, IMAGES, labels)
    assert strict.judge(IMAGES, labels).rejected.all()
    assert got.success.sum() >= 10


def test_what_fools_as_it_is_comes_back(linear, magnet):
    labels = (predict(linear, IMAGES) + 1) % 10
    assert torch.equal(DetectorAwarePGD(0.1, "given", steps=3).perturb(magnet, IMAGES, labels), IMAGES)


def test_restarts_begin_at_random_points(linear, magnet):
    labels = predict(linear, IMAGES)
    attack = DetectorAwarePGD(0.004, "given", steps=1, step_size=1e-9, restarts=1, seed=3)
    change = (attack.perturb(magnet, IMAGES, labels) - IMAGES)[(IMAGES > 0.1) & (IMAGES < 0.9)]
    assert change.abs().max() <= 0.004 + 1e-6
    assert change.std().item() == pytest.approx(0.004 / 3**0.5, rel=0.05), "uniform"


def test_predicted_labels_are_the_magnets_own(linear, magnet):
    attack = DetectorAwarePGD(0.1, "predicted", steps=3, step_size=0.01)
    given = DetectorAwarePGD(0.1, "given", steps=3, step_size=0.01)
    assert torch.equal(attack.perturb(magnet, IMAGES), given.perturb(magnet, IMAGES, predict(linear, IMAGES)))


def test_restarts_go_on_until_it_is_accepted_too(linear):
    """An image that is answered wrongly but rejected has not fooled the defence, so it is attacked again."""
    strict = MagNet(linear, None, {"all": (Contrast(), Threshold(-1.0, 1.0, 1, 1))})
    labels = predict(linear, IMAGES)
    attack = DetectorAwarePGD(0.2, "given", steps=2, step_size=0.1, restarts=3, weight=0)
    got = attack.run(strict, IMAGES, labels)
    assert not got.success.any()
    assert got.backward_passes == 6, "all images in all three attempts"


def test_the_eleventh_class_wins_exactly_if_a_detector_rejects(linear, magnet):
    noise = 0.5 + 0.4 * torch.randn(6, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    images = torch.cat([IMAGES[:6], noise.clamp(0, 1)])
    network = RejectedAsClass(magnet)
    answers = network(images).argmax(dim=1)
    rejected = magnet.rejections(images).any(dim=1)
    assert rejected[6:].all()
    assert not rejected[:6].any()
    assert torch.equal(answers == 10, rejected)
    assert torch.equal(answers[:6], predict(linear, images[:6]))
    assert (RejectedAsClass(MagNet(linear, None, {}))(images).argmax(dim=1) < 10).all()


def test_a_careful_carlini_wagner_passes_too(linear, magnet):
    labels = predict(linear, IMAGES)
    settings = {"iterations": 60, "searches": 5, "learning_rate": 0.02}
    careless = magnet.judge(CarliniWagner(confidence=20, **settings).perturb(linear, IMAGES, labels), labels)
    assert careless.rejected.all()
    got = DetectorAwareCarliniWagner(**settings).run(magnet, IMAGES, labels)
    assert got.success.sum() >= 10
    assert not magnet.judge(got.adversarial, labels).rejected[got.success].any()
    free = CarliniWagner(**settings).run(linear, IMAGES, labels)
    assert got.norms["L2"][got.success].median() >= 0.99 * free.norms["L2"].median(), (
        "what must be quiet is not smaller"
    )


@pytest.mark.parametrize("attack", [DetectorAwarePGD(labels="given"), DetectorAwareCarliniWagner()], ids=["PGD", "C&W"])
def test_they_are_made_for_a_magnet(linear, attack):
    with pytest.raises(TypeError, match="made for a whole MagNet, got a Sequential"):
        attack.run(linear, IMAGES, predict(linear, IMAGES))
    assert attack.perturb(MagNet(linear, None, {}), IMAGES[:0], torch.zeros(0).long()).shape == (0, 1, 28, 28)


# ---- where there is no gradient


class Steps(nn.Module):
    """A reformer without a gradient: 16 shades of grey."""

    def forward(self, images):
        return (15 * images).round() / 15


def test_a_defence_that_cuts_the_gradient_falls_to_the_straight_through_one(linear):
    defended = nn.Sequential(Steps(), linear)
    labels = predict(defended, IMAGES)
    attack = PGD(0.15, "given", steps=20, step_size=0.02)
    blocked = attack.run(defended, IMAGES, labels)
    assert torch.equal(blocked.adversarial, IMAGES), "no gradient, no attack"
    around = Transferred(attack, nn.Sequential(BPDA(Steps()), linear), "straight through")
    assert around.run(defended, IMAGES, labels).success.all()


def test_straight_through_has_the_value_of_one_and_the_gradient_of_the_other():
    images = IMAGES.clone().requires_grad_()
    out = BPDA(Steps(), instead=lambda x: 3 * x)(images)
    torch.testing.assert_close(out, Steps()(IMAGES))
    out.sum().backward()
    assert torch.equal(images.grad, torch.full_like(images, 3.0))


# ---- on another network


def test_a_transferred_attack_does_not_ask_its_victim(linear):
    other = tiny_classifier(1)
    attack = Transferred(FGSM(0.2, "given"), other, "another classifier")
    labels = predict(linear, IMAGES)
    got = attack.run(linear, IMAGES, labels)
    assert torch.equal(got.adversarial, FGSM(0.2, "given").perturb(other, IMAGES, labels))
    assert (got.forward_passes, got.backward_passes) == (0, 0)
    assert torch.equal(got.success, predict(linear, got.adversarial) != labels)
    assert repr(attack) == "FGSM(epsilon=0.2, labels='given') made on another classifier"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExpectationOverTransformation(nn.Identity(), 0), "draws must be at least 1, got 0"),
        (lambda: Ensemble([]), "at least one model"),
        (lambda: DetectorAwarePGD(weight=-1), "weight must be at least 0"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
