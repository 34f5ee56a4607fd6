"""The studies in words: each results file as Markdown, and the table of one run of the course."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import display

from magnet_helpers.attacks import CarliniWagner, ElasticNet, Threat
from magnet_helpers.defenses import Defense
from magnet_helpers.evaluation import MEASURED, suspicions
from magnet_helpers.files import write_json, write_text
from magnet_helpers.lab.budget import get_budget
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.tasks import provenance
from magnet_helpers.study.differences import crossed_frame, ledger_frame, penalty_frame, variant_frame
from magnet_helpers.study.grid import TABLE_2, TABLE_3, TABLE_4, UNDER_ATTACK, VARIANTS
from magnet_helpers.study.plan import CLASSIFIER_EPOCHS
from magnet_helpers.study.results import Results
from magnet_helpers.study.run import rows_of
from magnet_helpers.study.tables import (
    accuracy_frame,
    confidence_frame,
    cost_frame,
    smallest_change_frame,
    write_tables,
)
from magnet_helpers.study.threats import (
    PAPERS_SETTINGS,
    STRONG_ATTACK,
    TRUE_LABELS_ATTACK,
    all_threats,
    confident_threats,
)
from magnet_helpers.workspace import workspace


def _settings(attack: Any) -> tuple[Threat, ...]:
    return tuple(Threat(attack, threat.knows) for threat in PAPERS_SETTINGS)


def check_report(path: Path) -> None:
    """Raise a ValueError if a report would overwrite what is none: somebody's notes, or a folder."""
    if path.exists() and (path.is_dir() or not path.read_bytes().startswith((b"# Results: ", b"# Attacks: "))):
        raise ValueError(
            f"{path} would be overwritten, but is no report of a study: move it, or name another results file, as the "
            "report is named after it"
        )


def write_protocol_report(path: Path, results: Results) -> None:
    """Write the tables and the ledger of the paper's protocol as Markdown."""
    first = results.rows[0]
    devices = sorted({f"{row.device}, torch {row.torch}" for row in results.rows})
    remarks = [
        f"{results.note} · {'; '.join(devices)}",
        "Accuracies are means over the seeds in %, differences in points; ± is half of the 95 % interval for other "
        "images and other seeds (of the images alone where there is one seed). FGSM, ε = 0.3, unless another attack is "
        "named. Made by `python -m magnet_helpers reproduce` from the file of the same name.",
    ]
    if first.budget != "paper":
        remarks.append(
            "**This is not the paper's budget**: the paper's numbers stand beside ours for orientation only."
        )

    def beside_paper(defenses: Iterable[Defense], **options: Any) -> pd.DataFrame:
        return accuracy_frame(results, defenses, beside_paper=True, **options)

    lengths = {
        f"Table 4 with classifiers of {epochs} epochs": beside_paper(TABLE_4, epochs=epochs)
        for epochs in CLASSIFIER_EPOCHS
        if epochs != results.epochs
    }
    tables = {
        "Table 2, denoising autoencoders and stacks": beside_paper(TABLE_2),
        "Table 3, contractive autoencoders": beside_paper(TABLE_3),
        "Table 4": beside_paper(TABLE_4),
        "The author's program beside the paper's text": beside_paper(VARIANTS),
        "Each variant's difference from the text, in points": variant_frame(results),
        "The contractive penalties at equal λ and at equal measured ‖J‖²": penalty_frame(results),
        "Table 4 with FGSM on the true labels": beside_paper(TABLE_4, threats=_settings(TRUE_LABELS_ATTACK)),
        **lengths,
        "Table 4 under PGD, 100 steps, 5 restarts, true labels": beside_paper(
            TABLE_4, threats=_settings(STRONG_ATTACK)
        ),
        "Spread between seeds, in points": crossed_frame(results),
    }
    tables = {title: frame for title, frame in tables.items() if len(frame) and frame["seeds"].astype(bool).any()}
    tables["The ledger of the paper's claims"] = ledger_frame(results)
    write_tables(path, f"Results: {first.dataset}, {first.budget} budget", remarks, tables)


