import dataclasses

import pytest
import torch
from tiny import equal, tiny_autoencoder, tiny_images, weights

from magnet_helpers.data import LabeledImages
from magnet_helpers.defenses import MAGNETS_OWN, VANILLA, contractive, denoising, stacked
from magnet_helpers.lab import trainings as trainings_module
from magnet_helpers.lab.budget import FAST, PAPER
from magnet_helpers.lab.trainings import TrainingSpecs, longest_first, start_from_parents, with_parents
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
from magnet_helpers.seeds import new_generator
from magnet_helpers.training import fit

TRAIN, VALIDATION = tiny_images(5), tiny_images(3, seed=1)
RECIPES = TrainingSpecs(PAPER, seed=0)
THIRD_STAGE = RECIPES.stages(stacked(3, 0.4))[2]


def key(spec, data="abc"):
    settings = spec.settings(data)
    return repr(sorted(settings.items()))


# ---- what a spec holds


@pytest.mark.parametrize(
    ("spec", "model", "loss", "epochs"),
    [
        (RECIPES.classifier(), ConvClassifier, ClassificationLoss(), 30),
        (RECIPES.reformer(VANILLA), ConvAutoencoder, ReconstructionLoss(), 20),
        (RECIPES.reformer(denoising(0.3)), ConvAutoencoder, DenoisingLoss(0.3), 20),
        (RECIPES.reformer(stacked(2, 0.4)), StackedAutoencoder, DenoisingLoss(0.4), 20),
        (RECIPES.stages(stacked(2, 0.4))[1], ConvAutoencoder, DenoisingLoss(0.4), 10),
        (RECIPES.reformer(contractive(0.1)), ContractiveAutoencoder, ContractiveLoss(0.1), 20),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_papers_trainings(spec, model, loss, epochs):
    assert type(spec.untrained()) is model
    assert spec.loss == loss
    config = spec.config
    assert (config.epochs, config.batch_size, config.learning_rate, config.schedule) == (epochs, 64, 1e-3, "constant")
    assert (config.betas, config.adam_epsilon) == ((0.9, 0.999), 1e-7)
    assert spec.images is None
    assert spec.validation_images is None


@pytest.mark.parametrize(("defense", "model"), zip(MAGNETS_OWN, (MagNetAutoencoder1, MagNetAutoencoder2), strict=True))
def test_magnets_own_trainings(defense, model):
    """MagNet, section 5.2: 100 epochs, batches of 256, Adam with 1e-3; the noise is its program's."""
    spec = RECIPES.reformer(defense)
    assert type(spec.untrained()) is model
    assert spec.loss == DenoisingLoss(0.1)
    config = spec.config
    assert (config.epochs, config.batch_size, config.learning_rate, config.schedule) == (100, 256, 1e-3, "constant")


def test_what_the_budget_decides():
    budget = dataclasses.replace(
        PAPER,
        classifier_schedule="linear tail",
        autoencoder_schedule="linear",
        validation_images=11,
        **{"classifier_images": 1, "classifier_epochs": 2, "classifier_batch_size": 3, "classifier_learning_rate": 0.4},
        **{"autoencoder_images": 5, "vanilla_epochs": 6, "denoising_epochs": 8, "autoencoder_batch_size": 7},
        **{"magnet_epochs": 13, "magnet_batch_size": 14, "magnet_learning_rate": 0.9},
        **{"autoencoder_learning_rate": 0.8, "pretraining_epochs": 9, "stack_epochs": 10, "contractive_epochs": 12},
    )
    specs = TrainingSpecs(budget, seed=0)
    stack = specs.reformer(stacked(2, 0.4))
    expected = [
        (specs.classifier(), 1, 2, 3, 0.4),
        (specs.reformer(VANILLA), 5, 6, 7, 0.8),
        (specs.reformer(denoising(0.4)), 5, 8, 7, 0.8),
        (stack, 5, 10, 7, 0.8),
        *((stage, 5, 9, 7, 0.8) for stage in stack.parents),
        (specs.reformer(contractive(0.1)), 5, 12, 7, 0.8),
        *((specs.reformer(each), 5, 13, 14, 0.9) for each in MAGNETS_OWN),
    ]
    for spec, images, epochs, batch_size, learning_rate in expected:
        assert (spec.images, spec.validation_images) == (images, 11)
        got = spec.config
        assert (got.epochs, got.batch_size, got.learning_rate) == (epochs, batch_size, learning_rate)
        assert got.schedule == ("linear tail" if spec.name == "classifier" else "linear")


def test_the_seed_alone_decides_the_initial_weights():
    states = []
    for seed, global_seed in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        states.append(weights(TrainingSpecs(FAST, seed).reformer(VANILLA).untrained()))
        assert torch.equal(torch.get_rng_state(), before)
    assert equal(states[0], states[1])
    assert not equal(states[0], states[2])


def test_reformers_of_one_kind_start_from_the_same_weights():
    """So that rows of a table differ in what they name, and in nothing else."""
    starts = [weights(RECIPES.reformer(defense).untrained()) for defense in (VANILLA, denoising(0.1), denoising(0.5))]
    assert all(equal(start, starts[0]) for start in starts)
    contractive_starts = [weights(RECIPES.reformer(contractive(weight)).untrained()) for weight in (0, 0.1)]
    assert equal(*contractive_starts)


# ---- stacks


def test_stacks_share_their_first_stages():
    three = RECIPES.stages(stacked(3, 0.4))
    assert len(three) == 3
    assert RECIPES.stages(stacked(2, 0.4)) == three[:2]
    assert RECIPES.reformer(stacked(3, 0.4)).parents == three
    assert [len(stage.parents) for stage in three] == [0, 1, 2]
    assert three[2].parents == three[:2]
    assert all(a != b for a, b in zip(three, RECIPES.stages(stacked(3, 0.3)), strict=True))


def test_the_first_stage_is_the_plain_denoising_autoencoder_if_the_epochs_agree():
    same = TrainingSpecs(dataclasses.replace(PAPER, pretraining_epochs=20), seed=0)
    first, plain = same.stages(stacked(2, 0.4))[0], same.reformer(denoising(0.4))
    assert key(first) == key(plain)
    assert equal(weights(first.untrained()), weights(plain.untrained()))
    assert key(RECIPES.stages(stacked(2, 0.4))[0]) != key(RECIPES.reformer(denoising(0.4)))


def test_each_training_of_a_stack_has_its_own_seed():
    spec = RECIPES.reformer(stacked(3, 0.4))
    seeds = [spec.config.seed, *(stage.config.seed for stage in spec.parents)]
    assert len(set(seeds)) == 4


# ---- the order of work


def test_each_training_is_listed_once_behind_its_parents():
    listed = with_parents([RECIPES.reformer(stacked(size, 0.4)) for size in (3, 2)])
    names = [spec.name for spec in listed]
    assert names == [
        *("DAE, noise 0.4", "DAE, noise 0.4 stage 2", "DAE, noise 0.4 stage 3"),
        *("SDAE(3), noise 0.4", "SDAE(2), noise 0.4"),
    ]


def test_the_longest_chain_is_trained_first():
    short, chain = RECIPES.reformer(VANILLA), with_parents([RECIPES.reformer(stacked(2, 0.4))])
    ordered = longest_first([short, *reversed(chain)])
    assert [spec.name for spec in ordered] == [*(spec.name for spec in chain), "vanilla AE"]
    # Of the chain only what is still to be trained counts: 20 epochs of two stages beside 20 of one and of three.
    rest = [RECIPES.reformer(contractive(0.0)), short, chain[-1]]
    assert [spec.name for spec in longest_first(rest)] == ["CAE, λ = 0", "SDAE(2), noise 0.4", "vanilla AE"]
    assert longest_first([]) == []


def test_work_counts_images_epochs_and_networks():
    fast = TrainingSpecs(FAST, seed=0)
    work = {d: fast.reformer(d).work for d in (VANILLA, stacked(2, 0.4), stacked(3, 0.4))}
    assert list(work.values()) == [12 * 5000, 3 * 5000 * 2, 3 * 5000 * 3]
    assert RECIPES.reformer(VANILLA).work == 20 * 55_000


def test_a_stack_starts_from_its_pretrained_stages():
    parents = [ConvAutoencoder(), ConvAutoencoder()]
    spec = RECIPES.reformer(stacked(2, 0.4))
    stack = spec.untrained()
    train, validation = start_from_parents(spec, stack, parents, TRAIN, VALIDATION)
    for stage, parent in zip(stack.stages, parents, strict=True):
        assert equal(weights(stage), weights(parent))
        assert not {p.data_ptr() for p in stage.parameters()} & {p.data_ptr() for p in parent.parameters()}
    assert (train, validation) == (TRAIN, VALIDATION), "the stack learns from the data's own images"


def test_a_stack_and_its_stages_must_agree_in_number():
    spec = RECIPES.reformer(stacked(3, 0.4))
    with pytest.raises(ValueError):
        start_from_parents(spec, spec.untrained(), [ConvAutoencoder()] * 2, TRAIN, VALIDATION)


def test_a_later_stage_learns_from_earlier_outputs_on_clean_images():
    first, second = tiny_autoencoder(1), tiny_autoencoder(2)
    model = tiny_autoencoder(3)
    before = weights(model)
    train, validation = start_from_parents(THIRD_STAGE, model, [first, second], TRAIN, VALIDATION)
    assert isinstance(train, LabeledImages)
    with torch.no_grad():
        for got, clean in ((train, TRAIN), (validation, VALIDATION)):
            by_hand = torch.stack([second(first(image[None]))[0] for image in clean.images])
            torch.testing.assert_close(got.images, by_hand, rtol=0, atol=1e-6)
            assert torch.equal(got.labels, clean.labels)
    assert equal(weights(model), before), "its own weights stay its own"
    only_first, _ = start_from_parents(THIRD_STAGE, model, [first], TRAIN, VALIDATION)
    torch.testing.assert_close(only_first.images, first(TRAIN.images).detach(), rtol=0, atol=1e-6)


# ---- variants


def test_stages_on_noisy_images_learn_from_what_the_first_makes_of_noise():
    defense = stacked(3, 0.4).but(stage_inputs="noisy")
    stages, plain = RECIPES.stages(defense), RECIPES.stages(stacked(3, 0.4))
    assert key(stages[0]) == key(plain[0]), "the first stage learns from the data in both"
    assert all(key(one) != key(other) for one, other in zip(stages[1:], plain[1:], strict=True))
    first, model = tiny_autoencoder(1), tiny_autoencoder(2)
    train, validation = start_from_parents(stages[1], model, [first], TRAIN, VALIDATION)
    for got, clean in ((train, TRAIN), (validation, VALIDATION)):
        generator = new_generator(stages[1].config.seed, f"stage inputs of {len(clean)} images")
        by_hand = first((clean.images + 0.4 * torch.randn(clean.images.shape, generator=generator)).clamp(0, 1))
        torch.testing.assert_close(got.images, by_hand.detach(), rtol=0, atol=1e-6)
        assert not torch.allclose(got.images, first(clean.images), atol=1e-3)


def test_fixed_noise_is_drawn_once():
    spec = RECIPES.reformer(denoising(0.3).but(noise="fixed"))
    one, other = (start_from_parents(spec, tiny_autoencoder(), [], TRAIN, VALIDATION) for _ in range(2))
    assert torch.equal(one[0].images, other[0].images)
    assert one[0].images.shape == (len(TRAIN), 2, 28, 28)
    assert torch.equal(one[0].images[:, :1], TRAIN.images)
    change = one[0].images[:, 1:] - TRAIN.images
    untouched = (TRAIN.images > 0.4) & (TRAIN.images < 0.6)  # hardly ever clipped
    assert change[untouched].std().item() == pytest.approx(0.28, abs=0.05)  # 0.3, with clipped tails
    assert not torch.equal(one[0].images[:3, 1:] - TRAIN.images[:3], one[1].images[:, 1:] - VALIDATION.images)


def test_variants_are_what_they_say():
    wide = RECIPES.reformer(stacked(2, 0.4).but(decoder_width=64)).untrained()
    assert [stage.decoder[0].out_channels for stage in wide.stages] == [64, 64]
    assert all(
        stage.untrained().decoder[0].out_channels == 64
        for stage in RECIPES.stages(stacked(2, 0.4).but(decoder_width=64))
    )
    published = RECIPES.reformer(contractive(1e-3).but(penalty="published", decoder_width=64))
    assert isinstance(published.untrained(), PublishedContractiveAutoencoder)
    assert published.loss == PublishedContractiveLoss(1e-3)
    assert RECIPES.reformer(contractive(1e-3).but(penalty="dense layer")).loss == DenseLayerContractiveLoss(1e-3)
    keras = RECIPES.reformer(denoising(0.1).but(start="keras")).untrained()
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
    assert len({key(RECIPES.reformer(each)) for each in VARIANTS}) == len(VARIANTS)
    assert len({each.label for each in VARIANTS}) == len(VARIANTS)
    assert denoising(0.4).but(noise="fixed", decoder_width=64).label == "DAE, noise 0.4, fixed noise, decoder 64 wide"
    assert denoising(0.4).but() == denoising(0.4)


@pytest.mark.parametrize("defense", VARIANTS, ids=lambda defense: defense.label)
def test_every_variant_trains(defense):
    spec = RECIPES.reformer(defense)
    model, parents = spec.untrained(), [parent.untrained() for parent in spec.parents]
    train, validation = start_from_parents(spec, model, parents, TRAIN, VALIDATION)
    before = weights(model)
    config = dataclasses.replace(spec.config, epochs=1)
    history = fit(model, spec.loss, train, validation, config, device=torch.device("cpu"))
    assert history.epochs[0].validation_loss > 0
    assert not equal(weights(model), before)


def test_without_parents_nothing_changes():
    model = tiny_autoencoder(1)
    before = weights(model)
    assert start_from_parents(RECIPES.reformer(VANILLA), model, [], TRAIN, VALIDATION) == (TRAIN, VALIDATION)
    assert equal(weights(model), before)


# ---- the key that a trained network is stored under


def test_keys_are_stable_and_plain():
    assert key(RECIPES.reformer(denoising(0.3))) == key(TrainingSpecs(PAPER, 0).reformer(denoising(0.3)))
    settings = RECIPES.reformer(stacked(2, 0.4)).settings("abc")
    assert (settings["kind"], settings["name"], settings["data"]) == ("network", "SDAE(2), noise 0.4", "abc")
    assert [parent["name"] for parent in settings["parents"]] == ["DAE, noise 0.4", "DAE, noise 0.4 stage 2"]


def with_budget(**changes):
    return TrainingSpecs(dataclasses.replace(PAPER, **changes), 0).reformer(stacked(2, 0.4))


@pytest.mark.parametrize(
    "other",
    [
        RECIPES.reformer(stacked(2, 0.3)),
        RECIPES.reformer(stacked(3, 0.4)),
        RECIPES.reformer(denoising(0.4)),
        TrainingSpecs(PAPER, seed=1).reformer(stacked(2, 0.4)),
        dataclasses.replace(RECIPES.reformer(stacked(2, 0.4)), loss=DenoisingLoss(0.41)),
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
    assert key(other) != key(RECIPES.reformer(stacked(2, 0.4)))


def test_the_data_change_the_key_of_a_network_and_of_its_parents():
    spec = RECIPES.reformer(stacked(2, 0.4))
    one, two = spec.settings("abc"), spec.settings("abd")
    assert one != two
    assert all(a != b for a, b in zip(one["parents"], two["parents"], strict=True))


def test_the_code_changes_the_key(monkeypatch):
    before = key(RECIPES.classifier())
    monkeypatch.setattr(trainings_module, "TRAINING_CODE", "another")
    assert key(RECIPES.classifier()) != before


def test_what_the_weights_do_not_follow_from_leaves_the_key():
    assert key(with_budget(test_images=7, curve_images=7, classifier_epochs=7, classifier_schedule="linear")) == key(
        with_budget()
    )


def test_every_defence_has_its_own_key():
    specs = [RECIPES.classifier(), RECIPES.reformer(VANILLA)]
    specs += [RECIPES.reformer(stacked(size, level)) for size in (1, 2, 3) for level in (0.1, 0.2)]
    specs += [RECIPES.reformer(contractive(weight)) for weight in (0.0, 1e-5, 1e-4)]
    assert len({key(spec) for spec in specs}) == len(specs)


@pytest.mark.parametrize(("one", "other"), [(contractive(0), contractive(0.0)), (denoising(1), denoising(1.0))])
def test_equal_defences_have_equal_keys(one, other):
    assert one == other
    assert key(RECIPES.reformer(one)) == key(RECIPES.reformer(other))


def test_another_network_with_the_same_name_and_loss_has_another_key():
    spec = RECIPES.reformer(VANILLA)
    wide = dataclasses.replace(spec, build=ContractiveAutoencoder)
    assert key(wide) != key(spec)
