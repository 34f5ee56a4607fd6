"""The course's tables: ours beside the paper's, with n, intervals, and what a careful reader would doubt."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import display

from magnet_helpers.defenses import Defense
from magnet_helpers.evaluation import suspicions
from magnet_helpers.files import write_json, write_text
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.work import versions
from magnet_helpers.study.published import SETTINGS, paper_number
from magnet_helpers.workspace import workspace

SETTING_TITLES = {"clean": "clean", "grey_box": "grey box", "white_box": "white box"}


def comparison_frame(lab: Lab, defenses: Iterable[Defense]) -> pd.DataFrame:
    """Return a table with one row per defence: our accuracy with its 95 % interval, and the paper's, in percent."""
    rows = []
    for defense in defenses:
        report = lab.report(defense)
        row = {"defence": defense.label}
        for setting in SETTINGS:
            printed = paper_number(defense, setting)
            hidden = setting == "grey_box" and not report.has_reformer
            row[f"{SETTING_TITLES[setting]}, ours"] = "–" if hidden else str(report.accuracy(setting))
            row[f"{SETTING_TITLES[setting]}, paper"] = f"{printed.percent:.2f}" if printed else "–"
        rows.append(row)
    return pd.DataFrame(rows).set_index("defence")


def all_suspicions(lab: Lab, defenses: Iterable[Defense]) -> list[str]:
    """Return what is doubtful about the reports of these defences, each with the defence's name before it."""
    return [f"{defense.label}: {doubt}" for defense in defenses for doubt in suspicions(lab.report(defense))]


def show_table(lab: Lab, defenses: Iterable[Defense]) -> None:
    """Show the table of these defences in a notebook, and under it what a careful reader would doubt."""
    defenses = tuple(defenses)
    frame = comparison_frame(lab, defenses)
    caption = f"Accuracy in %, ours with 95 % Wilson interval of the test images · {lab.note}"
    display(frame.style.set_caption(caption))
    doubts = all_suspicions(lab, defenses)
    print("\n".join(["What a careful reader would doubt:", *(f"  - {doubt}" for doubt in doubts or ["nothing found"])]))


def comparison_record(lab: Lab, defenses: Iterable[Defense]) -> dict[str, Any]:
    """Return the counts behind the table, with everything they depend on, for `comparison.json`."""
    rows = []
    for defense in defenses:
        report = lab.report(defense)
        row: dict[str, Any] = {"defence": defense.family, "n_stacks": defense.n_stacks}
        if defense.noise_std is not None:
            row["noise_std"] = defense.noise_std
        if defense.penalty_weight is not None:
            row["penalty_weight"] = defense.penalty_weight
        for setting in SETTINGS:
            accuracy = report.accuracy(setting)
            row[setting] = {"correct": accuracy.correct, "total": accuracy.total}
        row["collapsed"] = report.collapsed
        row["suspicions"] = suspicions(report)
        rows.append(row)
    return {
        "dataset": lab.data.name,
        "budget": lab.budget.name,
        "seed": lab.seed,
        "device": str(lab.device),
        "versions": versions(),
        "attack": lab.report(next(iter(defenses))).attack,
        "rows": rows,
    }


def write_comparison(lab: Lab, defenses: Iterable[Defense]) -> Path:
    """Write `build/results/comparison.json` and `comparison.csv` and return the path of the first."""
    defenses = tuple(defenses)
    path = workspace() / "build" / "results" / "comparison.json"
    write_json(path, comparison_record(lab, defenses))
    write_text(path.with_suffix(".csv"), comparison_frame(lab, defenses).to_csv())
    return path
