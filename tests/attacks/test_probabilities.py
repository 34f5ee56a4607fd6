"""A classifier that returns probabilities: said wherever what is made of its answers needs logits, and nowhere else."""

import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import steep_classifier, tiny_autoencoder, tiny_classifier, tiny_images
from torch import nn

from magnet_helpers.attacks import (
    DDN,
    FGSM,
    JSMA,
    PGD,
    ZOO,
    CarliniWagner,
    DetectorAwareCarliniWagner,
    DetectorAwarePGD,
    ElasticNet,
    Ensemble,
    ExpectationOverTransformation,
    HopSkipJump,
    RandomNoise,
    Square,
    Transferred,
)
from magnet_helpers.contracts import ProbabilitiesWarning, warn_of_probabilities
from magnet_helpers.detectors import DivergenceDetector, ReconstructionDetector
from magnet_helpers.inference import outputs_of_a_few, predict
from magnet_helpers.magnet import MagNet

IMAGES = tiny_images(4).images
LOGITS = steep_classifier(10)
LABELS = predict(LOGITS, IMAGES)
PROBABILITIES = nn.Sequential(LOGITS, nn.Softmax(dim=1))
LOG_PROBABILITIES = nn.Sequential(LOGITS, nn.LogSoftmax(dim=1))
SHORT = {"iterations": 2, "searches": 1}
IN_LOGITS = (
    *(CarliniWagner(**SHORT), ElasticNet(**SHORT), ZOO(**SHORT, pixels=2), DetectorAwareCarliniWagner(**SHORT)),
    *(JSMA(gamma=0.01), Square(queries=2)),
)
MADE_ON_DETECTORS = (DetectorAwarePGD(steps=2), DetectorAwarePGD(labels="given", steps=2, restarts=2))
BY_ANSWERS_OR_ENTROPY = (
    *(FGSM(), PGD(steps=2), DDN(2), RandomNoise()),
    HopSkipJump(steps=1, queries=4, first_queries=2),
)


def warned(act):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        act()
    return [str(each.message) for each in caught if each.category is ProbabilitiesWarning]


def whole(network):
    return MagNet(network, None, {})


@pytest.mark.parametrize("attack", [*IN_LOGITS, *MADE_ON_DETECTORS], ids=repr)
def test_an_attack_in_logits_says_once_that_probabilities_weaken_it(attack):
    for act in (attack.run, attack.perturb):
        (message,) = warned(lambda act=act: act(whole(PROBABILITIES), IMAGES, LABELS))
        assert message.startswith(
            f"a {type(attack).__name__} of a MagNet needs logits, but the classifier's outputs are"
        )
        for network in (LOGITS, LOG_PROBABILITIES):
            assert not warned(lambda act=act, network=network: act(whole(network), IMAGES, LABELS))


class Pair(nn.Module):
    def forward(self, images):
        return LOGITS(images), images


@pytest.mark.parametrize("attack", [*IN_LOGITS, *MADE_ON_DETECTORS, *BY_ANSWERS_OR_ENTROPY], ids=repr)
@pytest.mark.parametrize("network", [Pair(), nn.Sequential(LOGITS, nn.Flatten(0))], ids=["a pair", "a lost axis"])
def test_what_is_neither_logits_nor_probabilities_is_refused_first(attack, network):
    with pytest.raises(ValueError, match="a classifier must return"):
        attack.perturb(whole(network), IMAGES, LABELS)


@pytest.mark.parametrize("attack", BY_ANSWERS_OR_ENTROPY, ids=repr)
def test_an_attack_that_probabilities_do_not_weaken_says_nothing(attack):
    assert not warned(lambda: attack.run(PROBABILITIES, IMAGES, LABELS))


def test_it_is_the_source_of_a_transfer_that_counts():
    attack = Transferred(IN_LOGITS[0], PROBABILITIES, "another")
    assert len(warned(lambda: attack.run(LOGITS, IMAGES, LABELS))) == 1
    assert not warned(lambda: Transferred(IN_LOGITS[0], LOGITS, "another").run(PROBABILITIES, IMAGES, LABELS))


