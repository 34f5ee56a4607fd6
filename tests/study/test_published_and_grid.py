import dataclasses
from collections import Counter

import pytest

from magnet_helpers.attacks import Knowledge, Threat
from magnet_helpers.defenses import MAGNETS_OWN, NO_REFORMER, VANILLA, Defense, contractive, denoising, stacked
from magnet_helpers.lab.budget import BUDGETS, FAST, PAPER, SMOKE, get_budget
from magnet_helpers.lab.lab import PAPER_ATTACK
from magnet_helpers.losses import ContractiveLoss, DenoisingLoss, ReconstructionLoss
from magnet_helpers.models import (
    ContractiveAutoencoder,
    ConvAutoencoder,
    MagNetAutoencoder1,
    MagNetAutoencoder2,
    StackedAutoencoder,
)
from magnet_helpers.study.grid import GRID, NOISE_LEVELS, PENALTY_WEIGHTS, STACK_SIZES, TABLE_2, TABLE_3, TABLE_4
from magnet_helpers.study.published import _TEST_IMAGES, paper_number
from magnet_helpers.study.threats import CLEAN, GREY_BOX, PAPERS_SETTINGS, STRONG_ATTACK, WHITE_BOX

# Table 4 as printed, by hand: clean, grey box, white box.
TABLE_4_PRINTED = {
    NO_REFORMER: (99.16, None, 11.42),
    VANILLA: (98.97, 32.93, 48.29),
    denoising(0.3): (98.78, 75.15, 77.66),
    denoising(0.4): (98.46, 77.17, 76.09),
    stacked(2, 0.4): (98.14, 80.85, 78.46),
    stacked(3, 0.4): (97.65, 83.59, 77.06),
    contractive(1e-3): (98.51, 67.40, 63.62),
}


def percent(defense, setting):
    number = paper_number(defense, setting)
    return None if number is None else number.percent


# ---- the grid


def test_the_grid_has_every_defence_once():
    assert len(GRID) == len(set(GRID)) == 1 + 1 + 5 * 3 + 5 + 1 == 23
    families = Counter(defense.family for defense in GRID)
    assert families == {"none": 1, "vanilla": 1, "denoising": 5, "stacked_denoising": 10, "contractive": 6}
    assert len({defense.label for defense in GRID}) == 23
    assert set(TABLE_4) <= set(GRID)
    assert tuple(TABLE_4_PRINTED) == TABLE_4


