"""What a defence cannot judge it rejects, and what is no number passes nowhere as an answer."""

import pytest
import torch
from entries import AUTOENCODER, CLASSIFIER, DETECTORS, MAGNET, TEST
from tiny import tiny_classifier
from torch import nn

from magnet_helpers.attacks import FGSM, PGD, DetectorAwarePGD, RejectedAsClass
from magnet_helpers.checks.feedback import compare
from magnet_helpers.defenses import ReformedClassifier
from magnet_helpers.detectors import Detector, Threshold, choose_threshold, roc
from magnet_helpers.evaluation import evaluate_accuracy, evaluate_defense
from magnet_helpers.inference import apply_model, is_constant, outputs_of, predict
from magnet_helpers.intervals import difference, estimate
from magnet_helpers.jacobian import jacobian_frobenius_squared, sigmoid_layer_frobenius_squared
from magnet_helpers.losses import ClassificationLoss, FixedNoiseLoss, squared_error
from magnet_helpers.magnet import MagNet, UnjudgedWarning
from magnet_helpers.models import ContractiveAutoencoder, ConvAutoencoder, ConvClassifier
from magnet_helpers.plotting import plot_scores

X, Y = TEST.images, TEST.labels
NAN = torch.nan
GENERATOR = torch.Generator()


class Spoils(nn.Module):
    """A reformer that makes NaN of the images whose first pixel is lit."""

    def forward(self, images):
        return torch.where(images[:, :, :1, :1] == 1, NAN, images)


class Scores(Detector):
    """A detector whose scores are what a function makes of the mean pixel of each image."""

    label = "mean"

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images.flatten(start_dim=1).mean(dim=1))


LIT = X.clone()
LIT[2, 0, 0, 0] = 1


def accepting(function, value=1.0):
    return MagNet(CLASSIFIER, None, {"mean": (Scores(function), Threshold(value, 0.1, 0, 10))})


# ---- rejected


@pytest.mark.parametrize("value", [NAN, torch.inf, -torch.inf])
@pytest.mark.parametrize("count", [1, 6])
def test_a_broken_image_is_rejected_and_the_others_are_judged_as_ever(value, count):
    stream, labels, at = X[-count:].clone(), Y[-count:], count // 3
    expected = MAGNET.judge(stream, labels)
    stream[at, 0, 5, 5] = value
    with pytest.warns(UnjudgedWarning, match=f"1 of {count} images could not be judged and are rejected: look for NaN"):
        outcome = MAGNET.judge(stream, labels)
    others = torch.arange(count) != at
    assert outcome.rejected[at]
    assert outcome.answers[at] == -1
    assert torch.equal(outcome.answers[others], expected.answers[others])
    assert torch.equal(outcome.rejected[others], expected.rejected[others])
    assert MAGNET.rejections(stream)[at].all()
    assert MagNet(CLASSIFIER, None, {}).rejections(stream).shape == (count, 0)


def test_an_image_of_which_the_reformer_makes_no_numbers_is_rejected():
    with pytest.warns(UnjudgedWarning):
        outcome = MagNet(CLASSIFIER, Spoils(), {}).judge(LIT, Y)
    assert outcome.rejected.tolist() == [False, False, True, False, False, False]
    assert outcome.counts["accepted and right"] == int((predict(CLASSIFIER, X) == Y)[outcome.answers >= 0].sum())
    for call in (
        lambda: predict(ReformedClassifier(Spoils(), CLASSIFIER), LIT),
        lambda: evaluate_defense(CLASSIFIER, Spoils(), type(TEST)(LIT, Y), FGSM(0.1)),
        lambda: apply_model(Spoils(), LIT),
    ):
        with pytest.raises(ValueError, match=r"NaN.* for 1 of 6 images"):
            call()


