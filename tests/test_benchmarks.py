"""What the course is measured against does the same work."""

import pytest
import torch
from tiny import equal

from benchmarks import textbook
from benchmarks.training import BATCH_SIZE, CASES, images_and_labels, operations_per_image
from magnet_helpers.losses import ContractiveLoss, DenoisingLoss


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_textbooks_network_is_ours(case):
    ours, theirs = case.build(), case.textbook()
    for mine, other in zip(_in_order(ours), theirs.parameters(), strict=True):
        other.data.copy_(mine.data)
    images = images_and_labels(3).images
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


def _in_order(model):
    """Return the parameters in the order of the layers: the dense layer of a contractive autoencoder is listed last."""
    named = sorted(model.named_parameters(), key=lambda pair: pair[0].startswith("decoder"))
    return [value for _, value in named] if hasattr(model, "dense") else list(model.parameters())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_textbooks_loss_is_ours(case):
    """Without noise, whose draws differ, and on average over them the error is of the same size."""
    ours, theirs, data = case.build(), case.textbook(), images_and_labels(BATCH_SIZE)
    for mine, other in zip(_in_order(ours), theirs.parameters(), strict=True):
        other.data.copy_(mine.data)
    one = case.loss(ours, data.images, data.labels, torch.Generator().manual_seed(0)).item()
    torch.manual_seed(0)
    other = case.textbook_loss(theirs, data.images, data.labels).item()
    random = isinstance(case.loss, DenoisingLoss | ContractiveLoss)
    assert one == pytest.approx(other, rel=1e-2 if random else 1e-5)


def test_training_by_the_textbook_changes_the_weights():
    model, data = textbook.autoencoder(), images_and_labels(8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert textbook.train(model, textbook.denoising, data.images, data.labels, 4) > 0
    assert not equal(before, model.state_dict())


def test_operations_are_those_worked_out_by_hand():
    # Multiply-adds of the autoencoder's layers, forward; backward twice that, but the images need no gradient.
    layers = [9 * 32 * 784, 9 * 32 * 32 * 196, 9 * 32 * 32 * 49, 9 * 32 * 196]
    assert operations_per_image(CASES[1]) == 2 * (3 * sum(layers) - layers[0])
