"""The numbers that the paper prints, each with its table and cell.

W. Xiong, "Improving MagNet with Different Autoencoder Architectures" (2019): accuracies in percent on the 10,000 MNIST
test images, one run per cell, no seed given, FGSM with ε = 0.3.
"""

from dataclasses import dataclass
from typing import Literal

from magnet_helpers.defenses import NO_REFORMER, VANILLA, Defense, contractive, stacked
from magnet_helpers.experiments import NOISE_LEVELS, PENALTY_WEIGHTS

Setting = Literal["clean", "grey_box", "white_box"]
SETTINGS: tuple[Setting, ...] = ("clean", "grey_box", "white_box")
TEST_IMAGES = 10_000


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
        "grey_box": (11.35, 11.35, 75.15, 77.17, 77.03),
        "white_box": (11.35, 11.35, 77.66, 76.09, 73.25),
        "clean": (11.35, 11.35, 98.78, 98.46, 98.15),
    },
    2: {
        "grey_box": (12.70, 11.11, 10.01, 80.85, 81.25),
        "white_box": (11.35, 8.62, 7.46, 78.46, 72.73),
        "clean": (13.44, 13.75, 9.56, 98.14, 97.54),
    },
    3: {
        "grey_box": (11.04, 9.90, 9.72, 83.59, 82.93),
        "white_box": (11.88, 8.51, 7.93, 77.06, 68.97),
        "clean": (8.96, 6.55, 8.27, 97.65, 96.65),
    },
}
_TABLE_3 = {
    "grey_box": (64.38, 63.39, 67.40, 60.39, 62.07),
    "white_box": (60.15, 60.46, 63.62, 60.42, 43.73),
    "clean": (98.91, 98.84, 98.51, 98.30, 97.84),
}
# Only the rows that tables 2 and 3 do not hold.
_TABLE_4 = {
    NO_REFORMER: {"clean": 99.16, "white_box": 11.42},
    VANILLA: {"clean": 98.97, "grey_box": 32.93, "white_box": 48.29},
}


def _all_numbers() -> dict[tuple[Defense, str], PaperNumber]:
    numbers: dict[tuple[Defense, str], PaperNumber] = {}
    for size, columns in _TABLE_2.items():
        for setting, row in columns.items():
            for level, percent in zip(NOISE_LEVELS, row, strict=True):
                defense = stacked(size, level)
                numbers[defense, setting] = PaperNumber(percent, 2, f"{defense.label}, {setting}")
    for setting, row in _TABLE_3.items():
        for weight, percent in zip(PENALTY_WEIGHTS, row, strict=True):
            defense = contractive(weight)
            numbers[defense, setting] = PaperNumber(percent, 3, f"{defense.label}, {setting}")
    for defense, cells in _TABLE_4.items():
        for setting, percent in cells.items():
            numbers[defense, setting] = PaperNumber(percent, 4, f"{defense.label}, {setting}")
    return numbers


_NUMBERS = _all_numbers()


def paper_number(defense: Defense, setting: Setting) -> PaperNumber | None:
    """Return what the paper prints for a defence in one setting, or None if it prints nothing.

    The undefended classifier under attack stands in the paper's white-box column: without a reformer, grey box and
    white box are the same attack.
    """
    return _NUMBERS.get((defense, setting))
