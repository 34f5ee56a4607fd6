"""Settings as people write them: any spelling of a number is that number, and nonsense is refused where it is made."""

import inspect
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_classifier, tiny_images
from torch import nn

from magnet_helpers import attacks
from magnet_helpers.attacks import (
    DDN,
    FGSM,
    IFGSM,
    JSMA,
    MIFGSM,
    PGD,
    PGDL2,
    SPSA,
    ZOO,
    CarliniWagner,
    DetectorAwareCarliniWagner,
    DetectorAwarePGD,
    ElasticNet,
    ExpectationOverTransformation,
    HopSkipJump,
    RandomNoise,
    Square,
)
from magnet_helpers.attacks.adaptive import RejectedAsClass
from magnet_helpers.attacks.substitute import train_substitute
from magnet_helpers.defenses import (
    VANILLA,
    Variant,
    contractive,
    denoising,
    stacked,
)
from magnet_helpers.detectors import (
    DetectorSpec,
    DivergenceDetector,
    ReconstructionDetector,
    choose_threshold,
    roc,
)
from magnet_helpers.intervals import Accuracy, share
from magnet_helpers.jacobian import jacobian_frobenius_squared
from magnet_helpers.lab.budget import SMOKE, Budget
from magnet_helpers.lab.trainings import TrainingSpecs
from magnet_helpers.losses import (
    ContractiveLoss,
    DenoisingLoss,
    DenseLayerContractiveLoss,
    FixedNoiseLoss,
    PublishedContractiveLoss,
    add_noise,
)
from magnet_helpers.magnet import MagNet, RandomReformer
from magnet_helpers.models import ConvAutoencoder, ConvClassifier
from magnet_helpers.seeds import derived_seed
from magnet_helpers.study.plan import attack_study, protocol
from magnet_helpers.training import TrainingConfig

IMAGES, LABELS = tiny_images(6).images, tiny_images(6).labels
SPELLINGS = {
    "int": int,
    "float": float,
    "Fraction": Fraction,
    "Decimal": lambda value: Decimal(repr(value)),
    "float32": np.float32,
    "float64": np.float64,
    "array": np.array,
    "tensor": torch.tensor,
    "float64 tensor": lambda value: torch.tensor(value, dtype=torch.float64),
    "bfloat16 tensor": lambda value: torch.tensor(value, dtype=torch.bfloat16),
    "half": np.float16,
}
NO_NUMBERS = {
    "nan": float("nan"),
    "inf": float("inf"),
    "minus inf": -np.float32("inf"),
    "huge": 10**400,
    "Decimal NaN": Decimal("sNaN"),
    "bool": True,
    "NumPy's bool": np.bool_(True),
    "bool tensor": torch.tensor(True),
    "text": "0.3",
    "bytes": b"1",
    "None": None,
    "complex": 1j,
    "complex tensor": torch.tensor(1j),
    "array": np.array([0.1, 0.2]),
    "tensor": torch.tensor([0.1, 0.2]),
    "one in an array": np.array([0.1]),
    "list": [0.3],
    "function": float,
    "date": np.datetime64("2020-01-01"),
}