def test_the_settings_of_the_grid():
    assert NOISE_LEVELS == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert STACK_SIZES == (1, 2, 3)
    assert PENALTY_WEIGHTS == (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    assert {(defense.n_stacks, defense.noise_std) for defense in TABLE_2} == {
        (size, level) for size in (1, 2, 3) for level in (0.1, 0.2, 0.3, 0.4, 0.5)
    }
    assert [defense.penalty_weight for defense in TABLE_3] == [0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]


@pytest.mark.parametrize(
    ("defense", "label", "loss", "reformer"),
    [
        (VANILLA, "vanilla AE", ReconstructionLoss(), ConvAutoencoder),
        (denoising(0.3), "DAE, noise 0.3", DenoisingLoss(0.3), ConvAutoencoder),
        (stacked(2, 0.4), "SDAE(2), noise 0.4", DenoisingLoss(0.4), StackedAutoencoder),
        (contractive(1e-5), "CAE, λ = 1e-05", ContractiveLoss(1e-5), ContractiveAutoencoder),
        (contractive(0), "CAE, λ = 0", ContractiveLoss(0), ContractiveAutoencoder),
        (MAGNETS_OWN[0], "MagNet's AE 1", DenoisingLoss(0.1), MagNetAutoencoder1),
        (Defense("magnet_2", noise_std=0.2), "MagNet's AE 2, noise 0.2", DenoisingLoss(0.2), MagNetAutoencoder2),
        (Defense("magnet_1"), "MagNet's AE 1, no noise", ReconstructionLoss(), MagNetAutoencoder1),
    ],
)
def test_what_a_defence_stands_for(defense, label, loss, reformer):
    assert defense.label == label
    assert defense.loss() == loss
    assert type(defense.build()) is reformer


def test_stacks():
    assert stacked(1, 0.3) == denoising(0.3)
    assert len(stacked(3, 0.3).build().stages) == 3
    with pytest.raises(ValueError, match="at least one autoencoder, got 0"):
        stacked(0, 0.3)


def test_the_undefended_classifier_has_no_reformer():
    assert NO_REFORMER.label == "no reformer"
    with pytest.raises(ValueError, match="no reformer to train"):
        NO_REFORMER.loss()


# ---- the paper's numbers


@pytest.mark.parametrize(
    ("defense", "setting", "expected", "table"),
    [
        (denoising(0.1), GREY_BOX, 11.35, 2),
        (denoising(0.2), CLEAN, 11.35, 2),
        (denoising(0.5), GREY_BOX, 77.03, 2),
        (denoising(0.5), WHITE_BOX, 73.25, 2),
        (denoising(0.5), CLEAN, 98.15, 2),
        (stacked(2, 0.1), GREY_BOX, 12.70, 2),
        (stacked(2, 0.1), CLEAN, 13.44, 2),
        (stacked(2, 0.2), WHITE_BOX, 8.62, 2),
        (stacked(2, 0.3), CLEAN, 9.56, 2),
        (stacked(2, 0.5), GREY_BOX, 81.25, 2),
        (stacked(2, 0.5), WHITE_BOX, 72.73, 2),
        (stacked(3, 0.1), WHITE_BOX, 11.88, 2),
        (stacked(3, 0.2), CLEAN, 6.55, 2),
        (stacked(3, 0.3), GREY_BOX, 9.72, 2),
        (stacked(3, 0.5), GREY_BOX, 82.93, 2),
        (stacked(3, 0.5), WHITE_BOX, 68.97, 2),
        (stacked(3, 0.5), CLEAN, 96.65, 2),
        (contractive(1e-5), GREY_BOX, 64.38, 3),
        (contractive(1e-4), WHITE_BOX, 60.46, 3),
        (contractive(1e-3), CLEAN, 98.51, 3),
        (contractive(1e-2), GREY_BOX, 60.39, 3),
        (contractive(1e-1), WHITE_BOX, 43.73, 3),
        (contractive(1e-1), CLEAN, 97.84, 3),
        (NO_REFORMER, CLEAN, 99.16, 4),
        (VANILLA, WHITE_BOX, 48.29, 4),
    ],
)
def test_printed_numbers(defense, setting, expected, table):
    number = paper_number(defense, setting)
    assert (number.percent, number.table) == (expected, table)
    assert number.cell == f"{defense.label}, {setting.knows.label}"


@pytest.mark.parametrize("defense", TABLE_4_PRINTED, ids=lambda defense: defense.label)
def test_table_4_repeats_tables_2_and_3(defense):
    assert [setting.knows.label for setting in PAPERS_SETTINGS] == ["clean", "grey box", "white box"]
    assert tuple(percent(defense, setting) for setting in PAPERS_SETTINGS) == TABLE_4_PRINTED[defense]


def test_every_cell_of_the_grid_but_those_of_the_control_has_a_number():
    missing = [
        (defense, setting) for defense in GRID for setting in PAPERS_SETTINGS if percent(defense, setting) is None
    ]
    control = [(contractive(0), setting) for setting in PAPERS_SETTINGS]
    assert missing == [(NO_REFORMER, GREY_BOX), *control]
    assert all(0 < percent(d, s) < 100 for d in GRID for s in PAPERS_SETTINGS if (d, s) not in missing)
    assert _TEST_IMAGES == 10_000


def test_sums_over_the_tables():
    """A slip in any cell changes one of these sums (added up by hand from the printed tables)."""

    def total(defenses, setting):
        return round(sum(percent(defense, setting) for defense in defenses), 2)

    assert [total(TABLE_2[:5], setting) for setting in PAPERS_SETTINGS] == [318.09, 252.05, 249.70]
    assert [total(TABLE_2[5:10], setting) for setting in PAPERS_SETTINGS] == [232.43, 195.92, 178.62]
    assert [total(TABLE_2[10:], setting) for setting in PAPERS_SETTINGS] == [218.08, 197.18, 174.35]
    assert [total(TABLE_3[1:], setting) for setting in PAPERS_SETTINGS] == [492.40, 317.63, 288.38]


def test_what_the_paper_does_not_print():
    for defense in (
        contractive(0),
        contractive(0.5),
        denoising(0.6),
        stacked(4, 0.4),
        Defense("magnet_1", noise_std=0.1),
    ):
        assert all(paper_number(defense, setting) is None for setting in PAPERS_SETTINGS)


def test_the_papers_numbers_are_those_of_its_own_attack():
    assert paper_number(VANILLA, Threat(STRONG_ATTACK, Knowledge.CLASSIFIER)) is None
    assert paper_number(VANILLA, Threat(PAPER_ATTACK, Knowledge.EVERYTHING)) is None


# ---- budgets


def test_the_papers_budget():
    assert (PAPER.classifier_epochs, PAPER.vanilla_epochs, PAPER.denoising_epochs) == (30, 20, 20)
    assert (PAPER.pretraining_epochs, PAPER.stack_epochs, PAPER.contractive_epochs) == (10, 20, 20)
    assert PAPER.classifier_schedule == PAPER.autoencoder_schedule == "constant"
    assert (PAPER.classifier_batch_size, PAPER.classifier_learning_rate) == (64, 1e-3)
    assert (PAPER.autoencoder_batch_size, PAPER.autoencoder_learning_rate) == (64, 1e-3)
    limits = (PAPER.classifier_images, PAPER.autoencoder_images, PAPER.validation_images, PAPER.test_images)
    assert limits == (None, None, None, None)
    assert [budget.is_papers for budget in (SMOKE, FAST, PAPER)] == [False, False, True]
    assert not dataclasses.replace(PAPER, classifier_epochs=29).is_papers


def test_budgets_are_values():
    assert list(BUDGETS) == ["smoke", "fast", "paper"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        PAPER.stack_epochs = 3


@pytest.mark.parametrize(
    ("argument", "environment", "expected"),
    [
        (None, None, FAST),
        (None, "", FAST),
        (None, "smoke", SMOKE),
        ("paper", "smoke", PAPER),
        ("fast", None, FAST),
    ],
)
def test_which_budget(monkeypatch, argument, environment, expected):
    monkeypatch.delenv("MAGNET_BUDGET", raising=False)
    if environment is not None:
        monkeypatch.setenv("MAGNET_BUDGET", environment)
    assert get_budget(argument) is expected


@pytest.mark.parametrize("name", ["Paper", "full", " "])
def test_unknown_budgets(monkeypatch, name):
    message = f"budget must be one of smoke, fast, paper, got '{name}'"
    with pytest.raises(ValueError, match=message):
        get_budget(name)
    monkeypatch.setenv("MAGNET_BUDGET", name)
    with pytest.raises(ValueError, match=message):
        get_budget()
