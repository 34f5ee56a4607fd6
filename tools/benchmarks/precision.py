"""Does reduced precision end in the same place? The same defences trained both ways, for three seeds, and compared.

On a CPU: float32 beside bfloat16 products. On CUDA: float32 beside PyTorch's default, convolutions that round to TF32.
Both are attacked and judged in float32. Each training is kept, so a run that was stopped goes on.
"""

import dataclasses
import json
import os
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from magnet_helpers import NO_REFORMER, VANILLA, contractive, denoising, stacked
from magnet_helpers.data import load_images
from magnet_helpers.device import Precision
from magnet_helpers.evaluation import evaluate_defense
from magnet_helpers.files import write_json
from magnet_helpers.lab.budget import get_budget
from magnet_helpers.lab.lab import PAPER_ATTACK, Lab
from magnet_helpers.lab.parallel import for_each, usable_cores
from magnet_helpers.lab.trainings import TrainingSpec, with_parents
from magnet_helpers.study.published import SETTINGS
from magnet_helpers.workspace import workspace

SEEDS = (0, 1, 2)
DEFENSES = (NO_REFORMER, VANILLA, denoising(0.4), stacked(2, 0.4), contractive(1e-3))
Counts = Mapping[str, Mapping[str, Mapping[str, int]]]


@dataclass(frozen=True)
class Task:
    """One seed in one precision."""

    seed: int
    precision: Precision
    budget: str
    device: torch.device

    @property
    def path(self) -> Path:
        """Where its counts are kept."""
        folder = workspace() / "build" / "benchmarks" / "precision"
        return folder / f"{self.budget}-{self.device.type}-{self.precision}-seed-{self.seed}.json"


def with_precision(spec: TrainingSpec, precision: Precision) -> TrainingSpec:
    """Return the spec, and those it starts from, in that precision."""
    return dataclasses.replace(
        spec,
        config=dataclasses.replace(spec.config, precision=precision),
        parents=tuple(with_precision(parent, precision) for parent in spec.parents),
    )


def carry_out(task: Task) -> None:
    """Train and judge every defence of one task, and write its counts."""
    lab = Lab(
        get_budget(task.budget), load_images(os.environ.get("MAGNET_DATASET") or "auto"), task.seed, device=task.device
    )
    classifier, _ = lab.network(with_precision(lab.specs.classifier(), task.precision))
    counts = {}
    for defense in DEFENSES:
        reformer = None
        if defense != NO_REFORMER:
            for spec in with_parents([with_precision(lab.specs.reformer(defense), task.precision)]):
                reformer, _ = lab.network(spec)
        facts = evaluate_defense(classifier, reformer, lab.test, PAPER_ATTACK).facts()
        counts[defense.label] = {setting: facts[setting] for setting in SETTINGS}
    write_json(task.path, {"dataset": lab.data.title, "counts": counts})


def measure(budget: str, device: torch.device, report: Callable[[str], None]) -> list[dict[str, object]]:
    """Carry out what is missing, several tasks at once on a CPU, and return the table."""
    reduced: Precision = "bfloat16" if device.type == "cpu" else "auto"
    tasks = [Task(seed, precision, budget, device) for precision in (reduced, "float32") for seed in SEEDS]
    missing = [task for task in tasks if not task.path.exists()]
    report(f"precision: {len(missing)} of {len(tasks)} runs with the {budget} budget")
    if device.type == "cpu" and missing:
        for_each(carry_out, missing, "seeds and precisions", min(usable_cores(), len(missing)))
    for task in missing if device.type != "cpu" else ():
        carry_out(task)
    found = {task: json.loads(task.path.read_text())["counts"] for task in tasks}
    return compare(*([found[task] for task in tasks if task.precision == name] for name in ("float32", reduced)))


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
        for setting in SETTINGS:
            percent = {
                name: [100 * each[defense][setting]["correct"] / each[defense][setting]["total"] for each in counts]
                for name, counts in every.items()
            }
            difference = statistics.mean(percent["reduced"]) - statistics.mean(percent["float32"])
            spread = max(percent["float32"]) - min(percent["float32"])
            rows.append(
                {
                    "defence": defense,
                    "setting": setting,
                    **{name: " ".join(f"{value:.1f}" for value in values) for name, values in percent.items()},
                    "difference": round(difference, 2),
                    "spread": round(spread, 2),
                    "agree": "yes" if abs(difference) <= spread else "no",
                }
            )
    return rows
