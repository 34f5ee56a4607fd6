import dataclasses

import pytest

from magnet_helpers.defenses import VANILLA, contractive, denoising, stacked
from magnet_helpers.lab import tasks
from magnet_helpers.lab.budget import PAPER
from magnet_helpers.lab.trainings import TrainingSpecs
from magnet_helpers.losses import (
    DenoisingLoss,
)
from magnet_helpers.models import (
    ContractiveAutoencoder,
)

SPECS = TrainingSpecs(PAPER, seed=0)


def key(spec, data="abc"):
    settings = spec.settings(data)
    return repr(sorted(settings.items()))


def test_keys_are_stable_and_plain():
    assert key(SPECS.reformer(denoising(0.3))) == key(TrainingSpecs(PAPER, 0).reformer(denoising(0.3)))
    settings = SPECS.reformer(stacked(2, 0.4)).settings("abc")
    assert (settings["kind"], settings["name"], settings["data"]) == ("network", "SDAE(2), noise 0.4", "abc")
    assert [parent["name"] for parent in settings["parents"]] == ["DAE, noise 0.4", "DAE, noise 0.4 stage 2"]


def with_budget(**changes):
    return TrainingSpecs(dataclasses.replace(PAPER, **changes), 0).reformer(stacked(2, 0.4))


@pytest.mark.parametrize(
    "other",
    [
        SPECS.reformer(stacked(2, 0.3)),
        SPECS.reformer(stacked(3, 0.4)),
        SPECS.reformer(denoising(0.4)),
        TrainingSpecs(PAPER, seed=1).reformer(stacked(2, 0.4)),
        dataclasses.replace(SPECS.reformer(stacked(2, 0.4)), loss=DenoisingLoss(0.41)),
        with_budget(stack_epochs=21),
        with_budget(pretraining_epochs=11),
        with_budget(autoencoder_images=100),
        with_budget(validation_images=100),
        with_budget(autoencoder_batch_size=32),
        with_budget(autoencoder_learning_rate=3e-3),
        with_budget(autoencoder_schedule="linear"),
    ],
)
def test_whatever_the_weights_follow_from_changes_the_key(other):
    assert key(other) != key(SPECS.reformer(stacked(2, 0.4)))


def test_the_data_change_the_key_of_a_network_and_of_its_parents():
    spec = SPECS.reformer(stacked(2, 0.4))
    one, two = spec.settings("abc"), spec.settings("abd")
    assert one != two
    assert all(a != b for a, b in zip(one["parents"], two["parents"], strict=True))


def test_the_code_changes_the_key(monkeypatch):
    before = key(SPECS.classifier())
    monkeypatch.setattr(tasks, "code_version", lambda *_, **__: "another")
    assert key(SPECS.classifier()) != before


def test_what_the_weights_do_not_follow_from_leaves_the_key():
    assert key(with_budget(test_images=7, curve_images=7, classifier_epochs=7, classifier_schedule="linear")) == key(
        with_budget()
    )


def test_every_defence_has_its_own_key():
    specs = [SPECS.classifier(), SPECS.reformer(VANILLA)]
    specs += [SPECS.reformer(stacked(size, level)) for size in (1, 2, 3) for level in (0.1, 0.2)]
    specs += [SPECS.reformer(contractive(weight)) for weight in (0.0, 1e-5, 1e-4)]
    assert len({key(spec) for spec in specs}) == len(specs)


@pytest.mark.parametrize(("one", "other"), [(contractive(0), contractive(0.0)), (denoising(1), denoising(1.0))])
def test_equal_defences_have_equal_keys(one, other):
    assert one == other
    assert key(SPECS.reformer(one)) == key(SPECS.reformer(other))


def test_another_network_with_the_same_name_and_loss_has_another_key():
    spec = SPECS.reformer(VANILLA)
    wide = dataclasses.replace(spec, build=ContractiveAutoencoder)
    assert key(wide) != key(spec)
