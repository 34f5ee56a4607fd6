import dataclasses
import math
import warnings

import pytest
import torch
from tiny import InterruptedLoss, MemoryCheckpoint, tiny_autoencoder, tiny_classifier, tiny_images
from torch import nn

from magnet_helpers.losses import ClassificationLoss, DenoisingLoss, ReconstructionLoss
from magnet_helpers.models import ConvAutoencoder
from magnet_helpers.seeds import initial_weights_from
from magnet_helpers.training import CollapseWarning, Epoch, History, TrainingConfig, TrainingDivergedError, fit

CPU = torch.device("cpu")
TRAIN, VALIDATION = tiny_images(22), tiny_images(9, seed=1)
CONFIG = TrainingConfig(epochs=3, batch_size=8, seed=5)
NOISY = DenoisingLoss(0.3)


def trained(loss=NOISY, config=CONFIG, model=None, **keywords):
    model = model or tiny_autoencoder()
    history = fit(model, loss, TRAIN, VALIDATION, config, device=CPU, **keywords)
    return model, history


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_an_error(value):
    checkpoint = MemoryCheckpoint()
    bad = InterruptedLoss(NOISY, 5, lambda: torch.full((), value, requires_grad=True))
    with pytest.raises(TrainingDivergedError, match=r"^DAE 7: the loss is no finite number in epoch 2 .*0\.001"):
        trained(bad, label="DAE 7", checkpoint=checkpoint)
    assert len(checkpoint.saved[1]) == 1, "the last good epoch is kept, and no other"


def test_a_validation_loss_that_is_no_number_is_an_error():
    def loss(model, images, labels, generator):
        return ReconstructionLoss()(model, images, labels, generator) * (1 if model.training else math.nan)

    with pytest.raises(TrainingDivergedError, match=r"epoch 1 .*validation nan"):
        trained(loss)


def dead_autoencoder():
    with initial_weights_from(0):
        model = ConvAutoencoder()
    for parameter in model.decoder.parameters():
        nn.init.zeros_(parameter)
    return model


def test_a_collapsed_autoencoder_is_noticed():
    config = TrainingConfig(epochs=1, batch_size=8, learning_rate=1e-9)
    with pytest.warns(CollapseWarning, match=r"^DAE 7 has collapsed: .*seed or a smaller learning rate") as caught:
        _, history = trained(config=config, model=dead_autoencoder(), label="DAE 7")
    assert history.collapsed
    assert len(caught) == 1


def test_what_has_not_collapsed_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not trained()[1].collapsed
        constant = tiny_classifier()
        for parameter in constant.parameters():
            nn.init.zeros_(parameter)
        still = TrainingConfig(epochs=1, learning_rate=1e-30)
        assert not trained(ClassificationLoss(), still, model=constant)[1].collapsed


def test_one_validation_image_is_enough():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = fit(tiny_autoencoder(), NOISY, TRAIN, VALIDATION.first(1), CONFIG, device=CPU)
    assert not history.collapsed


@pytest.mark.parametrize("name", ["epochs", "batch_size", "learning_rate"])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_impossible_settings(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*(at least 1|more than 0), got {value}"):
        TrainingConfig(**{"epochs": 1, name: value})


@pytest.mark.parametrize("schedule", ["cosine", "", None])
def test_unknown_schedules(schedule):
    with pytest.raises(ValueError, match=f"schedule must be one of constant, linear, linear tail, got {schedule!r}"):
        TrainingConfig(1, schedule=schedule)


def test_step_sizes():
    assert [TrainingConfig(1, learning_rate=8.0).step_size(progress) for progress in (0, 0.5, 0.75)] == [8, 8, 8]
    linear = TrainingConfig(1, learning_rate=8.0, schedule="linear")
    assert [linear.step_size(progress) for progress in (0, 0.05, 0.1, 0.55, 1)] == pytest.approx([0, 4, 8, 4, 0])
    tail = TrainingConfig(1, learning_rate=8.0, schedule="linear tail")
    assert [tail.step_size(progress) for progress in (0, 0.5, 0.75, 0.875)] == [8, 8, 8, 4]


def test_the_defaults_are_the_papers():
    config = TrainingConfig(20)
    assert (config.batch_size, config.learning_rate, config.schedule) == (64, 1e-3, "constant")
    assert (config.betas, config.adam_epsilon) == ((0.9, 0.999), 1e-7)
    assert config == TrainingConfig(epochs=20)
    assert repr(config) == (
        "TrainingConfig(epochs=20, batch_size=64, learning_rate=0.001, betas=(0.9, 0.999), adam_epsilon=1e-07, "
        "schedule='constant', seed=0, cpu_threads=None, precision='auto')"
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.epochs = 3


def test_an_empty_history_took_no_time():
    assert History().seconds == 0
    assert History((Epoch(1.0, 2.0, 3.5), Epoch(1.0, 2.0, 0.25))).seconds == 3.75
