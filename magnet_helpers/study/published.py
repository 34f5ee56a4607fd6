"""The numbers that papers print: those of the paper, each with its table and cell, and those of others about MagNet.

W. Xiong, "Improving MagNet with Different Autoencoder Architectures" (2019): accuracies in percent on the 10,000 MNIST
test images, one run per cell, no seed given, FGSM with ε = 0.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from magnet_helpers.attacks import Knowledge, Threat
from magnet_helpers.defenses import NO_REFORMER, VANILLA, Defense, contractive, stacked
from magnet_helpers.lab.lab import PAPER_ATTACK
from magnet_helpers.study.grid import NOISE_LEVELS, PENALTY_WEIGHTS

_TEST_IMAGES = 10_000


@dataclass(frozen=True)
class PaperNumber:
    """One printed accuracy.

    Attributes:
        percent: as printed.
        table: number of the table.
        cell: row and column.
    """

    percent: float
    table: int
    cell: str


_TABLE_2 = {
    1: {
        Knowledge.CLASSIFIER: (11.35, 11.35, 75.15, 77.17, 77.03),
        Knowledge.REFORMER: (11.35, 11.35, 77.66, 76.09, 73.25),
        Knowledge.NOTHING: (11.35, 11.35, 98.78, 98.46, 98.15),
    },
    2: {
        Knowledge.CLASSIFIER: (12.70, 11.11, 10.01, 80.85, 81.25),
        Knowledge.REFORMER: (11.35, 8.62, 7.46, 78.46, 72.73),
        Knowledge.NOTHING: (13.44, 13.75, 9.56, 98.14, 97.54),
    },
    3: {
        Knowledge.CLASSIFIER: (11.04, 9.90, 9.72, 83.59, 82.93),
        Knowledge.REFORMER: (11.88, 8.51, 7.93, 77.06, 68.97),
        Knowledge.NOTHING: (8.96, 6.55, 8.27, 97.65, 96.65),
    },
}
_TABLE_3 = {
    Knowledge.CLASSIFIER: (64.38, 63.39, 67.40, 60.39, 62.07),
    Knowledge.REFORMER: (60.15, 60.46, 63.62, 60.42, 43.73),
    Knowledge.NOTHING: (98.91, 98.84, 98.51, 98.30, 97.84),
}
# Only the rows that tables 2 and 3 do not hold.
_TABLE_4 = {
    NO_REFORMER: {Knowledge.NOTHING: 99.16, Knowledge.REFORMER: 11.42},
    VANILLA: {Knowledge.NOTHING: 98.97, Knowledge.CLASSIFIER: 32.93, Knowledge.REFORMER: 48.29},
}


def _all_numbers() -> dict[tuple[Defense, Knowledge], PaperNumber]:
    numbers: dict[tuple[Defense, Knowledge], PaperNumber] = {}
    for size, columns in _TABLE_2.items():
        for knows, row in columns.items():
            for level, percent in zip(NOISE_LEVELS, row, strict=True):
                defense = stacked(size, level)
                numbers[defense, knows] = PaperNumber(percent, 2, f"{defense.label}, {knows.label}")
    for knows, row in _TABLE_3.items():
        for weight, percent in zip(PENALTY_WEIGHTS, row, strict=True):
            defense = contractive(weight)
            numbers[defense, knows] = PaperNumber(percent, 3, f"{defense.label}, {knows.label}")
    for defense, cells in _TABLE_4.items():
        for knows, percent in cells.items():
            numbers[defense, knows] = PaperNumber(percent, 4, f"{defense.label}, {knows.label}")
    return numbers


_NUMBERS = _all_numbers()


def paper_number(defense: Defense, threat: Threat) -> PaperNumber | None:
    """Return what the paper prints for a defence under one of its settings, or None if it prints nothing.

    The paper's settings are `threats.CLEAN`, `GREY_BOX` and `WHITE_BOX`. The undefended classifier under attack stands
    in the paper's white-box column: without a reformer, grey box and white box are the same attack.
    """
    return _NUMBERS.get((defense, threat.knows)) if threat.attack == PAPER_ATTACK else None


# What other papers print about MagNet on MNIST, in percent. Where MagNet has detectors, an adversarial image that is
# rejected counts as right.

# P.-H. Lu et al., "On the limitation of MagNet defense against L1-based adversarial examples" (2018): images that are
# made on the undefended classifier to be wrong by κ logits, EAD with β = 0.1.
LU_CONFIDENCES = (0, 5, 10, 15, 20, 25, 30, 35, 40)
LU: Mapping[tuple[str, str], tuple[float, ...]] = {
    ("C&W", "reformer and detectors"): (98.7, 94.7, 91.5, 90.0, 91.4, 93.9, 96.2, 97.7, 98.5),
    ("C&W", "detectors alone"): (52.8, 64.5, 74.8, 83.3, 89.9, 93.6, 96.2, 97.7, 98.5),
    ("C&W", "reformer alone"): (98.5, 92.2, 68.0, 36.0, 12.5, 3.3, 0.4, 0.1, 0.0),
    ("EAD", "reformer and detectors"): (78.1, 26.6, 11.7, 9.8, 12.1, 16.8, 22.6, 28.6, 33.2),
    ("EAD", "MagNet, complete"): (81.6, 44.4, 48.3, 47.3, 47.2, 51.2, 51.7, 55.2, 60.3),  # with the divergences
}

# D. Meng and H. Chen, "MagNet: a Two-Pronged Defense against Adversarial Examples" (2017): accuracy without and with
# MagNet, attacks that know the classifier alone. Sizes in pixel units.
MAGNETS_OWN_CLAIMS: Mapping[str, tuple[float, float]] = {
    "no attack": (99.4, 99.1),
    "FGSM, ε = 0.005": (96.8, 100.0),
    "FGSM, ε = 0.01": (91.1, 100.0),
    "I-FGSM, ε = 0.01": (72.0, 100.0),
    "iterative L2, ε = 1": (76.6, 100.0),
    "C&W, κ = 0": (0.0, 99.5),
}

# P. Samangouei et al., "Defense-GAN" (2018): MagNet as a baseline in the white box, the lowest and the highest of four
# classifiers.
SAMANGOUEI: Mapping[str, tuple[float, float]] = {"FGSM, ε = 0.3": (8.2, 19.1), "C&W": (2.0, 4.0)}