def write_attack_report(path: Path, results: Results) -> None:
    """Write the attack study's tables as Markdown."""
    budget = get_budget(results.rows[0].budget)
    threats = all_threats(budget)
    confident = [*confident_threats(budget, CarliniWagner), *confident_threats(budget, ElasticNet)]
    names = ", ".join(threat.name for threat in threats.within_epsilon)
    devices = sorted({f"{row.device}, torch {row.torch}" for row in results.rows})
    remarks = [
        "; ".join(devices),
        "Shares of images that are rejected or answered rightly. Made by `python -m magnet_helpers attack`.",
    ]
    tables = {
        f"Not fooled, % (worst case: over the attacks within ε = 0.3: {names})": accuracy_frame(
            results, UNDER_ATTACK, threats, worst_case=True
        ),
        "The smallest change that fools, L2": smallest_change_frame(results, UNDER_ATTACK),
        "C&W on the classifier alone, by confidence": confidence_frame(results, CarliniWagner),
        "EAD on the classifier alone, by confidence": confidence_frame(results, ElasticNet),
        "What the attacks cost": cost_frame(results, [*threats, *confident]),
    }
    write_tables(path, f"Attacks: {results.note}", remarks, tables)


# ---- one run of the course


def _results_of(lab: Lab, defenses: Iterable[Defense]) -> Results:
    """Return the results of a lab's own reports of these defences, which are made if they are missing."""
    cells = [lab.cell(defense) for defense in defenses]
    lab.make(cells)
    return Results(row for cell in cells for row in rows_of(lab, cell))


def _comparison_frame(lab: Lab, defenses: Iterable[Defense]) -> pd.DataFrame:
    """Return a table with one row per defence: our accuracy with its 95 % interval, and the paper's, in percent."""
    defenses = tuple(defenses)
    return accuracy_frame(_results_of(lab, defenses), defenses, beside_paper=True).drop(columns="seeds")


def show_table(lab: Lab, defenses: Iterable[Defense]) -> None:
    """Show the table of these defences in a notebook, and under it what a careful reader would doubt."""
    defenses = tuple(defenses)
    frame = _comparison_frame(lab, defenses)
    caption = f"Accuracy in %, ours with 95 % Wilson interval of the test images · {lab.note}"
    display(frame.style.set_caption(caption))
    doubts = [f"{defense.label}: {doubt}" for defense in defenses for doubt in suspicions(lab.report(defense))]
    print("\n".join(["What a careful reader would doubt:", *(f"  - {doubt}" for doubt in doubts or ["nothing found"])]))


def _comparison_record(lab: Lab, defenses: Iterable[Defense]) -> dict[str, Any]:
    """Return the counts behind the table, with everything they depend on, for `comparison.json`."""
    rows = []
    for defense in defenses:
        report = lab.report(defense)
        row: dict[str, Any] = {"defense": defense.label, "family": defense.family, "n_stacks": defense.n_stacks}
        if defense.noise_std is not None:
            row["noise_std"] = defense.noise_std
        if defense.penalty_weight is not None:
            row["penalty_weight"] = defense.penalty_weight
        for knows in MEASURED:
            accuracy = report.accuracy(knows)
            row[knows.label] = {"correct": accuracy.correct, "total": accuracy.total}
        row["collapsed"] = report.collapsed
        row["suspicions"] = suspicions(report)
        rows.append(row)
    return {
        "dataset": lab.data.name,
        "budget": lab.budget.name,
        "seed": lab.seed,
        **provenance(lab.device),
        "attack": repr(PAPERS_SETTINGS[0].attack),
        "rows": rows,
    }


def write_comparison(lab: Lab, defenses: Iterable[Defense]) -> Path:
    """Write `build/results/comparison.json` and `comparison.csv` and return the path of the first."""
    defenses = tuple(defenses)
    path = workspace() / "build" / "results" / "comparison.json"
    write_json(path, _comparison_record(lab, defenses))
    write_text(path.with_suffix(".csv"), _comparison_frame(lab, defenses).to_csv())
    return path
