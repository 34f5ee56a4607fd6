"""A results file in words: the paper's tables with ours beside them, the variants, and the ledger, as data frames."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from magnet_helpers.artifacts import write_text
from magnet_helpers.defenses import NO_REFORMER, Defense
from magnet_helpers.experiments import TABLE_2, TABLE_3, TABLE_4, VARIANTS
from magnet_helpers.ledger import Results, ledger
from magnet_helpers.paper import SETTINGS, paper_number
from magnet_helpers.reproduce import Row, read_rows
from magnet_helpers.workspace import data_folder

TITLES = {"clean": "clean", "grey_box": "grey box", "white_box": "white box"}


def results_file(budget: str) -> Path:
    """Return where the project keeps the results of a budget that it has run itself."""
    return data_folder() / "results" / f"{budget}.csv"


def load_results(budget: str) -> Results:
    """Return the results that the project has run with a budget; empty if it has none, or if this is no checkout."""
    path = results_file(budget)
    return Results(read_rows(path) if path.exists() else [])


def results_frame(results: Results, defenses: Iterable[Defense]) -> pd.DataFrame:
    """Return one row per defence: mean accuracy over the seeds with its interval, beside the paper's, in percent."""
    rows = []
    for defense in defenses:
        row: dict[str, object] = {"defence": defense.label, "seeds": len(results.find(defense, "clean"))}
        for setting in SETTINGS:
            ours, printed = results.accuracy(defense, setting), paper_number(defense, setting)
            hidden = setting == "grey_box" and defense == NO_REFORMER
            row[f"{TITLES[setting]}, ours"] = "–" if hidden or ours is None else ours.in_percent()
            row[f"{TITLES[setting]}, paper"] = f"{printed.percent:.2f}" if printed else "–"
        rows.append(row)
    return pd.DataFrame(rows).set_index("defence")


def ledger_frame(results: Results) -> pd.DataFrame:
    """Return the ledger: claim, the paper's difference and ours in points, seeds, verdict."""
    entries = ledger(results)
    return pd.DataFrame(
        {
            "claim": [entry.claim for entry in entries],
            "paper": [entry.paper for entry in entries],
            "ours": [entry.ours for entry in entries],
            "seeds": [entry.seeds for entry in entries],
            "verdict": [entry.verdict for entry in entries],
        }
    ).set_index("claim")


def write_summary(path: Path, rows: Iterable[Row]) -> None:
    """Write the tables and the ledger of one results file as Markdown, beside a note that says what they come from."""
    rows = list(rows)
    results = Results(rows)
    of_one_seed = results.rows
    seeds = sorted({row.reformer_seed for row in of_one_seed})
    sizes = sorted({row.n for row in of_one_seed})
    devices = sorted({f"{row.device}, torch {row.torch}" for row in of_one_seed})
    first = of_one_seed[0]
    text = [
        f"# Results: {first.dataset}, {first.budget} budget",
        "",
        f"Seeds {', '.join(map(str, seeds))}; {' or '.join(f'{n:,}' for n in sizes)} test images; "
        f"{'; '.join(devices)}. "
        "Accuracies are means over the seeds in %, differences in points; ± is half of the 95 % interval for other "
        "images and other seeds (of the images alone where there is one seed). FGSM, ε = 0.3, unless another attack is "
        "named. Made by `python -m magnet_helpers reproduce` from the file of the same name.",
    ]
    if first.budget != "paper":
        text += ["", "**This is not the paper's budget**: the paper's numbers stand beside ours for orientation only."]
    parts = {
        "Table 2, denoising autoencoders and stacks": results_frame(results, TABLE_2),
        "Table 3, contractive autoencoders": results_frame(results, TABLE_3),
        "Table 4": results_frame(results, TABLE_4),
        "The author's program beside the paper's text": results_frame(results, VARIANTS),
        "The ledger of the paper's claims": ledger_frame(results),
    }
    for title, frame in parts.items():
        text += ["", f"## {title}", "", as_markdown(frame)]
    write_text(path, "\n".join(text) + "\n")


def as_markdown(frame: pd.DataFrame) -> str:
    """Return a data frame as a Markdown table."""
    header = [str(frame.index.name or ""), *map(str, frame.columns)]
    lines = [
        header,
        ["---"] * len(header),
        *([str(i), *map(str, row)] for i, row in zip(frame.index, frame.to_numpy(), strict=True)),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
