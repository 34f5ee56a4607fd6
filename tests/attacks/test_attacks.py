import ast
import subprocess
import sys
from pathlib import Path

import foolbox
import numpy as np
import pytest
import torch
from tiny import tiny_classifier, tiny_images
from torch import nn

import magnet_helpers
from magnet_helpers.attacks import FGSM, PGD, base, gradient
from magnet_helpers.defenses import ReformedClassifier
from magnet_helpers.inference import predict
from magnet_helpers.models import ConvAutoencoder, ConvClassifier
from magnet_helpers.seeds import initial_weights_from

IMAGES, LABELS = tiny_images(12).images, tiny_images(12).labels


@pytest.fixture(scope="module")
def classifier():
    with initial_weights_from(0):
        return ConvClassifier().eval()


def step_by_hand(model, images, labels, epsilon):
    """Fast gradient sign of a linear model: ∂loss/∂x = Wᵀ(softmax(Wx + b) − onehot(y)), in float64 NumPy."""
    weight = model[1].weight.detach().double().numpy()
    bias = model[1].bias.detach().double().numpy()
    flat = images.double().flatten(1).numpy()
    logits = flat @ weight.T + bias
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    y = logits.argmax(axis=1) if labels is None else labels.numpy()
    gradient = (shares - np.eye(10)[y]) @ weight
    return np.clip(flat + epsilon * np.sign(gradient), 0, 1).reshape(images.shape)


# ---- the value


@pytest.mark.parametrize("epsilon", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("labels", ["predicted", "given"])
def test_it_is_the_closed_form_of_a_linear_model(epsilon, labels):
    model = tiny_classifier()
    expected = step_by_hand(model, IMAGES, LABELS if labels == "given" else None, epsilon)
    got = FGSM(epsilon, labels).perturb(model, IMAGES, LABELS)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-6)


def test_given_and_predicted_labels_differ_on_a_misclassified_image():
    model = tiny_classifier()
    image = IMAGES[:1]
    answer = model(image).argmax(dim=1)
    predicted = FGSM(0.1).perturb(model, image)
    assert torch.equal(FGSM(0.1, "given").perturb(model, image, answer), predicted)
    given = FGSM(0.1, "given").perturb(model, image, (answer + 1) % 10)
    assert not torch.equal(given, predicted)
    logits = model(torch.cat([image, predicted, given])).log_softmax(dim=1)
    assert logits[1, answer] < logits[0, answer], "away from the model's answer"
    assert logits[2, (answer + 1) % 10] < logits[0, (answer + 1) % 10], "away from the label"


def test_predicted_labels_ignore_those_that_are_passed():
    model = tiny_classifier()
    expected = FGSM(0.1).perturb(model, IMAGES)
    assert torch.equal(FGSM(0.1).perturb(model, IMAGES, LABELS), expected)
    assert torch.equal(FGSM(0.1).perturb(model, IMAGES, LABELS[:3]), expected)


def test_known_predictions_are_not_computed_again():
    model = tiny_classifier()
    answers = predict(model, IMAGES)
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    expected = FGSM(0.1).perturb(model, IMAGES)
    computed = len(calls)
    assert torch.equal(FGSM(0.1).perturb(model, IMAGES, predicted=answers), expected)
    assert len(calls) - computed < computed
    given = FGSM(0.1, "given").perturb(model, IMAGES, LABELS)
    assert torch.equal(FGSM(0.1, "given").perturb(model, IMAGES, LABELS, predicted=answers), given)
    with pytest.raises(ValueError, match=f"predicted must have an answer for each of {len(IMAGES)} images, got 1"):
        FGSM().perturb(model, IMAGES, predicted=answers[:1])


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.3, 1.0])
def test_no_pixel_changes_by_more_than_epsilon_or_leaves_the_range(classifier, epsilon):
    adversarial = FGSM(epsilon).perturb(classifier, IMAGES)
    assert adversarial.shape == IMAGES.shape
    assert (adversarial - IMAGES).abs().max() <= epsilon + 1e-6
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    assert torch.equal(adversarial, IMAGES) == (epsilon == 0)


@pytest.mark.parametrize("epsilon", [0.1, 0.3])
@pytest.mark.parametrize("labels", ["predicted", "given"])
def test_foolbox_gives_the_same_images(classifier, epsilon, labels):
    y = LABELS if labels == "given" else classifier(IMAGES).argmax(dim=1)
    wrapped = foolbox.PyTorchModel(classifier, bounds=(0, 1), device="cpu")
    _, theirs, _ = foolbox.attacks.LinfFastGradientAttack()(wrapped, IMAGES, y, epsilons=epsilon)
    ours = FGSM(epsilon, labels).perturb(classifier, IMAGES, LABELS)
    same = (ours - theirs).abs() <= 1e-6
    assert same.double().mean() >= 0.999
    assert not torch.equal(ours, IMAGES)


@pytest.mark.parametrize("labels", ["predicted", "given"])
def test_pgd_is_many_steps_by_hand_on_a_linear_model(labels):
    model, images = tiny_classifier(), IMAGES
    y = LABELS if labels == "given" else predict(model, IMAGES)
    for _ in range(5):
        images = torch.from_numpy(step_by_hand(model, images, y, 0.05))
        images = torch.minimum(torch.maximum(images, IMAGES - 0.12), IMAGES + 0.12)
    got = PGD(0.12, labels, steps=5, step_size=0.05).perturb(model, IMAGES, LABELS)
    np.testing.assert_allclose(got.numpy(), images.numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.3])
