"""Does reduced precision end in the same place? The same defences trained both ways, for three seeds, and compared.

On a CPU: float32 beside bfloat16 products. On CUDA: float32 beside PyTorch's default, convolutions that round to TF32.
Both are attacked and judged in float32. Each training is kept, so a run that was stopped goes on.
"""

import dataclasses
import os
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from magnet_helpers.data import load_images
from magnet_helpers.defenses import NO_REFORMER, VANILLA, contractive, denoising, stacked
from magnet_helpers.device import Precision
from magnet_helpers.evaluation import MEASURED
from magnet_helpers.lab.budget import get_budget
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.measurements import Report
from magnet_helpers.lab.trainings import TrainingSpec

SEEDS = (0, 1, 2)
DEFENSES = (NO_REFORMER, VANILLA, denoising(0.4), stacked(2, 0.4), contractive(1e-3))
Counts = Mapping[str, Mapping[str, Mapping[str, int]]]


def with_precision(spec: TrainingSpec, precision: Precision) -> TrainingSpec:
    """Return the spec, and those it starts from, in that precision."""
    return dataclasses.replace(
        spec,
        config=dataclasses.replace(spec.config, precision=precision),
        parents=tuple(with_precision(parent, precision) for parent in spec.parents),
    )


def reports(lab: Lab, precision: Precision) -> list[Report]:
    """Return the report of every defence, its networks trained in that precision."""
    cells = [lab.cell(defense) for defense in DEFENSES]
    return [
        dataclasses.replace(
            cell,
            classifier=with_precision(cell.classifier, precision),
            reformer=cell.reformer and with_precision(cell.reformer, precision),
        )
        for cell in cells
    ]


def measure(budget: str, device: torch.device, say: Callable[[str], None]) -> list[dict[str, object]]:
    """Make what is missing, several at once, and return the table."""
    reduced: Precision = "bfloat16" if device.type == "cpu" else "auto"
    data = load_images(os.environ.get("MAGNET_DATASET") or "auto")
    counts: dict[str, list[Counts]] = {"float32": [], reduced: []}
    say(f"precision: {len(SEEDS)} seeds in 2 precisions with the {budget} budget")
    labs = [Lab(get_budget(budget), data, seed, device=device) for seed in SEEDS]
    both: tuple[Precision, ...] = ("float32", reduced)
    labs[0].make([task for lab in labs for precision in both for task in reports(lab, precision)])
    for precision in both:
        for lab in labs:
            made = {task.defense.label: lab.result(task).record["accuracy"] for task in reports(lab, precision)}
            counts[precision].append(made)
    return compare(counts["float32"], counts[reduced])


def compare(full: Iterable[Counts], reduced: Iterable[Counts]) -> list[dict[str, object]]:
    """Return a row for each defence and setting: accuracies in % seed by seed, and whether the means agree.

    They agree if they differ by no more than the seeds do among each other in float32 (largest minus smallest).

    Args:
        full: the counts of each seed in float32, by defence and setting.
        reduced: the same in reduced precision.
    """
    rows: list[dict[str, object]] = []
    every: dict[str, list[Any]] = {"float32": list(full), "reduced": list(reduced)}
    for defense in every["float32"][0]:
        for knows in MEASURED:
            percent = {
                name: [100 * of[defense][knows]["correct"] / of[defense][knows]["total"] for of in seeds]
                for name, seeds in every.items()
            }
            difference = statistics.mean(percent["reduced"]) - statistics.mean(percent["float32"])
            spread = max(percent["float32"]) - min(percent["float32"])
            rows.append(
                {
                    "defence": defense,
                    "setting": knows.label,
                    **{name: " ".join(f"{value:.1f}" for value in values) for name, values in percent.items()},
                    "difference": round(difference, 2),
                    "spread": round(spread, 2),
                    "agree": "yes" if abs(difference) <= spread else "no",
                }
            )
    return rows
