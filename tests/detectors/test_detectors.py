import math
import warnings

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import nn

from magnet_helpers.defenses import VANILLA
from magnet_helpers.detectors import (
    DetectorSpec,
    DivergenceDetector,
    ReconstructionDetector,
    UncertainRateWarning,
    choose_threshold,
    jensen_shannon,
)
from magnet_helpers.models import ConvAutoencoder, ConvClassifier
from magnet_helpers.study.grid import DETECTORS

IMAGES = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))


class Darken(nn.Module):
    def forward(self, images):
        return 0.5 * images


# ---- scores


@pytest.mark.parametrize("p", [1, 2])
def test_the_reconstruction_error_is_the_mean_power_of_the_difference(p):
    scores = ReconstructionDetector(Darken(), p)(IMAGES)
    by_hand = [np.mean(np.abs(image - 0.5 * image) ** p) for image in IMAGES.double().numpy()]
    assert scores.tolist() == pytest.approx(by_hand, rel=1e-5)


def test_the_divergence_is_that_of_scipy():
    torch.manual_seed(0)
    classifier, autoencoder = ConvClassifier().double(), ConvAutoencoder().double()
    images = IMAGES.double()
    with torch.no_grad():
        scores = DivergenceDetector(autoencoder, classifier, temperature=0.05)(images)
        first = torch.softmax(classifier(images) / 0.05, dim=1)
        second = torch.softmax(classifier(autoencoder(images)) / 0.05, dim=1)
    expected = [jensenshannon(a, b) ** 2 for a, b in zip(first.numpy(), second.numpy(), strict=True)]
    assert scores.tolist() == pytest.approx(expected, rel=1e-9)
    assert min(expected) > 1e-6, "else nothing is compared"


def test_the_divergence_of_certainties():
    sure = torch.tensor([[0.0, -200.0], [0.0, -200.0]])
    other = torch.tensor([[-200.0, 0.0], [0.0, -200.0]]).requires_grad_()
    divergence = jensen_shannon(sure, other)
    assert divergence.tolist() == pytest.approx([math.log(2), 0], abs=1e-6)
    divergence.sum().backward()
    assert other.grad.isfinite().all()


def test_a_detector_gives_the_attacker_a_gradient():
    torch.manual_seed(0)
    classifier, autoencoder = ConvClassifier(), ConvAutoencoder()
    for detector in (ReconstructionDetector(autoencoder, 1), DivergenceDetector(autoencoder, classifier, 10)):
        images = IMAGES.clone().requires_grad_()
        detector(images).sum().backward()
        assert images.grad.abs().amax(dim=(1, 2, 3)).min() > 0


def test_what_makes_no_detector():
    with pytest.raises(ValueError, match="p must be 1 or 2, got 3"):
        ReconstructionDetector(Darken(), 3)
    with pytest.raises(ValueError, match="temperature must be more than 0, got 0"):
        DivergenceDetector(Darken(), Darken(), 0)


# ---- thresholds


SCORES = torch.tensor([3.0, 1.0, 4.0, 1.5, 5.0, 9.0, 2.0, 6.0, 5.5, 3.5])


@pytest.mark.parametrize(
    ("rate", "value", "rejected"), [(0.1, 6.0, 1), (0.2, 5.5, 2), (0.25, 5.5, 2), (0.3, 5.0, 3), (0.9, 1.0, 9)]
)
def test_the_threshold_is_the_smallest_that_rejects_no_more_than_wanted(rate, value, rejected):
    threshold = choose_threshold(SCORES, rate)
    assert (threshold.value, threshold.rejected, threshold.total) == (value, rejected, 10)
    assert int((threshold.value < SCORES).sum()) == rejected
    # any smaller threshold rejects too many
    assert int((value <= SCORES).sum()) > rate * 10


@pytest.mark.parametrize("n", [3, 100, 999])
def test_against_numpys_quantile(n):
    scores = torch.rand(n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    for rate in (0.01, 0.05, 0.29, 0.5):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UncertainRateWarning)
            threshold = choose_threshold(scores, rate)
        expected = np.quantile(scores.numpy(), 1 - rate, method="inverted_cdf")
        assert threshold.value == pytest.approx(expected, abs=0)


def test_rates_of_none_and_all():
    none, all_of_them = choose_threshold(SCORES, 0), choose_threshold(SCORES, 1)
    assert (none.value, none.rejected) == (9.0, 0)
    assert (all_of_them.value, all_of_them.rejected) == (-math.inf, 10)
    assert all_of_them.achieved.value == 1


def test_equal_scores_are_accepted_or_rejected_together():
    ties = torch.tensor([1.0, 2.0, 2.0, 2.0, 3.0])
    assert (choose_threshold(ties, 0.4).value, choose_threshold(ties, 0.4).rejected) == (2.0, 1)
    assert choose_threshold(torch.ones(5), 0.4).rejected == 0


def test_a_rate_of_less_than_one_image_is_named():
    with pytest.warns(UncertainRateWarning, match=r"0\.001 is less than one of 10 images.*up to about 0\.3"):
        threshold = choose_threshold(SCORES, 0.001)
    assert (threshold.value, threshold.rejected) == (9.0, 0)
    low, high = threshold.achieved.interval
    assert low == 0
    assert high > 0.2
    with pytest.warns(UncertainRateWarning):
        assert choose_threshold(SCORES[:1], 0.5).value == 3.0


@pytest.mark.filterwarnings("error")
def test_magnets_own_rate_on_its_own_number_of_images():
    threshold = choose_threshold(torch.arange(5000.0), 0.001)
    assert (threshold.value, threshold.rejected) == (4994.0, 5)
    assert threshold.achieved.interval == pytest.approx((0.0004, 0.0023), abs=1e-4)


@pytest.mark.parametrize(
    ("scores", "rate", "message"),
    [
        (SCORES, 1.5, r"must be in \[0, 1\], got 1.5"),
        (SCORES, -0.1, r"must be in \[0, 1\], got -0.1"),
        (SCORES, math.nan, r"a finite number, in \[0, 1\], got nan"),
        (SCORES[:0], 0.1, r"at least one clean image, .*got \(0,\)"),
        (SCORES[None], 0.1, r"shape \(N,\), got torch.float32 of shape \(1, 10\)"),
        (torch.tensor([1.0, math.nan]), 0.1, "1 of them not finite"),
    ],
)
def test_what_no_threshold_can_be_chosen_from(scores, rate, message):
    with pytest.raises(ValueError, match=message):
        choose_threshold(scores, rate)


# ---- by name


def test_detectors_are_made_by_name():
    torch.manual_seed(0)
    classifier, autoencoder = ConvClassifier(), ConvAutoencoder()
    by_error, by_divergence = (each.build(autoencoder, classifier) for each in (DETECTORS[1], DETECTORS[3]))
    assert (by_error.label, by_error.p) == ("MagNet's AE 2: reconstruction, p = 1", 1)
    assert (by_divergence.label, by_divergence.temperature) == ("MagNet's AE 1: divergence, T = 40", 40)
    assert torch.equal(by_error(IMAGES), ReconstructionDetector(autoencoder, 1)(IMAGES))
    assert torch.equal(by_divergence(IMAGES), DivergenceDetector(autoencoder, classifier, 40)(IMAGES))
    assert len({each.build(autoencoder, classifier).label for each in DETECTORS}) == 4


@pytest.mark.parametrize("settings", [{}, {"p": 1, "temperature": 10}])
def test_a_detector_is_of_one_kind(settings):
    with pytest.raises(ValueError, match="either p or a temperature"):
        DetectorSpec(VANILLA, **settings)
