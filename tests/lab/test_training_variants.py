import dataclasses

import pytest
import torch
from tiny import equal, tiny_autoencoder, tiny_images, weights

from magnet_helpers.defenses import contractive, denoising, stacked
from magnet_helpers.lab.budget import PAPER
from magnet_helpers.lab.trainings import TrainingSpecs, _start_from_parents
from magnet_helpers.losses import (
    DenseLayerContractiveLoss,
    PublishedContractiveLoss,
)
from magnet_helpers.models import (
    PublishedContractiveAutoencoder,
)
from magnet_helpers.seeds import new_generator
from magnet_helpers.training import fit

TRAIN, VALIDATION = tiny_images(5), tiny_images(3, seed=1)
SPECS = TrainingSpecs(PAPER, seed=0)


def key(spec, data="abc"):
    settings = spec.settings(data)
    return repr(sorted(settings.items()))


def test_stages_on_noisy_images_learn_from_what_the_first_makes_of_noise():
    defense = stacked(3, 0.4).but(stage_inputs="noisy")
    stages, plain = SPECS.stages(defense), SPECS.stages(stacked(3, 0.4))
    assert key(stages[0]) == key(plain[0]), "the first stage learns from the data in both"
    assert all(key(one) != key(other) for one, other in zip(stages[1:], plain[1:], strict=True))
    first, model = tiny_autoencoder(1), tiny_autoencoder(2)
    train, validation = _start_from_parents(stages[1], model, [first], TRAIN, VALIDATION)
    for got, clean in ((train, TRAIN), (validation, VALIDATION)):
        generator = new_generator(stages[1].config.seed, f"stage inputs of {len(clean)} images")
        by_hand = first((clean.images + 0.4 * torch.randn(clean.images.shape, generator=generator)).clamp(0, 1))
        torch.testing.assert_close(got.images, by_hand.detach(), rtol=0, atol=1e-6)
        assert not torch.allclose(got.images, first(clean.images), atol=1e-3)


def test_fixed_noise_is_drawn_once():
    spec = SPECS.reformer(denoising(0.3).but(noise="fixed"))
    one, other = (_start_from_parents(spec, tiny_autoencoder(), [], TRAIN, VALIDATION) for _ in range(2))
    assert torch.equal(one[0].images, other[0].images)
    assert one[0].images.shape == (len(TRAIN), 2, 28, 28)
    assert torch.equal(one[0].images[:, :1], TRAIN.images)
    change = one[0].images[:, 1:] - TRAIN.images
    untouched = (TRAIN.images > 0.4) & (TRAIN.images < 0.6)  # hardly ever clipped
    assert change[untouched].std().item() == pytest.approx(0.28, abs=0.05)  # 0.3, with clipped tails
    assert not torch.equal(one[0].images[:3, 1:] - TRAIN.images[:3], one[1].images[:, 1:] - VALIDATION.images)


def test_variants_are_what_they_say():
    wide = SPECS.reformer(stacked(2, 0.4).but(decoder_width=64)).untrained()
    assert [stage.decoder[0].out_channels for stage in wide.stages] == [64, 64]
    assert all(
        stage.untrained().decoder[0].out_channels == 64 for stage in SPECS.stages(stacked(2, 0.4).but(decoder_width=64))
    )
    published = SPECS.reformer(contractive(1e-3).but(penalty="published", decoder_width=64))
    assert isinstance(published.untrained(), PublishedContractiveAutoencoder)
    assert published.loss == PublishedContractiveLoss(1e-3)
    assert SPECS.reformer(contractive(1e-3).but(penalty="dense layer")).loss == DenseLayerContractiveLoss(1e-3)
    keras = SPECS.reformer(denoising(0.1).but(start="keras")).untrained()
    assert all(not parameter.any() for name, parameter in keras.named_parameters() if name.endswith("bias"))
    weight = keras.encoder[3].weight  # fan in and fan out 288: Glorot's bound is √(6/576)
    assert 0.98 * (6 / 576) ** 0.5 < weight.abs().max().item() <= (6 / 576) ** 0.5


VARIANTS = [
    denoising(0.4),
    denoising(0.4).but(noise="fixed"),
    denoising(0.4).but(decoder_width=64),
    denoising(0.4).but(start="keras"),
    stacked(2, 0.4),
    stacked(2, 0.4).but(stage_inputs="noisy"),
    contractive(1e-3),
    contractive(1e-3).but(penalty="dense layer"),
    contractive(1e-3).but(penalty="published"),
]


def test_every_variant_has_its_own_key_and_label():
    assert len({key(SPECS.reformer(each)) for each in VARIANTS}) == len(VARIANTS)
    assert len({each.label for each in VARIANTS}) == len(VARIANTS)
    assert denoising(0.4).but(noise="fixed", decoder_width=64).label == "DAE, noise 0.4, fixed noise, decoder 64 wide"
    assert denoising(0.4).but() == denoising(0.4)


@pytest.mark.parametrize("defense", VARIANTS, ids=lambda defense: defense.label)
def test_every_variant_trains(defense):
    spec = SPECS.reformer(defense)
    model, parents = spec.untrained(), [parent.untrained() for parent in spec.parents]
    train, validation = _start_from_parents(spec, model, parents, TRAIN, VALIDATION)
    before = weights(model)
    config = dataclasses.replace(spec.config, epochs=1)
    history = fit(model, spec.loss, train, validation, config, device=torch.device("cpu"))
    assert history.epochs[0].validation_loss > 0
    assert not equal(weights(model), before)
