"""Attacks on a whole defence: each beats what does not know of it."""

import pytest
import torch
from tiny import steep_classifier, tiny_autoencoder, tiny_classifier
from torch import nn

from magnet_helpers.attacks import (
    FGSM,
    PGD,
    CarliniWagner,
    DetectorAwareCarliniWagner,
    DetectorAwarePGD,
    OverDraws,
    RejectedAsClass,
    StraightThrough,
    Together,
    Transferred,
)
from magnet_helpers.detectors import Detector, Threshold
from magnet_helpers.inference import predict
from magnet_helpers.magnet import MagNet, RandomReformer

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


def test_without_weight_it_is_pgd(linear, magnet):
    labels = predict(linear, IMAGES)
    settings = {"epsilon": 0.1, "labels": "given", "steps": 5, "step_size": 0.02}
    plain = PGD(**settings).perturb(linear, IMAGES, labels)
    assert torch.allclose(DetectorAwarePGD(**settings, weight=0).perturb(magnet, IMAGES, labels), plain)
    blind = MagNet(linear, None, {})
    assert torch.allclose(DetectorAwarePGD(**settings, weight=9).perturb(blind, IMAGES, labels), plain)


def test_one_step_by_hand(linear, magnet):
    labels = predict(linear, IMAGES)
    images = IMAGES.clone().requires_grad_()
    threshold = magnet.thresholds[0].value
    excess = ((images - 0.5).square().mean(dim=(1, 2, 3)) - threshold) / threshold
    loss = nn.functional.cross_entropy(linear(images), labels, reduction="sum") - 3 * (excess + 0.2).clamp(min=0).sum()
    (slope,) = torch.autograd.grad(loss, images)
    attack = DetectorAwarePGD(0.1, "given", steps=1, step_size=0.05, weight=3, margin=0.2)
    expected = (IMAGES + 0.05 * slope.sign()).clamp(0, 1)
    assert ((attack.perturb(magnet, IMAGES, labels) - expected).abs() < 1e-6).float().mean() > 0.999
    quiet = DetectorAwarePGD(0.1, "given", steps=1, step_size=0.05, weight=3, margin=-9)
    assert not torch.allclose(quiet.perturb(magnet, IMAGES, labels), expected), "a hinge that sleeps changes the step"


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


# ---- random numbers, and no gradient


def test_the_mean_over_draws_is_that_of_the_probabilities(linear):
    pick = nn.Sequential(RandomReformer([nn.Identity(), tiny_autoencoder()], seed=3), linear)
    with torch.no_grad():
        got = OverDraws(pick, 1000)(IMAGES).softmax(dim=1)
        both = [linear(reformer(IMAGES)).softmax(dim=1) for reformer in pick[0].autoencoders]
    torch.testing.assert_close(got, (both[0] + both[1]) / 2, atol=0.05, rtol=0)
    assert (both[0] - both[1]).abs().max() > 0.3, "else a wrong mean would pass"


def test_several_networks_are_their_mean():
    models = [tiny_classifier(seed) for seed in range(3)]
    expected = torch.stack([model(IMAGES).softmax(dim=1) for model in models]).mean(dim=0)
    torch.testing.assert_close(Together(models)(IMAGES).softmax(dim=1), expected)


def test_what_fools_all_fools_the_random_pick(linear):
    """Against a pick that turns images upside down or not, the mean over draws beats one draw."""

    class Flip(nn.Module):
        def forward(self, images):
            return images.flip(2)

    picked = MagNet(linear, RandomReformer([nn.Identity(), Flip()]), {}).reformed
    both = Together([linear, nn.Sequential(Flip(), linear)])
    labels = predict(both, IMAGES)
    attack = PGD(0.15, "given", steps=30, step_size=0.02)
    fooled = {}
    for name, target in {"one": linear, "mean": OverDraws(picked, 8)}.items():
        images = attack.perturb(target, IMAGES, labels)
        fooled[name] = torch.stack([predict(picked, images) != labels for _ in range(8)]).float().mean().item()
    assert fooled["mean"] > fooled["one"]


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
    around = Transferred(attack, nn.Sequential(StraightThrough(Steps()), linear), "straight through")
    assert around.run(defended, IMAGES, labels).success.all()


def test_straight_through_has_the_value_of_one_and_the_gradient_of_the_other():
    images = IMAGES.clone().requires_grad_()
    out = StraightThrough(Steps(), instead=lambda x: 3 * x)(images)
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
        (lambda: OverDraws(nn.Identity(), 0), "draws must be at least 1, got 0"),
        (lambda: Together([]), "at least one model"),
        (lambda: DetectorAwarePGD(weight=-1), "weight must be at least 0"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