# Everything that takes a number: how it is made from one, and the name of the setting.
NUMBERS = {
    **{kind.__name__: (kind, "epsilon") for kind in (FGSM, IFGSM, MIFGSM, PGD, PGDL2, RandomNoise, SPSA, Square)},
    "DetectorAwarePGD": (DetectorAwarePGD, "epsilon"),
    "step": (lambda x: PGD(step_size=x), "step_size"),
    "decay": (lambda x: MIFGSM(decay=x), "decay"),
    "weight": (lambda x: DetectorAwarePGD(weight=x), "weight"),
    "slack": (lambda x: DetectorAwarePGD(slack=x), "slack"),
    "κ": (CarliniWagner, "confidence"),
    "κ, detectors": (DetectorAwareCarliniWagner, "confidence"),
    "κ of PGD": (lambda x: DetectorAwarePGD(confidence=x), "confidence"),
    "scale": (lambda x: DetectorAwareCarliniWagner(scale=x), "scale"),
    "rate": (lambda x: CarliniWagner(learning_rate=x), "learning_rate"),
    "c": (lambda x: CarliniWagner(first_c=x), "first_c"),
    "β": (lambda x: ElasticNet(beta=x), "beta"),
    "θ": (JSMA, "theta"),
    "γ": (lambda x: JSMA(gamma=x), "gamma"),
    "δ": (lambda x: SPSA(delta=x), "delta"),
    "κ of ZOO": (ZOO, "confidence"),
    "h": (lambda x: ZOO(difference=x), "difference"),
    "noise": (DenoisingLoss, "noise_std"),
    "fixed noise": (FixedNoiseLoss, "noise_std"),
    "λ": (ContractiveLoss, "penalty_weight"),
    "λ, dense": (DenseLayerContractiveLoss, "penalty_weight"),
    "λ, published": (PublishedContractiveLoss, "penalty_weight"),
    "denoising": (denoising, "noise_std"),
    "stacked": (lambda x: stacked(2, x), "noise_std"),
    "contractive": (contractive, "penalty_weight"),
    "Adam": (lambda x: TrainingConfig(1, learning_rate=x), "learning_rate"),
    "Adam's ε": (lambda x: TrainingConfig(1, adam_epsilon=x), "adam_epsilon"),
    "budget": (lambda x: but(SMOKE, classifier_learning_rate=x), "classifier_learning_rate"),
    "confidences": (lambda x: but(SMOKE, confidences=(x, 20)), "confidences"),
    "temperature": (lambda x: DetectorSpec(VANILLA, temperature=x), "temperature"),
}
# Of these only the error is asked for, or another sameness than that of values.
OTHER_NUMBERS = {
    "β₁": (lambda x: TrainingConfig(1, betas=(x, 0.9)), "betas"),
    "detector": (lambda x: DivergenceDetector(nn.Identity(), nn.Identity(), x), "temperature"),
    "threshold": (lambda x: choose_threshold(torch.rand(9), x), "false_positive_rate"),
    "noise": (lambda x: add_noise(IMAGES, x, torch.Generator().manual_seed(0)), "noise_std"),
    "rejected": (lambda x: RejectedAsClass(MagNet(nn.Identity(), None, {}), x), "scale"),
    "size": (lambda x: FGSM().run(tiny_classifier(), IMAGES, LABELS).within("L2", x), "largest"),
    "substitute": (lambda x: train_substitute(tiny_classifier(), IMAGES, step=x), "step"),
}
COUNTS = {
    "steps": (lambda n: PGD(steps=n), "steps"),
    "restarts": (lambda n: PGD(restarts=n), "restarts"),
    "restarts of Square": (lambda n: Square(restarts=n), "restarts"),
    **{
        f"seed of {kind.__name__}": (lambda n, kind=kind: kind(seed=n), "seed")
        for kind in (PGD, PGDL2, SPSA, ZOO, Square, HopSkipJump, RandomNoise)
    },
    "seed of a training": (lambda n: TrainingConfig(1, seed=n), "seed"),
    "DDN": (DDN, "steps"),
    "iterations": (lambda n: CarliniWagner(iterations=n), "iterations"),
    "searches": (lambda n: ElasticNet(searches=n), "searches"),
    "samples": (lambda n: SPSA(samples=n), "samples"),
    "pixels": (lambda n: ZOO(pixels=n), "pixels"),
    "queries": (lambda n: Square(queries=n), "queries"),
    "first": (lambda n: HopSkipJump(first_queries=n), "first_queries"),
    "epochs": (TrainingConfig, "epochs"),
    "batch": (lambda n: TrainingConfig(1, batch_size=n), "batch_size"),
    "threads": (lambda n: TrainingConfig(1, cpu_threads=n), "cpu_threads"),
    "projections": (lambda n: ContractiveLoss(0.1, n), "projections"),
    "width": (lambda n: Variant(decoder_width=n), "decoder_width"),
    "stack": (lambda n: stacked(n, 0.4), "n_stacks"),
    "budget": (lambda n: but(SMOKE, test_images=n), "test_images"),
    "restarts of a budget": (lambda n: but(SMOKE, attack_restarts=n), "attack_restarts"),
    "specs": (lambda n: TrainingSpecs(SMOKE, n), "seed"),
    "right": (lambda n: Accuracy(n, 9), "correct"),
    "all": (lambda n: Accuracy(1, n), "total"),
    "derived": (lambda n: derived_seed(n, "noise"), "seed"),
    "share": (lambda n: share(n, 9), "count"),
    "images of a study": (lambda n: {trial.images for trial in attack_study(SMOKE, 0, n)}, "images"),
    "seeds of a study": (lambda n: protocol(SMOKE, [n], [], 9), "seeds"),
    "first images": (lambda n: len(tiny_images(9).first(n)), "n"),
    "spread": (lambda n: tiny_images(9).spread(n).labels.tolist(), "n"),
}
OTHER_COUNTS = {
    "classes": (ConvClassifier, "n_classes"),
    "width": (ConvAutoencoder, "decoder_width"),
    "p": (lambda n: ReconstructionDetector(nn.Identity(), n), "p"),
    "draws": (lambda n: ExpectationOverTransformation(nn.Identity(), n), "draws"),
    "rounds": (lambda n: train_substitute(tiny_classifier(), IMAGES, rounds=n), "rounds"),
    "exact": (lambda n: jacobian_frobenius_squared(nn.Identity(), IMAGES, projections=n), "projections"),
    "pick": (lambda n: RandomReformer([nn.Identity()], n), "seed"),
    "roc": (lambda n: roc(torch.rand(3), torch.rand(3), seed=n), "seed"),
}