def test_pgd_stays_within_epsilon_and_the_range_and_beats_one_step(classifier, epsilon):
    adversarial = PGD(epsilon, steps=10, step_size=0.05).perturb(classifier, IMAGES)
    assert (adversarial - IMAGES).abs().max() <= epsilon + 1e-6
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    answers = predict(classifier, IMAGES)
    losses = [
        nn.functional.cross_entropy(classifier(images), answers).item()
        for images in (IMAGES, FGSM(epsilon).perturb(classifier, IMAGES), adversarial)
    ]
    assert losses == sorted(losses)
    assert (losses[2] > losses[1]) == (epsilon > 0)


def test_one_step_of_pgd_is_fgsm(classifier):
    one = PGD(0.2, steps=1, step_size=0.2).perturb(classifier, IMAGES)
    torch.testing.assert_close(one, FGSM(0.2).perturb(classifier, IMAGES), rtol=0, atol=1e-6)


def test_foolbox_gives_the_same_pgd(classifier):
    wrapped = foolbox.PyTorchModel(classifier, bounds=(0, 1), device="cpu")
    theirs = foolbox.attacks.LinfPGD(steps=5, abs_stepsize=0.05, random_start=False)
    _, expected, _ = theirs(wrapped, IMAGES, predict(classifier, IMAGES), epsilons=0.2)
    ours = PGD(0.2, steps=5, step_size=0.05).perturb(classifier, IMAGES)
    assert ((ours - expected).abs() <= 1e-6).double().mean() >= 0.99
    assert not torch.allclose(ours, FGSM(0.2).perturb(classifier, IMAGES))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"restarts": -1}, "restarts must be at least 0"),
        ({"step_size": 0}, "more than 0"),
        ({"epsilon": 2}, "epsilon must"),
    ],
)
def test_settings_of_pgd_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PGD(**settings)


@pytest.mark.parametrize("labels", ["predicted", "given"])
def test_restarts_begin_at_random_and_keep_what_fools(classifier, labels):
    settings = {"epsilon": 0.1, "labels": labels, "steps": 3, "step_size": 0.02}
    y = LABELS if labels == "given" else predict(classifier, IMAGES)
    state = torch.get_rng_state()
    fooled = []
    for restarts in (1, 2, 6):
        attack = PGD(**settings, restarts=restarts)
        adversarial = attack.perturb(classifier, IMAGES, LABELS)
        assert torch.equal(adversarial, attack.perturb(classifier, IMAGES, LABELS)), "its own seed decides"
        assert (adversarial - IMAGES).abs().max() <= 0.1 + 1e-6
        fooled.append(set((predict(classifier, adversarial) != y).nonzero().flatten().tolist()))
        assert not torch.equal(
            adversarial, PGD(**settings, restarts=restarts, seed=1).perturb(classifier, IMAGES, LABELS)
        )
    assert fooled[0] <= fooled[1] <= fooled[2]
    assert torch.equal(torch.get_rng_state(), state)
    assert PGD(**settings, restarts=2).perturb(classifier, IMAGES[:0], LABELS[:0]).shape == (0, 1, 28, 28)


def test_a_fooled_image_is_not_attacked_again(classifier, monkeypatch):
    attacked = []
    plain = gradient.in_batches

    def watched(function, model, images, *rest, **named):
        attacked.append(len(images))
        return plain(function, model, images, *rest, **named)

    monkeypatch.setattr(gradient, "in_batches", watched)
    answers = predict(classifier, IMAGES)
    wrong = answers.clone()
    wrong[:5] = (answers[:5] + 1) % 10  # these five are misread as they are
    PGD(0.0, "given", steps=1, restarts=3).perturb(classifier, IMAGES, wrong)
    assert attacked == [12, 7, 7]


def test_restarts_ask_for_labels_too(classifier):
    with pytest.raises(ValueError, match="a label for each of the 12 images, got 13"):
        PGD(labels="given", restarts=1).perturb(classifier, IMAGES, torch.zeros(13, dtype=torch.long))


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
        (IMAGES * 255, r"\[0, 1\], got values from 0.0 to 25\d.*divide by 255"),
        (IMAGES - 0.1, r"\[0, 1\], got values from -0.1"),
        (IMAGES + 1e-3 * (IMAGES > 0.9) * 100, r"got values from 0.0 to 1\.0"),
        (torch.where(IMAGES > 0.9, torch.nan, IMAGES), "got values from nan to nan"),
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
    with pytest.raises(ValueError, match=rf"epsilon must be in \[0, 1\], in pixel units, got {epsilon}"):
        FGSM(epsilon)


@pytest.mark.parametrize("labels", ["true", "", None])
def test_unknown_labels(labels):
    with pytest.raises(ValueError, match=f'"predicted" or "given", got {labels!r}'):
        FGSM(labels=labels)


def test_an_attack_is_a_value():
    assert FGSM() == FGSM(epsilon=0.3, labels="predicted")
    assert repr(FGSM(0.1)) == "FGSM(epsilon=0.1, labels='predicted')"
    assert len({FGSM(0.1), FGSM(0.1), FGSM(0.2), FGSM(0.1, "given")}) == 3


# ---- advertorch


def test_advertorch_is_imported_in_one_place():
    importers = set()
    for path in Path(magnet_helpers.__file__).parent.glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "advertorch" for name in names):
                importers.add(path.name)
    assert importers == {"_advertorch.py"}


def test_no_false_torchvision_stays():
    code = (
        "import importlib.util, sys\n"
        "before = importlib.util.find_spec('torchvision')\n"
        "import magnet_helpers.attacks._advertorch\n"
        "false = [n for n, m in sys.modules.items() if n.split('.')[0] == 'torchvision' and m.__spec__ is None]\n"
        "assert not false, false\n"
        "after = importlib.util.find_spec('torchvision')\n"
        "assert (before is None) == (after is None)\n"
        "assert ('torchvision' in sys.modules) <= (before is not None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


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