@pytest.mark.parametrize("attack", [JSMA(), Square(0.1, queries=200)], ids=repr)
def test_what_rounds_to_0_and_1_misleads_attacks_that_compare_outputs(attack):
    sure = steep_classifier(3000)
    images = tiny_images(12).images
    labels = predict(sure, images)
    fooled = [
        int(attack.run(nn.Sequential(sure, last), images, labels).success.sum())
        for last in (nn.Identity(), nn.LogSoftmax(dim=1), nn.Softmax(dim=1))
    ]
    assert fooled[0] == fooled[1] >= 10
    assert fooled[2] <= 7


def test_log_probabilities_weaken_nothing():
    attack = CarliniWagner(2, iterations=40, searches=3, first_c=1, learning_rate=0.1)
    logits, logs, probabilities = (
        attack.run(network, IMAGES, LABELS).success for network in (LOGITS, LOG_PROBABILITIES, PROBABILITIES)
    )
    assert torch.equal(logits, logs)
    assert logits.all()
    assert not probabilities.all()


@pytest.mark.parametrize(
    "mean", [lambda model: Ensemble([LOGITS, model]), lambda model: ExpectationOverTransformation(model, 2)]
)
def test_a_mean_of_networks_says_so_once(mean):
    network = mean(PROBABILITIES)
    assert warned(lambda: predict(network, IMAGES))
    assert not warned(lambda: predict(network, IMAGES))
    assert not warned(lambda: predict(mean(LOG_PROBABILITIES), IMAGES))


def test_a_divergence_of_softened_answers_says_so_once():
    autoencoder = tiny_autoencoder()

    def calibrated(classifier, kind):
        detectors = [kind(autoencoder, classifier)]
        return warned(lambda: MagNet.calibrated(classifier, None, detectors, IMAGES, 0.5))

    (message,) = calibrated(PROBABILITIES, lambda *networks: DivergenceDetector(*networks, 10))
    assert message.startswith("a DivergenceDetector needs logits")
    assert not calibrated(LOGITS, lambda *networks: DivergenceDetector(*networks, 10))
    assert not calibrated(LOG_PROBABILITIES, lambda *networks: DivergenceDetector(*networks, 10))
    assert not calibrated(PROBABILITIES, lambda autoencoder, _: ReconstructionDetector(autoencoder, 1))


@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 99), st.sampled_from(["float32", "float64", "bfloat16"]))
def test_logits_raise_no_false_alarm_and_probabilities_are_known(classes, count, seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator, dtype=torch.float64)
    probabilities = (20 * logits).softmax(dim=1).to(getattr(torch, dtype))
    assert len(warned(lambda: warn_of_probabilities(probabilities, "it"))) == 1
    for others in (logits, logits.log_softmax(dim=1), logits.sigmoid(), -probabilities, 1.1 * probabilities):
        assert not warned(lambda others=others: warn_of_probabilities(others.to(getattr(torch, dtype)), "it"))
    assert not warned(lambda: warn_of_probabilities(torch.zeros(count, classes), "it"))


def test_all_images_have_to_look_so():
    outputs = torch.tensor([[0.25, 0.75], [0.5, 0.75]])
    assert not warned(lambda: warn_of_probabilities(outputs, "it"))
    assert warned(lambda: warn_of_probabilities(outputs[:1], "it"))
    assert not warned(lambda: warn_of_probabilities(outputs[:0], "it"))


def test_the_classifier_is_asked_without_a_trace():
    model = nn.Sequential(tiny_classifier(), nn.Dropout()).train()
    calls, state = [], torch.get_rng_state()
    model.register_forward_hook(lambda *_: calls.append(1))
    assert outputs_of_a_few(model, IMAGES.repeat(9, 1, 1, 1)).shape == (16, 10)
    assert model.training
    assert not calls
    assert torch.equal(torch.get_rng_state(), state)