@pytest.mark.parametrize("value", [NAN, torch.inf, -torch.inf])
def test_a_score_that_is_no_number_rejects(value):
    magnet = accepting(lambda means: torch.where(means == means.max(), value, means))
    odd = X.flatten(1).mean(1).argmax()
    assert magnet.rejections(X)[:, 0].nonzero()[:, 0].tolist() == [odd]
    assert magnet.judge(X, Y).rejected.nonzero()[:, 0].tolist() == [odd]
    if value != -torch.inf:
        assert magnet.excess(X)[odd, 0] == torch.inf
        assert not DetectorAwarePGD(0.0, "given", steps=1).run(magnet, X, Y).success[odd]
        rejected = RejectedAsClass(magnet)(X)
        assert torch.isfinite(rejected).all(dim=1).nonzero().numel() == 5
        assert rejected.argmax(dim=1)[odd] == 10


def test_networks_whose_weights_are_no_numbers_are_refused_and_not_called_safe():
    broken = tiny_classifier()
    with torch.no_grad():
        broken[1].weight[3] = NAN
    for magnet in (
        MagNet(broken, None, {}),
        MagNet(
            CLASSIFIER, nn.Sequential(nn.Flatten(), broken[1], nn.Linear(10, 784), nn.Unflatten(1, (1, 28, 28))), {}
        ),
    ):
        with pytest.raises(ValueError, match="for 6 of 6 images: look for NaN in the network's weights"):
            magnet.judge(X, Y)
    detector = type(DETECTORS[1])(AUTOENCODER, broken, 10)
    with pytest.raises(ValueError, match="look for NaN in the network's weights"):
        MagNet(CLASSIFIER, None, {"d": (detector, Threshold(1.0, 0.1, 0, 10))}).judge(X, Y)
    with pytest.raises(ValueError, match="got NaN for 6 of 6 images"):
        MagNet.calibrated(CLASSIFIER, None, [detector], X, 0.5)


def test_no_threshold_is_nan():
    with pytest.raises(ValueError, match="must be a number, got nan: choose it from finite scores"):
        Threshold(NAN, 0.1, 0, 10)


