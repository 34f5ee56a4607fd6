import dataclasses

import pytest
import torch
from tiny import equal, tiny_autoencoder, tiny_images, weights

from magnet_helpers.data import LabeledImages
from magnet_helpers.defenses import MAGNETS_OWN, VANILLA, contractive, denoising, stacked
from magnet_helpers.lab.budget import FAST, PAPER
from magnet_helpers.lab.tasks import longest_first, with_needs
from magnet_helpers.lab.trainings import TrainingSpecs, _start_from_parents
from magnet_helpers.losses import (
    ClassificationLoss,
    ContractiveLoss,
    DenoisingLoss,
    ReconstructionLoss,
)
from magnet_helpers.models import (
    ContractiveAutoencoder,
    ConvAutoencoder,
    ConvClassifier,
    MagNetAutoencoder1,
    MagNetAutoencoder2,
    StackedAutoencoder,
)

TRAIN, VALIDATION = tiny_images(5), tiny_images(3, seed=1)
SPECS = TrainingSpecs(PAPER, seed=0)
THIRD_STAGE = SPECS.stages(stacked(3, 0.4))[2]


def key(spec, data="abc"):
    settings = spec.settings(data)
    return repr(sorted(settings.items()))


# ---- what a spec holds


@pytest.mark.parametrize(
    ("spec", "model", "loss", "epochs"),
    [
        (SPECS.classifier(), ConvClassifier, ClassificationLoss(), 30),
        (SPECS.reformer(VANILLA), ConvAutoencoder, ReconstructionLoss(), 20),
        (SPECS.reformer(denoising(0.3)), ConvAutoencoder, DenoisingLoss(0.3), 20),
        (SPECS.reformer(stacked(2, 0.4)), StackedAutoencoder, DenoisingLoss(0.4), 20),
        (SPECS.stages(stacked(2, 0.4))[1], ConvAutoencoder, DenoisingLoss(0.4), 10),
        (SPECS.reformer(contractive(0.1)), ContractiveAutoencoder, ContractiveLoss(0.1), 20),
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
    spec = SPECS.reformer(defense)
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
    starts = [weights(SPECS.reformer(defense).untrained()) for defense in (VANILLA, denoising(0.1), denoising(0.5))]
    assert all(equal(start, starts[0]) for start in starts)
    contractive_starts = [weights(SPECS.reformer(contractive(weight)).untrained()) for weight in (0, 0.1)]
    assert equal(*contractive_starts)


# ---- stacks


def test_stacks_share_their_first_stages():
    three = SPECS.stages(stacked(3, 0.4))
    assert len(three) == 3
    assert SPECS.stages(stacked(2, 0.4)) == three[:2]
    assert SPECS.reformer(stacked(3, 0.4)).parents == three
    assert [len(stage.parents) for stage in three] == [0, 1, 2]
    assert three[2].parents == three[:2]
    assert all(a != b for a, b in zip(three, SPECS.stages(stacked(3, 0.3)), strict=True))


def test_the_first_stage_is_the_plain_denoising_autoencoder_if_the_epochs_agree():
    same = TrainingSpecs(dataclasses.replace(PAPER, pretraining_epochs=20), seed=0)
    first, plain = same.stages(stacked(2, 0.4))[0], same.reformer(denoising(0.4))
    assert key(first) == key(plain)
    assert equal(weights(first.untrained()), weights(plain.untrained()))
    assert key(SPECS.stages(stacked(2, 0.4))[0]) != key(SPECS.reformer(denoising(0.4)))


def test_each_training_of_a_stack_has_its_own_seed():
    spec = SPECS.reformer(stacked(3, 0.4))
    seeds = [spec.config.seed, *(stage.config.seed for stage in spec.parents)]
    assert len(set(seeds)) == 4


# ---- the order of work


def test_each_training_is_listed_once_behind_its_parents():
    listed = with_needs([SPECS.reformer(stacked(size, 0.4)) for size in (3, 2)])
    names = [spec.name for spec in listed]
    assert names == [
        *("DAE, noise 0.4", "DAE, noise 0.4 stage 2", "DAE, noise 0.4 stage 3"),
        *("SDAE(3), noise 0.4", "SDAE(2), noise 0.4"),
    ]


def test_the_longest_chain_is_trained_first():
    short, chain = SPECS.reformer(VANILLA), with_needs([SPECS.reformer(stacked(2, 0.4))])
    ordered = longest_first([short, *reversed(chain)])
    assert [spec.name for spec in ordered] == [*(spec.name for spec in chain), "vanilla AE"]
    # Of the chain only what is still to be trained counts: 20 epochs of two stages beside 20 of one and of three.
    rest = [SPECS.reformer(contractive(0.0)), short, chain[-1]]
    assert [spec.name for spec in longest_first(rest)] == ["CAE, λ = 0", "SDAE(2), noise 0.4", "vanilla AE"]
    assert longest_first([]) == []


def test_work_counts_images_epochs_and_networks():
    fast = TrainingSpecs(FAST, seed=0)
    work = {d: fast.reformer(d).work for d in (VANILLA, stacked(2, 0.4), stacked(3, 0.4))}
    assert list(work.values()) == [12 * 5000, 3 * 5000 * 2, 3 * 5000 * 3]
    assert SPECS.reformer(VANILLA).work == 20 * 55_000


def test_a_stack_starts_from_its_pretrained_stages():
    parents = [ConvAutoencoder(), ConvAutoencoder()]
    spec = SPECS.reformer(stacked(2, 0.4))
    stack = spec.untrained()
    train, validation = _start_from_parents(spec, stack, parents, TRAIN, VALIDATION)
    for stage, parent in zip(stack.stages, parents, strict=True):
        assert equal(weights(stage), weights(parent))
        assert not {p.data_ptr() for p in stage.parameters()} & {p.data_ptr() for p in parent.parameters()}
    assert (train, validation) == (TRAIN, VALIDATION), "the stack learns from the data's own images"


def test_a_stack_and_its_stages_must_agree_in_number():
    spec = SPECS.reformer(stacked(3, 0.4))
    with pytest.raises(ValueError):
        _start_from_parents(spec, spec.untrained(), [ConvAutoencoder()] * 2, TRAIN, VALIDATION)


def test_a_later_stage_learns_from_earlier_outputs_on_clean_images():
    first, second = tiny_autoencoder(1), tiny_autoencoder(2)
    model = tiny_autoencoder(3)
    before = weights(model)
    train, validation = _start_from_parents(THIRD_STAGE, model, [first, second], TRAIN, VALIDATION)
    assert isinstance(train, LabeledImages)
    with torch.no_grad():
        for got, clean in ((train, TRAIN), (validation, VALIDATION)):
            by_hand = torch.stack([second(first(image[None]))[0] for image in clean.images])
            torch.testing.assert_close(got.images, by_hand, rtol=0, atol=1e-6)
            assert torch.equal(got.labels, clean.labels)
    assert equal(weights(model), before), "its own weights stay its own"
    only_first, _ = _start_from_parents(THIRD_STAGE, model, [first], TRAIN, VALIDATION)
    torch.testing.assert_close(only_first.images, first(TRAIN.images).detach(), rtol=0, atol=1e-6)


def test_without_parents_nothing_changes():
    model = tiny_autoencoder(1)
    before = weights(model)
    assert _start_from_parents(SPECS.reformer(VANILLA), model, [], TRAIN, VALIDATION) == (TRAIN, VALIDATION)
    assert equal(weights(model), before)
