"""A results file in words: the paper's tables with ours beside them, the variants, and the ledger, as data frames."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from magnet_helpers.defenses import NO_REFORMER, PAPERS_TEXT, Defense, contractive, denoising
from magnet_helpers.files import write_text
from magnet_helpers.study.grid import OTHER_PENALTIES, TABLE_2, TABLE_3, TABLE_4, VARIANCE_AS_STD, VARIANTS
from magnet_helpers.study.ledger import FGSM_SETTINGS, PGD_SETTINGS, TRUE_LABELS_SETTINGS, Results, ledger_entries
from magnet_helpers.study.published import SETTINGS, paper_number
from magnet_helpers.study.reproduce import CLASSIFIER_EPOCHS, Row
from magnet_helpers.study.result_files import kept_results, read_rows

SETTING_TITLES = {"clean": "clean", "grey_box": "grey box", "white_box": "white box"}


def load_results(budget: str) -> Results:
    """Return the results that the project has run itself with a budget and keeps in `data/results/`.

    Args:
        budget: `"fast"` or `"paper"`.

    Raises:
        FileNotFoundError: if there is no such file, see `result_files.kept_results`.
    """
    return Results(read_rows(kept_results(f"{budget}.csv"), Row))


def results_frame(
    results: Results, defenses: Iterable[Defense], attack: str = FGSM_SETTINGS, epochs: int | None = None
) -> pd.DataFrame:
    """Return one row per defence: mean accuracy over the seeds with its interval, beside the paper's, in percent.

    Args:
        results: where to look.
        defenses: the rows, in order.
        attack: the attack with its settings. The paper's numbers are FGSM's and stand beside that only.
        epochs: of the classifier's training; default: the budget's.
    """
    rows = []
    for defense in defenses:
        seeds = len(results.find(defense, "clean", attack, epochs))
        row: dict[str, object] = {"defence": defense.label, "seeds": seeds}
        for setting in SETTINGS:
            ours = results.accuracy(defense, setting, attack, epochs)
            printed = paper_number(defense, setting) if attack == FGSM_SETTINGS else None
            hidden = setting == "grey_box" and defense == NO_REFORMER
            row[f"{SETTING_TITLES[setting]}, ours"] = "–" if hidden or ours is None else ours.in_percent()
            row[f"{SETTING_TITLES[setting]}, paper"] = f"{printed.percent:.2f}" if printed else "–"
        rows.append(row)
    return pd.DataFrame(rows).set_index("defence")


def ledger_frame(results: Results) -> pd.DataFrame:
    """Return the ledger: claim, the paper's difference and ours in points, seeds and images, verdict, why.

    What was not measured has no verdict: a dash.
    """
    entries = ledger_entries(results)
    return pd.DataFrame(
        {
            "claim": [entry.claim for entry in entries],
            "paper": [entry.paper for entry in entries],
            "ours": [entry.ours for entry in entries],
            "seeds × images": [
                f"{entry.seeds} × {entry.gain.n_images:,}" if entry.gain else str(entry.seeds) for entry in entries
            ],
            "verdict": [entry.verdict if entry.seeds else "–" for entry in entries],
            "why": [entry.why for entry in entries],
        }
    ).set_index("claim")


def variant_frame(results: Results) -> pd.DataFrame:
    """Return by how much each variant is more accurate than the paper's text, paired, in points.

    Each departs in one thing. The last rows are FGSM on the true labels beside FGSM on the model's own answers; clean
    images have nothing to do with that.
    """
    pairs = {}
    for defense in VARIANTS:
        text = replace(defense, variant=PAPERS_TEXT)
        if defense.family == "denoising" and defense.noise_std == VARIANCE_AS_STD:
            text = denoising(VARIANCE_AS_STD**2)
        if defense != text:
            pairs[defense.label] = (text, FGSM_SETTINGS), (defense, FGSM_SETTINGS)
    for defense in TABLE_4[1:]:
        pairs[f"{defense.label}, FGSM on true labels"] = (defense, FGSM_SETTINGS), (defense, TRUE_LABELS_SETTINGS)
    rows = []
    for name, ((first, attack), (second, other)) in pairs.items():
        gains = {
            setting: results.gain((first, setting, attack), (second, setting, other))
            for setting in SETTINGS
            if first != second or setting != "clean"
        }
        row: dict[str, object] = {
            "variant": name,
            "seeds": max((each.n_seeds for each in gains.values() if each), default=0),
        }
        for setting in SETTINGS:
            gain = gains.get(setting)
            row[SETTING_TITLES[setting]] = gain.in_percent(signed=True) if gain else "–"
        rows.append(row)
    return pd.DataFrame(rows).set_index("variant")


def penalty_frame(results: Results) -> pd.DataFrame:
    """Return each other penalty beside the paper's, at equal λ and at equal measured ‖J‖²_F, in points of accuracy.

    Columns: the mean norm over the seeds, the mean norm of the paper's penalty with the same λ, and in the grey and
    the white box by how much the other penalty is more accurate than the paper's, in brackets for how many seeds. One
    seed has no interval: that of its images alone would look narrower than those beside it.
    """
    rows = []
    for penalty, defenses in OTHER_PENALTIES.items():
        for defense in defenses:
            norms = results.jacobian(defense)
            same = contractive(defense.penalty_weight or 0.0)
            row: dict[str, object] = {"penalty": f"{penalty}, λ = {defense.penalty_weight:g}", "seeds": len(norms)}
            row["‖J‖²"], row["‖J‖², paper's penalty"] = (
                f"{np.mean(list(found.values())):.3g}" if found else "–" for found in (norms, results.jacobian(same))
            )
            for setting in SETTINGS[1:]:
                keys = ((each, setting, FGSM_SETTINGS) for each in (same, defense))
                gains = {
                    "equal λ": results.gain(*keys),
                    "equal ‖J‖²": results.gain_at_equal_jacobian(defense, TABLE_3, setting),
                }
                for name, gain in gains.items():
                    text = "–"
                    if gain:
                        number = gain.in_percent(signed=True) if gain.n_seeds > 1 else f"{100 * gain.value:+.1f}"
                        text = f"{number} ({gain.n_seeds})"
                    row[f"{SETTING_TITLES[setting]}, {name}"] = text
            rows.append(row)
    return pd.DataFrame(rows).set_index("penalty")


def crossed_frame(results: Results) -> pd.DataFrame:
    """Return how much of an accuracy's spread comes from the classifier's seed, and how much from the reformer's.

    One row per defence of Table 4 and setting: the standard deviation, in points, of the means over the other one's
    seeds, where every classifier was measured with every reformer.
    """
    rows = []
    for defense in TABLE_4:
        for setting in SETTINGS:
            found = results.crossed(defense, setting)
            seeds = sorted({seed for pair in found for seed in pair})
            if len(seeds) > 1 and len(found) == len(seeds) ** 2:
                table = 100 * np.array([[found[one, other] for other in seeds] for one in seeds])
                rows.append(
                    {
                        "defence": f"{defense.label}, {SETTING_TITLES[setting]}",
                        "seeds": f"{len(seeds)} × {len(seeds)}",
                        "mean": f"{table.mean():.1f}",
                        "of the classifier": f"{table.mean(axis=1).std(ddof=1):.1f}",
                        "of the reformer": f"{table.mean(axis=0).std(ddof=1):.1f}",
                    }
                )
    return pd.DataFrame(rows, columns=["defence", "seeds", "mean", "of the classifier", "of the reformer"]).set_index(
        "defence"
    )


def write_summary(path: Path, rows: Iterable[Row]) -> None:
    """Write the tables and the ledger of one results file as Markdown, beside a note that says what they come from."""
    rows = list(rows)
    results = Results(rows)
    devices = sorted({f"{row.device}, torch {row.torch}" for row in rows})
    first = rows[0]
    text = [
        f"# Results: {first.dataset}, {first.budget} budget",
        "",
        f"{results.note} · {'; '.join(devices)}",
        "",
        "Accuracies are means over the seeds in %, differences in points; ± is half of the 95 % interval for other "
        "images and other seeds (of the images alone where there is one seed). FGSM, ε = 0.3, unless another attack is "
        "named. Made by `python -m magnet_helpers reproduce` from the file of the same name.",
    ]
    if first.budget != "paper":
        text += ["", "**This is not the paper's budget**: the paper's numbers stand beside ours for orientation only."]
    lengths = {
        f"Table 4 with classifiers of {epochs} epochs": results_frame(results, TABLE_4, epochs=epochs)
        for epochs in CLASSIFIER_EPOCHS
        if epochs != results.epochs
    }
    parts = {
        "Table 2, denoising autoencoders and stacks": results_frame(results, TABLE_2),
        "Table 3, contractive autoencoders": results_frame(results, TABLE_3),
        "Table 4": results_frame(results, TABLE_4),
        "The author's program beside the paper's text": results_frame(results, VARIANTS),
        "Each variant's difference from the text, in points": variant_frame(results),
        "The contractive penalties at equal λ and at equal measured ‖J‖²": penalty_frame(results),
        "Table 4 with FGSM on the true labels": results_frame(results, TABLE_4, TRUE_LABELS_SETTINGS),
        **lengths,
        "Table 4 under PGD, 100 steps, 5 restarts, true labels": results_frame(results, TABLE_4, PGD_SETTINGS),
        "Spread between seeds, in points": crossed_frame(results),
    }
    measured = {title: frame for title, frame in parts.items() if len(frame) and frame["seeds"].astype(bool).any()}
    for title, frame in {**measured, "The ledger of the paper's claims": ledger_frame(results)}.items():
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
