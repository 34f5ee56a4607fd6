"""A training that was interrupted and goes on from its file ends like one that was not: the same bits throughout."""

import dataclasses

import pytest
import torch
from tiny import InterruptedLoss, equal, tiny_autoencoder, tiny_images, weights
from torch import nn

from magnet_helpers.lab.store import FileCheckpoint
from magnet_helpers.losses import (
    ClassificationLoss,
    ContractiveLoss,
    DenoisingLoss,
    DenseLayerContractiveLoss,
    PublishedContractiveLoss,
    ReconstructionLoss,
)
from magnet_helpers.models import (
    ContractiveAutoencoder,
    ConvAutoencoder,
    ConvClassifier,
    MagNetAutoencoder1,
    MagNetAutoencoder2,
    PublishedContractiveAutoencoder,
    StackedAutoencoder,
)
from magnet_helpers.seeds import initial_weights_from
from magnet_helpers.training import TrainingConfig, fit

CPU = torch.device("cpu")
TRAIN, VALIDATION = tiny_images(22), tiny_images(9, seed=1)
STEPS_PER_EPOCH = 3  # batches of 8, 8 and 6 images
CONFIG = TrainingConfig(epochs=4, batch_size=8, seed=5, precision="float32")


def stack():
    return StackedAutoencoder([ConvAutoencoder(), ConvAutoencoder()])


def half_frozen():
    model = ConvAutoencoder()
    next(model.parameters()).requires_grad_(False)
    return model


def turned():
    """Return an autoencoder whose weights lie in memory neither row by row nor channels-last, with batch statistics."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))
    for parameter in model.parameters():
        axes = tuple(reversed(range(parameter.ndim)))
        parameter.data = parameter.data.permute(axes).contiguous().permute(axes)
    return model


NETWORKS = {
    "classifier": (ConvClassifier, ClassificationLoss()),
    "vanilla": (ConvAutoencoder, ReconstructionLoss()),
    "denoising": (ConvAutoencoder, DenoisingLoss(0.3)),
    "stack": (stack, DenoisingLoss(0.3)),
    "contractive": (ContractiveAutoencoder, ContractiveLoss(1e-3)),
    "dense layer": (ContractiveAutoencoder, DenseLayerContractiveLoss(1e-3)),
    "published contractive": (PublishedContractiveAutoencoder, PublishedContractiveLoss(1e-3)),
    "MagNet 1": (MagNetAutoencoder1, DenoisingLoss(0.1)),
    "MagNet 2": (MagNetAutoencoder2, DenoisingLoss(0.1)),
    "half frozen": (half_frozen, DenoisingLoss(0.3)),
    "turned": (turned, DenoisingLoss(0.3)),
    "dense": (tiny_autoencoder, DenoisingLoss(0.3)),
}


def stop():
    raise KeyboardInterrupt


def built(build, seed=0):
    with initial_weights_from(seed):
        return build()


def losses(history):
    return [(epoch.training_loss, epoch.validation_loss) for epoch in history.epochs]


def same_after_interruptions(folder, build, loss, config, steps):
    """Train once in one go, and once interrupted in each of these steps, each time going on in a new network.

    What is saved is all that may count, so once there is a file the new network begins elsewhere. Only the author's
    contractive one has to begin as before: it remembers its first weights.
    """
    whole, parts = (
        FileCheckpoint(folder / "whole.safetensors", "key"),
        FileCheckpoint(folder / "parts.safetensors", "key"),
    )
    model = built(build)
    history = fit(model, loss, TRAIN, VALIDATION, config, device=CPU, checkpoint=whole)
    before = 0
    for number, step in enumerate((*steps, None)):
        elsewhere = parts.path.exists() and build is not PublishedContractiveAutoencoder
        again = built(build, seed=number if elsewhere else 0)
        done = before - before % STEPS_PER_EPOCH
        if step is None:
            resumed = fit(again, loss, TRAIN, VALIDATION, config, device=CPU, checkpoint=parts)
        else:
            interrupted = InterruptedLoss(loss, step - done, stop)
            with pytest.raises(KeyboardInterrupt):
                fit(again, interrupted, TRAIN, VALIDATION, config, device=CPU, checkpoint=parts)
            before = step - 1
    assert losses(resumed) == losses(history)
    assert equal(weights(again), weights(model))
    ours, theirs = parts.load(), whole.load()
    assert equal(ours[0], theirs[0]), "Adam's moments differ"
    assert any(name.endswith("exp_avg_sq") for name in ours[0])


@pytest.mark.parametrize("fast", ["1", "0"], ids=["fast", "plain"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_ends_with_the_same_bits(tmp_path, monkeypatch, name, precision, fast):
    """Interrupted in the second epoch and in the last."""
    monkeypatch.setenv("MAGNET_FAST", fast)
    config = dataclasses.replace(CONFIG, precision=precision)
    same_after_interruptions(tmp_path, *NETWORKS[name], config, (5, 11))


@pytest.mark.parametrize("steps", [(1,), (3,), (4,), (6,), (7, 8, 9), (2, 4, 7, 10), (12,)])
@pytest.mark.parametrize("schedule", ["constant", "linear", "linear tail"])
def test_wherever_and_however_often_it_is_interrupted(tmp_path, steps, schedule):
    same_after_interruptions(tmp_path, *NETWORKS["denoising"], dataclasses.replace(CONFIG, schedule=schedule), steps)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_layout_in_which_a_network_arrives_does_not_count(tmp_path, layout):
    build, loss = NETWORKS["denoising"]
    same_after_interruptions(tmp_path, lambda: build().to(memory_format=layout), loss, CONFIG, (5, 11))


@pytest.mark.parametrize("build", [ConvClassifier, ConvAutoencoder, stack, turned])
def test_moments_lie_in_memory_like_their_parameters(tmp_path, build, monkeypatch):
    """What walks through both finds the number of the same weight at the same place."""
    seen = []
    step = torch.optim.Adam.step

    def looking(self, *arguments):
        for parameter, moments in self.state.items():
            seen.extend(moments[name].stride() == parameter.stride() for name in ("exp_avg", "exp_avg_sq"))
        return step(self, *arguments)

    checkpoint = FileCheckpoint(tmp_path / "checkpoint.safetensors", "key")
    loss = ClassificationLoss() if build is ConvClassifier else ReconstructionLoss()
    fit(built(build), loss, TRAIN, VALIDATION, dataclasses.replace(CONFIG, epochs=1), device=CPU, checkpoint=checkpoint)
    monkeypatch.setattr(torch.optim.Adam, "step", looking)
    fit(built(build), loss, TRAIN, VALIDATION, dataclasses.replace(CONFIG, epochs=2), device=CPU, checkpoint=checkpoint)
    assert seen
    assert all(seen)
