"""The attack study in words: what each attack leaves of each defence, as data frames and as a Markdown file."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from torch import Tensor

from magnet_helpers.attacks import CarliniWagner, ElasticNet
from magnet_helpers.files import write_text
from magnet_helpers.intervals import Accuracy
from magnet_helpers.lab.budget import get_budget
from magnet_helpers.study.attack_results import AttackResults, measured
from magnet_helpers.study.grid import MAGNETS_PARTS, UNDER_ATTACK
from magnet_helpers.study.published import LU, LU_CONFIDENCES
from magnet_helpers.study.summary import as_markdown
from magnet_helpers.study.threats import ADAPTIVE, WITHIN_EPSILON, all_threats, confident_threats

QUARTILES = {"25 %": 0.25, "median": 0.5, "75 %": 0.75}


def threat_frame(
    results: AttackResults, defences: Sequence[str], threats: Sequence[str], *, worst_case: bool = False
) -> pd.DataFrame:
    """Return one row per defence: what is not fooled by each attack, in percent with its interval.

    Args:
        results: where to look.
        defences: the rows, in order.
        threats: the columns, in order.
        worst_case: add the worst case, image by image, over those of these attacks that keep within ε. Of a defence
            with detectors it stays open until the attack that knows them was made: without that it would flatter.
    """
    detecting = {each.label for each in UNDER_ATTACK if each.detectors}
    rows = []
    for defence in defences:
        row = {"defence": defence}
        row |= {
            threat: _in_words(results.not_fooled(defence, threat)) if results.find(defence, threat) else "–"
            for threat in threats
        }
        if worst_case:
            worst = results.worst_case(defence, [threat for threat in threats if threat in WITHIN_EPSILON])
            is_open = defence in detecting and not results.find(defence, ADAPTIVE)
            row["worst case"] = "–" if worst is None or is_open else _in_words(worst)
        rows.append(row)
    return pd.DataFrame(rows).set_index("defence")


def _in_words(right: Tensor) -> str:
    share = measured(right)
    return str(share) if isinstance(share, Accuracy) else share.in_percent()


def smallest_change_frame(results: AttackResults, defences: Iterable[str]) -> pd.DataFrame:
    """Return quartiles of the smallest L2 change that fools each defence, over all images and seeds."""
    rows = {}
    for defence in defences:
        least = results.smallest_change(defence).flatten()
        rows[defence] = {name: f"{least.quantile(q, interpolation='lower'):.2f}" for name, q in QUARTILES.items()}
    return pd.DataFrame(rows).T.rename_axis("defence")


def confidence_frame(results: AttackResults, kind: type[CarliniWagner] | type[ElasticNet]) -> pd.DataFrame:
    """Return one row per confidence κ: what is not fooled of MagNet's parts, beside Lu et al. 2018, in percent.

    The last column counts the images that could be made at all.
    """
    budget = get_budget(results.rows[0].budget)
    rows = []
    for kappa, threat in zip(budget.confidences, confident_threats(budget, kind), strict=True):
        if not results.find(MAGNETS_PARTS[0].label, threat.name):
            continue
        row: dict[str, object] = {"κ": f"{kappa:g}"}
        for part in MAGNETS_PARTS[1:]:
            row[part.label] = _in_words(results.not_fooled(part.label, threat.name))
            printed = LU.get((threat.name.split(",")[0], part.label))
            if printed:
                row[f"{part.label}, Lu et al."] = f"{printed[LU_CONFIDENCES.index(kappa)]:.1f}"
        bare = results.find(MAGNETS_PARTS[0].label, threat.name).values()
        row["made"] = f"{sum(each.made for each in bare)} of {sum(each.n for each in bare)}"
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else ["κ", "made"]).set_index("κ")


def cost_frame(results: AttackResults) -> pd.DataFrame:
    """Return what each attack costs: its settings, passes of one image, and seconds for all images of one defence."""
    rows = {}
    for threat in dict.fromkeys(row.threat for row in results.rows):
        some = [row for row in results.rows if row.threat == threat]
        seconds = sum(row.seconds for row in some) / len(some)
        passes = [sum(getattr(row, name) for row in some) / len(some) for name in ("forward_passes", "backward_passes")]
        rows[threat] = {
            "settings": some[0].attack,
            "forward": f"{passes[0]:.0f}",
            "backward": f"{passes[1]:.0f}",
            "seconds": f"{seconds:.1f}",
        }
    return pd.DataFrame(rows).T.rename_axis("attack")


def write_attack_summary(path: Path, results: AttackResults) -> None:
    """Write the study's tables as Markdown."""
    names = [defense.label for defense in UNDER_ATTACK]
    threats = [threat.name for threat in all_threats(get_budget(results.rows[0].budget))]
    parts = {
        f"Not fooled, % (worst case: over the attacks within ε = 0.3: {', '.join(WITHIN_EPSILON)})": threat_frame(
            results, names, threats, worst_case=True
        ),
        "The smallest change that fools, L2": smallest_change_frame(results, names),
        "C&W on the classifier alone, by confidence": confidence_frame(results, CarliniWagner),
        "EAD on the classifier alone, by confidence": confidence_frame(results, ElasticNet),
        "What the attacks cost": cost_frame(results),
    }
    devices = sorted({f"{row.device}, torch {row.torch}" for row in results.rows})
    text = [f"# Attacks: {results.note}", "", "; ".join(devices)]
    text += ["", "Shares of images that are rejected or answered rightly. Made by `python -m magnet_helpers attack`."]
    for title, frame in parts.items():
        text += ["", f"## {title}", "", as_markdown(frame)]
    write_text(path, "\n".join(text) + "\n")