def but(budget: Budget, **changes) -> Budget:
    return Budget(**{**vars(budget), **changes})


def same(first, second):
    return first == second and repr(first) == repr(second) and hash(first) == hash(second)


def cases(table):
    return pytest.mark.parametrize(("make", "name"), table.values(), ids=table)


# ---- everything that takes a number


@given(st.fractions(0, 1), st.sampled_from(list(SPELLINGS)))
def test_any_spelling_of_an_epsilon_is_one_attack(value, spelling):
    value = round(float(value), 2)
    for kind in (FGSM, PGD, PGDL2, RandomNoise, SPSA, Square):
        assert same(kind(SPELLINGS[spelling](value)), kind(float(int(value)) if spelling == "int" else value))


@cases(NUMBERS)
def test_a_number_is_one_setting_in_any_spelling(make, name):
    for spelling, spelt in SPELLINGS.items():
        assert same(make(spelt(1)), make(1.0)), spelling
        assert spelling == "int" or same(make(spelt(0.3)), make(0.3)), spelling


@cases(NUMBERS | {f"other {name}": case for name, case in OTHER_NUMBERS.items()})
def test_what_is_no_number_is_refused_by_name(make, name):
    for value in NO_NUMBERS.values():
        if not (name == "temperature" and value is None):  # of a `DetectorSpec`: left out
            with pytest.raises((TypeError, ValueError), match=f"^{name} must be|needs its {name}"):
                make(value)


@cases(COUNTS)
def test_a_count_is_one_setting_in_any_spelling(make, name):
    expected = repr(make(3))
    for spelling, spelt in SPELLINGS.items():
        assert repr(make(spelt(3))) == expected, (name, spelling)


@cases(COUNTS | {f"other {name}": case for name, case in OTHER_COUNTS.items()})
def test_what_is_no_whole_number_is_refused_by_name(make, name):
    fractions = [2.5, Fraction(5, 2), torch.tensor(2.5)]
    for value in [*fractions, *(value for kind, value in NO_NUMBERS.items() if kind not in ("None", "huge"))]:
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be a whole number"):
            make(value)


def test_every_number_of_every_attack_is_asked_for():
    """An attack of tomorrow with a number that nobody judges is found here."""
    for name in attacks.__all__:
        kind = getattr(attacks, name)
        if not (inspect.isclass(kind) and issubclass(kind, attacks.Attack)) or inspect.isabstract(kind):
            continue
        for setting, parameter in inspect.signature(kind).parameters.items():
            if isinstance(parameter.default, int | float):
                with pytest.raises(TypeError, match=f"^{setting} must be"):
                    kind(**{setting: "3"})


def test_zero_has_no_sign_in_a_name():
    assert same(FGSM(-0.0), FGSM(0))


def test_the_kept_results_are_still_called_so():
    rate = {"iterations": 100, "searches": 2, "learning_rate": 0.1, "first_c": 1}
    whole = "iterations=100, searches=2, learning_rate=0.1, first_c=1.0"
    for five in (5, 5.0, np.float32(5)):
        assert repr(CarliniWagner(five, **rate)) == f"CarliniWagner(confidence=5, {whole})"
    assert repr(CarliniWagner(2.5, **rate)) == f"CarliniWagner(confidence=2.5, {whole})"
    for zero in (0, 0.0, torch.tensor(0)):
        text = repr(DetectorAwareCarliniWagner(zero, **rate))
        assert text == f"DetectorAwareCarliniWagner(confidence=0.0, {whole}, scale=10.0)"
