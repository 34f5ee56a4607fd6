"""What every attack returns, and the bounded attacks beside a second library."""

import foolbox
import pytest
import torch
from tiny import tiny_classifier, tiny_images
from torch import nn

from magnet_helpers.attacks import FGSM, IFGSM, MIFGSM, PGD, PGDL2, Attack
from magnet_helpers.attacks.base import _counted
from magnet_helpers.inference import predict
from magnet_helpers.models import ConvClassifier
from magnet_helpers.seeds import initial_weights_from

IMAGES = tiny_images(12).images


@pytest.fixture(scope="module")
def classifier():
    with initial_weights_from(0):
        return ConvClassifier().eval()


class Shift(Attack):
    """Makes every image brighter."""

    def perturb(self, model, images, labels):
        with torch.no_grad():
            model(images)
        return (images + 0.25).clamp(max=1)


# ---- what comes back


def test_only_images_that_are_still_right_are_attacked():
    model = tiny_classifier()
    answers = predict(model, IMAGES)
    labels = answers.clone()
    labels[:3] = (labels[:3] + 1) % 10  # wrong as they are
    got = Shift().run(model, IMAGES, labels)
    assert torch.equal(got.adversarial[:3], IMAGES[:3])
    assert torch.equal(got.adversarial[3:], (IMAGES[3:] + 0.25).clamp(max=1))
    assert torch.equal(got.success, predict(model, got.adversarial) != labels)
    assert got.success[:3].all()
    assert (got.forward_passes, got.backward_passes) == (1, 0)
    assert got.seconds > 0


def test_who_has_no_labels_attacks_all():
    model = tiny_classifier()
    labels = (predict(model, IMAGES) + 1) % 10
    assert torch.equal(FGSM(0.1, "given").run(model, IMAGES, labels).adversarial, IMAGES)
    blind = FGSM(0.1).run(model, IMAGES, labels)
    assert torch.equal(blind.adversarial, FGSM(0.1).perturb(model, IMAGES))
    assert torch.equal(blind.success, predict(model, blind.adversarial) != labels)
    assert blind.backward_passes == 1


def test_norms_by_hand():
    got = Shift().run(tiny_classifier(), IMAGES, predict(tiny_classifier(), IMAGES))
    change = (got.adversarial - IMAGES).double().flatten(1)
    assert torch.equal(got.norms["L0"], (change > 0).sum(dim=1).float())
    assert got.norms["L1"].tolist() == pytest.approx(change.sum(dim=1).tolist(), rel=1e-5)
    assert got.norms["L2"].tolist() == pytest.approx(change.square().sum(dim=1).sqrt().tolist(), rel=1e-5)
    assert got.norms["L∞"].tolist() == pytest.approx(change.max(dim=1).values.tolist(), rel=1e-5)


def test_success_within_a_norm():
    model = tiny_classifier()
    answers = predict(model, IMAGES)
    got = FGSM(0.3, "given").run(model, IMAGES, answers)
    assert got.success.any()
    assert torch.equal(got.within("L∞", 0.3), got.success)
    assert not got.within("L∞", 0.29).any()
    assert torch.equal(
        got.within("L2", got.norms["L2"].median().item()), got.success & (got.norms["L2"] <= got.norms["L2"].median())
    )


@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=7), IFGSM(steps=7), MIFGSM(steps=7), PGDL2(steps=7)], ids=repr)
def test_passes_are_counted(attack):
    model = tiny_classifier()
    got = attack.run(model, IMAGES, predict(model, IMAGES))
    steps = getattr(attack, "steps", 1)
    assert got.backward_passes == steps
    assert steps <= got.forward_passes <= steps + 1


def test_counting_does_not_change_the_model():
    model = tiny_classifier()
    expected = model(IMAGES)
    with _counted(model) as passes:
        assert torch.equal(model(IMAGES), expected)
        model(IMAGES.clone().requires_grad_()).sum().backward()
    assert (passes.forward, passes.backward) == (24, 12)
    model(IMAGES)
    assert passes.forward == 24, "and it ends"


def test_nothing_to_attack():
    model = tiny_classifier()
    empty = Shift().run(model, IMAGES[:0], torch.zeros(0, dtype=torch.long))
    assert (len(empty.success), empty.forward_passes) == (0, 0)
    wrong = (predict(model, IMAGES) + 1) % 10
    got = Shift().run(model, IMAGES, wrong)
    assert got.success.all()
    assert torch.equal(got.adversarial, IMAGES)
    assert got.forward_passes == 0


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        Shift().run(tiny_classifier(), 2 * IMAGES, torch.zeros(12).long())
    with pytest.raises(ValueError, match="a label for each of the 12 images, got 3"):
        Shift().run(tiny_classifier(), IMAGES, torch.zeros(3).long())


