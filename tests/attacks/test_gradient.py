import foolbox
import numpy as np
import pytest
import torch
from tiny import tiny_classifier, tiny_images
from torch import nn

from magnet_helpers.attacks import FGSM, PGD, gradient
from magnet_helpers.inference import predict
from magnet_helpers.models import ConvClassifier
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
    with pytest.raises(ValueError, match=f"a label for each of the {len(IMAGES)} images, got 1 predicted"):
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
