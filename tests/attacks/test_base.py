"""What every attack does: its batches, what it refuses, and that it leaves everything as it was."""

import pytest
import torch
from tiny import tiny_classifier, tiny_images
from torch import nn

from magnet_helpers.attacks import FGSM, base
from magnet_helpers.defenses import ReformedClassifier
from magnet_helpers.inference import predict
from magnet_helpers.models import ConvAutoencoder, ConvClassifier
from magnet_helpers.seeds import initial_weights_from

IMAGES, LABELS = tiny_images(12).images, tiny_images(12).labels


@pytest.fixture(scope="module")
def classifier():
    with initial_weights_from(0):
        return ConvClassifier().eval()


def test_a_reformed_classifier_is_attacked_as_one_network(classifier):
    """White box: the sign of the whole chain's gradient, by plain autograd."""
    with initial_weights_from(1):
        reformer = ConvAutoencoder()
    images = IMAGES[:3].clone().requires_grad_()
    logits = classifier(reformer(images))
    (slope,) = torch.autograd.grad(nn.functional.cross_entropy(logits, logits.argmax(dim=1)), images)
    expected = (images + 0.2 * slope.sign()).clamp(0, 1)
    got = FGSM(0.2).perturb(ReformedClassifier(reformer, classifier), IMAGES[:3])
    assert ((got - expected).abs() <= 1e-6).double().mean() >= 0.999
    assert not torch.allclose(got, FGSM(0.2).perturb(classifier, IMAGES[:3]))


@pytest.mark.parametrize("size", [1, 5, 12])
def test_batches_give_what_one_batch_gives(monkeypatch, size):
    model = tiny_classifier()
    expected = {labels: FGSM(0.2, labels).perturb(model, IMAGES, LABELS) for labels in ("predicted", "given")}
    monkeypatch.setattr(base, "BATCH_SIZE", size)
    for labels, images in expected.items():
        assert torch.equal(FGSM(0.2, labels).perturb(model, IMAGES, LABELS), images)


def test_no_images_are_no_error():
    assert FGSM().perturb(tiny_classifier(), IMAGES[:0]).shape == (0, 1, 28, 28)


def test_gradients_need_not_be_switched_on():
    model = tiny_classifier()
    expected = FGSM(0.2).perturb(model, IMAGES)
    with torch.no_grad():
        assert torch.equal(FGSM(0.2).perturb(model, IMAGES), expected)
        assert not torch.is_grad_enabled()


# ---- what stays as it was


class Fails(nn.Module):
    def __init__(self, fails):
        super().__init__()
        self.fails = fails

    def forward(self, images):
        if self.fails:
            raise RuntimeError("in the model")
        return images


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_and_the_images_stay_as_they_were(fails):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 20), nn.BatchNorm1d(20), nn.Dropout(), nn.Linear(20, 10), Fails(fails)
    )
    model.train()
    model[2].eval()
    model[1].weight.requires_grad_(False)
    model[4].weight.grad = torch.full((10, 20), 3.0)
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    images = IMAGES.clone().requires_grad_()
    generator = torch.get_rng_state()
    if fails:
        with pytest.raises(RuntimeError, match="in the model"):
            FGSM().perturb(model, images)
    else:
        adversarial = FGSM().perturb(model, images)
        assert not adversarial.requires_grad
        assert adversarial.data_ptr() != images.data_ptr()
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["1.weight"]
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["4.weight"]
    assert model[4].weight.grad.eq(3).all()
    assert torch.equal(images, IMAGES)
    assert images.requires_grad
    assert images.grad is None
    assert torch.equal(torch.get_rng_state(), generator)


def test_existing_gradients_of_the_images_stay():
    images = IMAGES.clone().requires_grad_()
    images.grad = torch.full_like(IMAGES, 2.0)
    FGSM().perturb(tiny_classifier(), images)
    assert images.grad.eq(2).all()


def test_the_model_answers_in_evaluation_mode():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(784, 10)).train()
    assert torch.equal(FGSM(0.2).perturb(model, IMAGES), FGSM(0.2).perturb(model, IMAGES))


# ---- what is refused


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES * 255, r"\[0, 1\], got values from 0 to 25\d.*divide by 255"),
        (IMAGES - 0.1, r"\[0, 1\], got values from -0.1"),
        (IMAGES + 1e-3 * (IMAGES > 0.9) * 100, r"got values from 0 to 1\.0.*images.clamp"),
        (
            torch.where(IMAGES > 0.9, torch.nan, IMAGES),
            r"finite numbers, got NaN .* in \d+ of 12 images, first in number \d: leave",
        ),
    ],
    ids=["bytes", "negative", "a little above", "nan"],
)
def test_images_that_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        FGSM().perturb(tiny_classifier(), images)


@pytest.mark.parametrize(("labels", "got"), [(None, "none"), (LABELS[:11], "11"), (LABELS.repeat(2), "24")])
def test_labels_that_are_refused(labels, got):
    with pytest.raises(ValueError, match=f"a label for each of the 12 images, got {got}"):
        FGSM(labels="given").perturb(tiny_classifier(), IMAGES, labels)


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, 76.5, float("nan"), float("inf")])
def test_impossible_epsilons(epsilon):
    with pytest.raises(ValueError, match=rf"epsilon must be .*in \[0, 1\], in pixel units, got {epsilon}"):
        FGSM(epsilon)


@pytest.mark.parametrize("labels", ["true", "", None])
def test_unknown_labels(labels):
    with pytest.raises(ValueError, match=f"one of predicted, given, got {labels!r}"):
        FGSM(labels=labels)


def test_an_attack_is_a_value():
    assert FGSM() == FGSM(epsilon=0.3, labels="predicted")
    assert repr(FGSM(0.1)) == "FGSM(epsilon=0.1, labels='predicted')"
    assert len({FGSM(0.1), FGSM(0.1), FGSM(0.2), FGSM(0.1, "given")}) == 3


def test_gradients_and_answers_are_computed_in_full_precision(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    seen = []

    class Watching(nn.Module):
        def forward(self, images):
            seen.append(torch.backends.cudnn.allow_tf32)
            return images.flatten(1)[:, :10]

    FGSM(0.1).perturb(Watching(), IMAGES)
    predict(Watching(), IMAGES)
    assert seen
    assert not any(seen)
    assert torch.backends.cudnn.allow_tf32
