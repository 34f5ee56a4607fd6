"""The one way from results to tables: defences in rows, threats in columns, each share with its interval."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from torch import Tensor

from magnet_helpers.attacks import CarliniWagner, ElasticNet, Knowledge, Threat
from magnet_helpers.defenses import NO_REFORMER, Defense
from magnet_helpers.files import write_text
from magnet_helpers.intervals import Accuracy
from magnet_helpers.lab.budget import get_budget
from magnet_helpers.magnet import MagNetSpec
from magnet_helpers.study.grid import MAGNETS_PARTS
from magnet_helpers.study.published import LU, LU_CONFIDENCES, paper_number
from magnet_helpers.study.results import Named, Results, measured
from magnet_helpers.study.threats import PAPERS_SETTINGS, all_threats, confident_threats

_QUARTILES = {"25 %": 0.25, "median": 0.5, "75 %": 0.75}


def _in_words(right: Tensor) -> str:
    """Return the share of (S, N) booleans in percent, with its interval."""
    share = measured(right)
    return str(share) if isinstance(share, Accuracy) else share.in_percent()


def _marked(results: Results, text: str, seeds: Iterable[int], among: Iterable[int] | None = None) -> str:
    """Return a number's text, and after it which of the seeds it lacks that stand with the table."""
    missing = results.without(seeds, among)
    return f"{text} ({missing})" if missing else text


def accuracy_frame(
    results: Results,
    defenses: Iterable[Named],
    threats: Sequence[Threat] = PAPERS_SETTINGS,
    *,
    beside_paper: bool = False,
    worst_case: bool = False,
    epochs: int | None = None,
) -> pd.DataFrame:
    """Return one row per defence: what is not fooled under each threat, in percent with its interval.

    A number that lacks some of the results' seeds, or of those that its row counts, says which.

    Args:
        results: where to look.
        defenses: the rows, in order.
        threats: the columns, in order.
        beside_paper: each column twice, ours and the paper's, and before them the number of seeds. The paper's numbers
            are FGSM's and stand beside that only; it prints no grey box of the classifier alone.
        worst_case: add the worst case, image by image, over those of these attacks that keep within ε. Of a defence
            with detectors it stays open until the attack that knows them was made: without that it would flatter.
        epochs: of the classifier's training; default: the budget's.
    """
    rows = []
    for defense in defenses:
        row: dict[str, object] = {"defence": defense.label}
        stated = set(results.find(defense, threats[0], epochs)) if beside_paper else None
        if stated is not None:
            row["seeds"] = len(stated)
        for threat in threats:
            seeds = results.find(defense, threat, epochs)
            text = "–"
            if seeds:
                text = _in_words(results.not_fooled(defense, threat, epochs=epochs))
                text = _marked(results, text, seeds, stated)
            if not beside_paper:
                row[threat.name] = text
                continue
            hidden = threat.knows is Knowledge.CLASSIFIER and defense == NO_REFORMER
            printed = paper_number(defense, threat) if isinstance(defense, Defense) else None
            row[f"{threat.knows.label}, ours"] = "–" if hidden else text
            row[f"{threat.knows.label}, paper"] = f"{printed.percent:.2f}" if printed else "–"
        if worst_case:
            row["worst case"] = _worst_case(results, defense, threats)
        rows.append(row)
    return pd.DataFrame(rows).set_index("defence")


def _worst_case(results: Results, defense: Named, threats: Sequence[Threat]) -> str:
    budget_threats = all_threats(get_budget(results.rows[0].budget))
    within = [threat for threat in threats if threat in budget_threats.within_epsilon]
    worst = results.worst_case(defense, within)
    has_detectors = isinstance(defense, MagNetSpec) and bool(defense.detectors)
    is_open = has_detectors and not results.find(defense, budget_threats.pgd_detectors_known)
    if worst is None or is_open:
        return "–"
    return _marked(results, _in_words(worst), {seed for threat in within for seed in results.find(defense, threat)})


def smallest_change_frame(results: Results, defenses: Iterable[Named]) -> pd.DataFrame:
    """Return quartiles of the smallest L2 change that fools each defence, over all images and seeds."""
    rows = {}
    for defense in defenses:
        least = results.smallest_change(defense).flatten()
        rows[defense.label] = {
            name: f"{least.quantile(q, interpolation='lower'):.2f}" for name, q in _QUARTILES.items()
        }
    return pd.DataFrame(rows).T.rename_axis("defence")


def confidence_frame(results: Results, kind: type[CarliniWagner] | type[ElasticNet]) -> pd.DataFrame:
    """Return one row per confidence κ: what is not fooled of MagNet's parts, beside Lu et al. 2018, in percent.

    The last column counts the images that could be made at all.
    """
    budget = get_budget(results.rows[0].budget)
    bare, *parts = MAGNETS_PARTS
    rows = []
    for kappa, threat in zip(budget.confidences, confident_threats(budget, kind), strict=True):
        made = results.find(bare, threat).values()
        if not made:
            continue
        row: dict[str, object] = {"κ": f"{kappa:g}"}
        for part in parts:
            text = _in_words(results.not_fooled(part, threat))
            row[part.label] = _marked(results, text, results.find(part, threat))
            printed = LU.get((threat.name.split(",")[0], part.label))
            if printed:
                row[f"{part.label}, Lu et al."] = f"{printed[LU_CONFIDENCES.index(kappa)]:.1f}"
        row["made"] = f"{sum(line.made or 0 for line in made)} of {sum(line.n for line in made)}"
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else ["κ", "made"]).set_index("κ")


def cost_frame(results: Results, threats: Iterable[Threat]) -> pd.DataFrame:
    """Return what each attack costs: its settings, passes of one image, and seconds for all images of one defence."""
    names = {(repr(threat.attack), threat.knows): threat.name for threat in threats}
    rows = {}
    for key in dict.fromkeys((row.attack, row.knows) for row in results.rows):
        if key not in names:
            continue
        lines = [row for row in results.rows if (row.attack, row.knows) == key]
        means = {
            column: sum(getattr(line, column) for line in lines) / len(lines)
            for column in ("forward_passes", "backward_passes", "seconds")
        }
        rows[names[key]] = {
            "settings": lines[0].attack,
            "forward": f"{means['forward_passes']:.0f}",
            "backward": f"{means['backward_passes']:.0f}",
            "seconds": f"{means['seconds']:.1f}",
        }
    return pd.DataFrame(rows).T.rename_axis("attack")


def _as_markdown(frame: pd.DataFrame) -> str:
    """Return a data frame as a Markdown table."""
    header = [str(frame.index.name or ""), *map(str, frame.columns)]
    lines = [
        header,
        ["---"] * len(header),
        *([str(i), *map(str, row)] for i, row in zip(frame.index, frame.to_numpy(), strict=True)),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_tables(path: Path, title: str, remarks: Iterable[str], tables: dict[str, pd.DataFrame]) -> None:
    """Write tables as a Markdown file, with remarks under its title."""
    lines = [f"# {title}"]
    for remark in remarks:
        lines += ["", remark]
    for heading, frame in tables.items():
        lines += ["", f"## {heading}", "", _as_markdown(frame)]
    write_text(path, "\n".join(lines) + "\n")