# ---- axes that are lost


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda means: means[:, None], r"shape \(6,\), got torch.float32 of shape \(6, 1\)"),
        (lambda means: means.mean(), r"a row for each image, got \(\) for 6 images"),
        (lambda means: means[:1], r"a row for each image, got \(1,\) for 6 images"),
        (lambda means: means.tolist(), "got a list for 6 images"),
    ],
)
def test_scores_that_are_not_one_for_each_image_are_refused(function, message):
    magnet = accepting(function)
    for call in (
        lambda: magnet.rejections(X),
        lambda: magnet.judge(X, Y),
        lambda: MagNet.calibrated(CLASSIFIER, None, [Scores(function)], X, 0.5),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises((TypeError, ValueError), match="scores must be"):
        magnet.excess(X)


@pytest.mark.parametrize("scores", [X.flatten(1), torch.tensor(1.0), torch.ones(6, 1), torch.ones(6) + 0j])
def test_scores_of_another_shape_have_no_threshold_and_no_curve(scores):
    for call in (
        lambda: choose_threshold(scores, 0.1),
        lambda: roc(scores, torch.arange(3.0)),
        lambda: plot_scores({"clean": {"d": scores}}, ""),
    ):
        with pytest.raises(ValueError, match="scores must be one number for each image, shape"):
            call()


def test_scores_that_are_no_tensor_or_no_numbers():
    with pytest.raises(TypeError, match=r"got a list: take torch.as_tensor"):
        choose_threshold([1.0, 2.0], 0.1)
    with pytest.raises(TypeError, match="got a ndarray"):
        roc(X.flatten().numpy(), torch.arange(3.0))
    with pytest.raises(ValueError, match=r"scores must be finite, got 1 .* of 3 \(clean, d\)"):
        plot_scores({"clean": {"d": torch.tensor([1.0, NAN, 2.0])}}, "")
    assert roc(torch.arange(3.0, requires_grad=True), torch.arange(3.0)).auc == 0.5


class Lost(nn.Module):
    """A reformer that loses the axis of channels, which would be broadcast to N×N images."""

    def forward(self, images):
        return images.squeeze(1)


def test_reconstructions_that_lost_an_axis_are_never_broadcast():
    for call in (
        lambda: evaluate_defense(CLASSIFIER, Lost(), TEST, FGSM(0.1)),
        lambda: predict(ReformedClassifier(Lost(), CLASSIFIER), X),
        lambda: apply_model(type(DETECTORS[0])(Lost(), 1), X),
        lambda: squared_error(X, X[:, 0]),
        lambda: is_constant(X[:, 0], X),
    ):
        with pytest.raises(ValueError, match=r"\(\d, 28, 28\)"):
            call()


# ---- elsewhere


def test_what_is_no_number_is_no_accuracy_and_no_estimate():
    right = torch.tensor([[1.0, 0.0, NAN]])
    for call in (lambda: estimate(right), lambda: difference(right, torch.ones(1, 3))):
        with pytest.raises(ValueError, match="finite numbers, got 1 NaN or infinite ones of 3"):
            call()
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        is_constant(X[:1], X[:1])
    with pytest.raises(ValueError, match="finite"):
        is_constant(X * NAN, X)
    spoiled = type(TEST)(X.clone(), Y)
    spoiled.images[3] = NAN
    with pytest.raises(ValueError, match=r"finite numbers, got NaN .* first in number 3"):
        evaluate_accuracy(CLASSIFIER, spoiled)
    run = PGD(0.1, "given", steps=1).run(CLASSIFIER, X, Y)
    run.adversarial[0] = NAN
    for norm, size in (("L2", 1.0), ("L3", 1.0), ("L2", NAN)):
        with pytest.raises(ValueError, match="got"):
            run.within(norm, size)


def test_losses_of_odd_images_and_networks():
    with pytest.raises(
        ValueError, match=r"must be pairs, shape .N, 2, 28, 28., got .6, 1, 28, 28.: take data.PairedImages"
    ):
        FixedNoiseLoss(0.1)(AUTOENCODER, X, Y, GENERATOR)
    with pytest.raises(ValueError, match="must return floating-point logits"):
        ClassificationLoss()(AUTOENCODER, X, Y, GENERATOR)
    with pytest.raises(ValueError, match=r"got torch.uint8: for bytes"):
        squared_error((255 * X).byte(), (254 * X).byte())


def test_codes_and_images_of_a_jacobian():
    with pytest.raises(ValueError, match=r"codes must have shape \(N, m\) .* got \(2,\) and \(2, 2\)"):
        sigmoid_layer_frobenius_squared(torch.rand(2), torch.eye(2))
    encode = nn.Sequential(nn.Flatten(), nn.Linear(784, 3))
    for projections in (None, 1):
        with pytest.raises(ValueError, match=r"must be given images of torch.float32, got torch.float64"):
            jacobian_frobenius_squared(encode, X.double(), projections=projections)
        assert jacobian_frobenius_squared(encode, X[:0], projections=projections).shape == (0,)


def test_complex_numbers_are_no_answer_of_a_student():
    assert not compare(torch.ones(3) + 1j, torch.ones(3))
    assert "expected numbers" in compare(1 + 2j, 1.0).message


@pytest.mark.parametrize("at", range(0, 784, 53))
@pytest.mark.parametrize("network", [ConvClassifier(), ConvAutoencoder()], ids=["classifier", "autoencoder"])
def test_compiled_loops_let_no_nan_disappear(network, at):
    images = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(at))
    images.view(-1)[at] = NAN
    assert outputs_of(network, images).isnan().any()


@pytest.mark.parametrize(
    "shape", [(2, 3, 28, 28), (2, 4, 28, 28), (2, 2, 28, 28), (2, 0, 28, 28), (3, 28, 28), (2, 28, 28, 3)]
)
def test_compiled_loops_take_no_channel_out_of_many(shape):
    plain = ConvClassifier()
    images = torch.rand(shape)
    for network in (plain, plain.features, ConvAutoencoder().encoder, ContractiveAutoencoder()):
        with pytest.raises(ValueError, match=r"shape|channel"):
            apply_model(network, images)
