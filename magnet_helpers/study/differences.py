"""Differences in words: the ledger, the variants, the penalties, and whose seed it is, as data frames."""

from dataclasses import replace

import numpy as np
import pandas as pd

from magnet_helpers.attacks import Threat
from magnet_helpers.defenses import PAPERS_TEXT, Defense, contractive, denoising
from magnet_helpers.study.grid import OTHER_PENALTIES, TABLE_3, TABLE_4, VARIANCE_AS_STD, VARIANTS
from magnet_helpers.study.ledger import ledger_entries
from magnet_helpers.study.results import Results
from magnet_helpers.study.threats import CLEAN, GREY_BOX, PAPERS_SETTINGS, TRUE_LABELS_ATTACK, WHITE_BOX

Settings = tuple[Threat, ...]


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
    pairs: dict[str, tuple[tuple[Defense, Settings], tuple[Defense, Settings]]] = {}
    for defense in VARIANTS:
        text = replace(defense, variant=PAPERS_TEXT)
        if defense.family == "denoising" and defense.noise_std == VARIANCE_AS_STD:
            text = denoising(VARIANCE_AS_STD**2)
        if defense != text:
            pairs[defense.label] = (text, PAPERS_SETTINGS), (defense, PAPERS_SETTINGS)
    with_labels = tuple(Threat(TRUE_LABELS_ATTACK, threat.knows) for threat in PAPERS_SETTINGS)
    for defense in TABLE_4[1:]:
        pairs[f"{defense.label}, FGSM on true labels"] = (defense, PAPERS_SETTINGS), (defense, with_labels)
    rows = []
    for name, ((first, threats), (second, other_threats)) in pairs.items():
        gains = {
            threat.knows: results.gain((first, threat), (second, other_threat))
            for threat, other_threat in zip(threats, other_threats, strict=True)
            if first != second or threat is not CLEAN
        }
        row: dict[str, object] = {
            "variant": name,
            "seeds": max((gain.n_seeds for gain in gains.values() if gain), default=0),
        }
        for threat in PAPERS_SETTINGS:
            gain = gains.get(threat.knows)
            row[threat.knows.label] = gain.in_percent(signed=True) if gain else "–"
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
            same_weight = contractive(defense.penalty_weight or 0.0)
            row: dict[str, object] = {"penalty": f"{penalty}, λ = {defense.penalty_weight:g}", "seeds": len(norms)}
            row["‖J‖²"], row["‖J‖², paper's penalty"] = (
                f"{np.mean(list(measured.values())):.3g}" if measured else "–"
                for measured in (norms, results.jacobian(same_weight))
            )
            for threat in (GREY_BOX, WHITE_BOX):
                gains = {
                    "equal λ": results.gain((same_weight, threat), (defense, threat)),
                    "equal ‖J‖²": results.gain_at_equal_jacobian(defense, TABLE_3, threat),
                }
                for name, gain in gains.items():
                    text = "–"
                    if gain:
                        number = gain.in_percent(signed=True) if gain.n_seeds > 1 else f"{100 * gain.value:+.1f}"
                        text = f"{number} ({gain.n_seeds})"
                    row[f"{threat.knows.label}, {name}"] = text
            rows.append(row)
    return pd.DataFrame(rows).set_index("penalty")


def crossed_frame(results: Results) -> pd.DataFrame:
    """Return how much of an accuracy's spread comes from the classifier's seed, and how much from the reformer's.

    One row per defence of Table 4 and setting: the standard deviation, in points, of the means over the other one's
    seeds, where every classifier was measured with every reformer.
    """
    rows = []
    for defense in TABLE_4:
        for threat in PAPERS_SETTINGS:
            accuracies = results.crossed(defense, threat)
            seeds = sorted({seed for pair in accuracies for seed in pair})
            if len(seeds) > 1 and len(accuracies) == len(seeds) ** 2:
                table = 100 * np.array(
                    [
                        [accuracies[classifier_seed, reformer_seed] for reformer_seed in seeds]
                        for classifier_seed in seeds
                    ]
                )
                rows.append(
                    {
                        "defence": f"{defense.label}, {threat.knows.label}",
                        "seeds": f"{len(seeds)} × {len(seeds)}",
                        "mean": f"{table.mean():.1f}",
                        "of the classifier": f"{table.mean(axis=1).std(ddof=1):.1f}",
                        "of the reformer": f"{table.mean(axis=0).std(ddof=1):.1f}",
                    }
                )
    return pd.DataFrame(rows, columns=["defence", "seeds", "mean", "of the classifier", "of the reformer"]).set_index(
        "defence"
    )