# ---- bounded attacks


def shares_with(ours, theirs) -> float:
    return ((ours - theirs).abs() <= 1e-5).double().mean().item()


OF_FOOLBOX = {
    "I-FGSM": (IFGSM(0.2, steps=5, step_size=0.05), foolbox.attacks.LinfBasicIterativeAttack, 0.2, 0.05),
    "PGD L2": (PGDL2(1.5, steps=5, step_size=0.4), foolbox.attacks.L2PGD, 1.5, 0.4),
}


@pytest.mark.parametrize("name", OF_FOOLBOX)
def test_foolbox_gives_the_same_images(classifier, name):
    attack, kind, epsilon, step = OF_FOOLBOX[name]
    wrapped = foolbox.PyTorchModel(classifier, bounds=(0, 1), device="cpu")
    theirs = kind(steps=5, abs_stepsize=step, random_start=False)
    _, expected, _ = theirs(wrapped, IMAGES, predict(classifier, IMAGES), epsilons=epsilon)
    ours = attack.perturb(classifier, IMAGES)
    assert shares_with(ours, expected) >= 0.99
    assert not torch.allclose(ours, IMAGES)


def test_momentum_by_hand(classifier):
    """Dong et al. 2018, equations 6 and 7."""
    labels, images, memory = predict(classifier, IMAGES), IMAGES, torch.zeros_like(IMAGES)
    for _ in range(4):
        images = images.detach().requires_grad_()
        (slope,) = torch.autograd.grad(nn.functional.cross_entropy(classifier(images), labels, reduction="sum"), images)
        memory = 0.5 * memory + slope / slope.abs().sum(dim=(1, 2, 3), keepdim=True)
        images = (images + 0.05 * memory.sign()).clamp(IMAGES - 0.2, IMAGES + 0.2).clamp(0, 1)
    ours = MIFGSM(0.2, steps=4, step_size=0.05, decay=0.5).perturb(classifier, IMAGES)
    assert shares_with(ours, images.detach()) >= 0.99
    assert shares_with(ours, MIFGSM(0.2, steps=4, step_size=0.05, decay=0).perturb(classifier, IMAGES)) < 0.99


def test_iterative_fgsm_is_pgd_from_the_image_itself(classifier):
    assert torch.equal(IFGSM(0.1, steps=3).perturb(classifier, IMAGES), PGD(0.1, steps=3).perturb(classifier, IMAGES))
    without_memory = MIFGSM(0.1, steps=3, decay=0).perturb(classifier, IMAGES)
    assert shares_with(without_memory, IFGSM(0.1, steps=3).perturb(classifier, IMAGES)) >= 0.99


@pytest.mark.parametrize("restarts", [0, 2])
def test_the_euclidean_bound_is_kept(classifier, restarts):
    attack = PGDL2(0.7, steps=5, step_size=0.3, restarts=restarts)
    got = attack.run(classifier, IMAGES, predict(classifier, IMAGES))
    assert got.norms["L2"].max() <= 0.7 + 1e-5
    assert got.norms["L2"].max() > 0.5
    assert got.adversarial.min() >= 0
    assert torch.equal(got.adversarial, attack.run(classifier, IMAGES, predict(classifier, IMAGES)).adversarial)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IFGSM(steps=0), "steps must be at least 1, got 0"),
        (lambda: MIFGSM(step_size=0), "step_size must be more than 0"),
        (lambda: MIFGSM(decay=-1), "decay must be at least 0, got -1"),
        (lambda: PGDL2(-1), "epsilon must be at least 0"),
        (lambda: IFGSM(1.5), r"epsilon must be in \[0, 1\]"),
    ],
)
def test_settings_that_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_settings_are_values():
    assert (
        repr(PGDL2(1.0, "given", 3, 0.5))
        == "PGDL2(epsilon=1.0, labels='given', steps=3, step_size=0.5, restarts=0, seed=0)"
    )
    assert IFGSM() == IFGSM()
    assert len({IFGSM(), IFGSM(0.1), MIFGSM(), PGD()}) == 4


def test_an_undefended_linear_model_falls():
    """Every answer of a linear model can be turned by a large enough step against its gradient."""
    model = nn.Sequential(tiny_classifier())
    for attack in (
        IFGSM(0.5, "given"),
        MIFGSM(0.5, "given"),
        PGD(0.5, "given", restarts=1),
        PGDL2(10.0, "given", step_size=1.0),
    ):
        assert attack.run(model, IMAGES, predict(model, IMAGES)).success.all(), attack
