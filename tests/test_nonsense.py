"""Settings that mean nothing together are refused where they are made."""

import pytest
from tiny import tiny_classifier, tiny_images

from magnet_helpers.attacks import (
    FGSM,
    DetectorAwarePGD,
    Knowledge,
    Threat,
)
from magnet_helpers.defenses import (
    MAGNETS_OWN,
    NO_REFORMER,
    VANILLA,
    Defense,
    Variant,
    denoising,
)
from magnet_helpers.detectors import (
    DetectorSpec,
    Threshold,
)
from magnet_helpers.evaluation import evaluate_accuracy, evaluate_defense
from magnet_helpers.intervals import Accuracy
from magnet_helpers.lab.budget import BUDGETS, SMOKE, Budget
from magnet_helpers.lab.trainings import TrainingSpecs
from magnet_helpers.lab.trials import Trial
from magnet_helpers.robustness import check_up
from magnet_helpers.study.grid import MAGNET
from magnet_helpers.study.plan import attack_study
from magnet_helpers.study.threats import CLEAN
from magnet_helpers.training import TrainingConfig

IMAGES, LABELS = tiny_images(6).images, tiny_images(6).labels


def but(budget: Budget, **changes) -> Budget:
    return Budget(**{**vars(budget), **changes})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Defense("foo"), "family must be one of none, vanilla, denoising, .*magnet_2, got 'foo'"),
        (lambda: Defense(None), "family must be one of"),
        (lambda: Defense("vanilla", noise_std=0.4), "'vanilla' takes no noise_std: leave it out"),
        (lambda: Defense("denoising", 0.4, penalty_weight=1), "'denoising' takes no penalty_weight"),
        (lambda: Defense("contractive", 0.4, penalty_weight=1), "'contractive' takes no noise_std"),
        (lambda: Defense("none", 0.4, 0), "'none' takes no noise_std"),
        (lambda: Defense("denoising"), "'denoising' needs its noise_std"),
        (lambda: Defense("stacked_denoising", n_stacks=2), "'stacked_denoising' needs its noise_std"),
        (lambda: Defense("contractive"), "'contractive' needs its penalty_weight"),
        (lambda: Defense("none"), "n_stacks of the family 'none' must be 0, got 1: NO_REFORMER"),
        (lambda: Defense("vanilla", n_stacks=2), "n_stacks of the family 'vanilla' must be 1, got 2"),
        (lambda: Defense("vanilla", n_stacks=0), "n_stacks of the family 'vanilla' must be 1, got 0"),
        (lambda: Defense("stacked_denoising", 0.4), "'stacked_denoising' must be 2 or more, got 1"),
        (
            lambda: VANILLA.but(noise="fixed"),
            "noise='fixed' changes nothing of the family 'vanilla', only of denoising",
        ),
        (lambda: denoising(0.4).but(stage_inputs="noisy"), "changes nothing .*only of stacked_denoising"),
        (lambda: denoising(0.4).but(penalty="published"), "changes nothing .*only of contractive"),
        (lambda: MAGNETS_OWN[0].but(start="keras"), "start='keras' changes nothing of the family 'magnet_1'"),
        (lambda: NO_REFORMER.but(decoder_width=64), "changes nothing of the family 'none'"),
        (lambda: Variant(noise="old"), "noise must be one of fresh, fixed, got 'old'"),
        (lambda: Variant(start=1), "start must be one of ours, keras, got 1"),
        (lambda: DetectorSpec(NO_REFORMER, p=1), "needs the autoencoder of a defence"),
        (lambda: DetectorSpec(VANILLA, p=3), "p must be 1 or 2, got 3"),
        (lambda: DetectorSpec(VANILLA, temperature=0), "temperature must be more than 0"),
        (lambda: but(SMOKE, classifier_epochs=0), "classifier_epochs must be at least 1, got 0"),
        (lambda: but(SMOKE, classifier_schedule="cosine"), "classifier_schedule must be one of constant"),
        (lambda: Threat(FGSM(), "everybody"), "knows must be one of nothing, classifier, .*got 'everybody'"),
        (lambda: Threat(FGSM, "classifier"), "a threat is an attack with its settings"),
        (lambda: Threat(DetectorAwarePGD(), Knowledge.REFORMER), "its attackers know everything, got 'reformer'"),
        (lambda: TrainingConfig(1, precision="float16"), "precision must be one of"),
        (lambda: FGSM().run(tiny_classifier(), IMAGES, LABELS).within("L3", 1), "norm must be one of L0, L1, L2, L∞"),
        (lambda: Trial(MAGNET, CLEAN, 9, TrainingSpecs(SMOKE, 0)), "a trial needs an attacker who knows something"),
        (lambda: attack_study(SMOKE, 0, 0), "images must be at least 1, got 0"),
        (lambda: TrainingConfig(1, betas=(0.9,)), r"betas must be 2 numbers, got \(0.9,\)"),
        (lambda: TrainingConfig(1, betas=0.9), "betas must be 2 numbers, got 0.9"),
        (lambda: TrainingConfig(1, betas=(0.9, 1)), "betas must be at least 0 and less than 1, got 1"),
        (lambda: evaluate_accuracy(tiny_classifier(), (IMAGES, LABELS)), "test must be LabeledImages, got a tuple"),
        (lambda: evaluate_defense(tiny_classifier(), None, IMAGES, FGSM()), "test must be LabeledImages, got a Tensor"),
        (lambda: check_up(tiny_classifier(), IMAGES, LABELS, transferred={"FGSM": FGSM()}), "the check-up's own"),
    ],
)
def test_nonsense_is_refused_where_it_is_made(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_the_courses_settings_are_no_nonsense():
    assert [but(budget) for budget in BUDGETS.values()] == list(BUDGETS.values())
    assert Defense("magnet_1").but(noise="fresh") == Defense("magnet_1")
    assert Threat(DetectorAwarePGD(), Knowledge.NOTHING).knows is Knowledge.NOTHING
    assert Threshold(1.0, 0.1, 1, 10).achieved == Accuracy(1, 10)
