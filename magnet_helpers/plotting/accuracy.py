"""Accuracies: which digit is taken for which, curves and comparisons with 95 % intervals, ours beside the paper's."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from magnet_helpers.contracts import check_from_zero, check_labels
from magnet_helpers.plotting.style import COLORS, LINES, MARKERS, new_figure

PAPER = "paper (MNIST)"  # how a legend calls the paper's own numbers
_ZOOM = 5  # points
_VERDICT_STYLES = {"holds": (2, "o"), "does not hold": (3, "s"), "undecided": (7, "D")}


class Measured(Protocol):
    """A share with its 95 % interval: `evaluation.Accuracy`, or `intervals.Estimate` over several seeds."""

    @property
    def value(self) -> float:
        """The share, in [0, 1]; of a difference, in [−1, 1]."""

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of its interval."""


def plot_confusion(predictions: Mapping[str, Tensor], labels: Tensor, note: str) -> Figure:
    """Draw a confusion matrix per name: rows are true digits, columns answers, each row in percent of its digit.

    Raises:
        TypeError, ValueError: if labels or answers are not class numbers from 0 on, one for each image.
    """
    n = len(labels)
    labels = check_from_zero(check_labels(labels, n)).cpu()
    predictions = {name: check_from_zero(check_labels(each, n, name=name), name) for name, each in predictions.items()}
    figure, grid = new_figure(1, len(predictions), (4.1 * len(predictions), 4.0), note, squeeze=False)
    for axes, (name, answers) in zip(grid[0], predictions.items(), strict=True):
        size = max(10, 1 + int(labels.max()), 1 + int(answers.max()))
        counts = np.zeros((size, size))
        np.add.at(counts, (labels.numpy(), answers.cpu().numpy()), 1)
        percent = 100 * counts / counts.sum(axis=1, keepdims=True).clip(min=1)
        sns.heatmap(
            percent, ax=axes, cmap="cividis", vmin=0, vmax=100, cbar=False, annot=True, fmt=".0f", annot_kws={"size": 7}
        )
        axes.set(title=f"{name} (% of each digit)", xlabel="answer", ylabel="digit")
    return figure


def _draw_accuracies(
    axes: Axes, xs: Sequence[float], accuracies: Sequence[Measured], *, band: bool = False, **style: Any
) -> None:
    values = np.array([100 * accuracy.value for accuracy in accuracies])
    bounds = 100 * np.array([accuracy.interval for accuracy in accuracies])
    if band:
        axes.plot(xs, values, **style)
        axes.fill_between(xs, bounds[:, 0], bounds[:, 1], color=style["color"], alpha=0.2, linewidth=0)
        return
    # Rounding may put a bound a hair inside the value at 0 and 100 %.
    errors = np.abs(np.stack([values - bounds[:, 0], bounds[:, 1] - values]))
    axes.errorbar(xs, values, yerr=errors, capsize=2, **style)


def plot_accuracy_curves(
    xs: Sequence[float],
    curves: Mapping[str, Sequence[Measured]],
    note: str,
    *,
    x_name: str,
    paper: Mapping[str, Sequence[float | None]] | None = None,
    tick_labels: Sequence[str] | None = None,
    bands: bool = False,
    y_name: str = "accuracy (%)",
    printed_in: str = PAPER,
) -> Figure:
    """Draw accuracies with their 95 % intervals, and the paper's as hollow markers on a thin dotted line.

    Args:
        xs: one position for each accuracy of a curve.
        curves: name to accuracies.
        note: what the numbers were made with.
        x_name: the horizontal axis's name, with its unit.
        paper: name (as in `curves`) to the paper's percentages; None where the paper has no number.
        printed_in: which paper that is, for the legend.
        tick_labels: written at `xs` in place of the numbers, for values that a linear axis cannot show.
        bands: draw the intervals as bands, as for means over several seeds.
        y_name: the vertical axis's name, in percent.

    >>> from magnet_helpers import Accuracy
    >>> curves = {"vanilla AE": [Accuracy(90, 100), Accuracy(40, 100)]}
    >>> figure = plot_accuracy_curves([0.0, 0.3], curves, "100 images", x_name="ε (pixel units)")
    >>> figure.axes[0].get_xlabel()
    'ε (pixel units)'
    """
    figure, axes = new_figure(1, 1, (7.4, 4.0), note)
    positions = list(range(len(xs))) if tick_labels else list(xs)
    for index, (name, accuracies) in enumerate(curves.items()):
        style = {"color": COLORS[index % len(COLORS)], "marker": MARKERS[index % len(MARKERS)]}
        line = LINES[index % len(LINES)]
        _draw_accuracies(axes, positions, accuracies, band=bands, label=name, linestyle=line, **style)
        if paper and name in paper:
            printed = [np.nan if percent is None else percent for percent in paper[name]]
            axes.plot(
                positions,
                printed,
                linestyle=":",
                linewidth=1,
                markerfacecolor="white",
                label=f"{name}: {printed_in}",
                **style,
            )
    axes.set(xlabel=x_name, ylabel=y_name, ylim=(-3, 103))
    if tick_labels:
        axes.set_xticks(positions, tick_labels)
    _ours_first_legend(axes, printed_in)
    return figure


def _ours_first_legend(axes: Axes, printed_in: str = PAPER) -> None:
    entries = sorted(
        zip(*axes.get_legend_handles_labels(), strict=True), key=lambda entry: entry[1].endswith(printed_in)
    )
    handles, labels = zip(*entries, strict=True)
    axes.legend(handles, labels, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))


def plot_comparison(
    accuracies: Mapping[str, Mapping[str, Measured]],
    paper: Mapping[str, Mapping[str, float | None]],
    note: str,
) -> Figure:
    """Draw one line per defence with its accuracy in each setting, ours (filled) and the paper's (hollow).

    Args:
        accuracies: defence to setting to accuracy, for example `{"vanilla AE": {"clean": …}}`.
        paper: the same with the paper's percentages; None where it has no number.
        note: what the numbers were made with.
    """
    figure, axes = new_figure(1, 1, (7.4, 0.5 * len(accuracies) + 1.5), note)
    heights = np.arange(len(accuracies))[::-1]
    settings = list(next(iter(accuracies.values())))
    for index, setting in enumerate(settings):
        style = {"color": COLORS[index], "marker": MARKERS[index], "linestyle": "none"}
        measured = [row[setting] for row in accuracies.values()]
        values = np.array([100 * accuracy.value for accuracy in measured])
        bounds = 100 * np.array([accuracy.interval for accuracy in measured])
        errors = np.abs(np.stack([values - bounds[:, 0], bounds[:, 1] - values]))
        axes.errorbar(values, heights + 0.12, xerr=errors, capsize=2, label=setting.replace("_", " "), **style)
        printed = [paper[name].get(setting) for name in accuracies]
        percents = [np.nan if percent is None else percent for percent in printed]
        label = f"{setting.replace('_', ' ')}: {PAPER}"
        axes.plot(percents, heights - 0.12, markerfacecolor="white", label=label, **style)
    axes.set_yticks(heights, list(accuracies))
    axes.set(xlabel="accuracy (%)", xlim=(-2, 102))
    _ours_first_legend(axes)
    return figure


def plot_differences(
    differences: Mapping[str, Measured],
    papers: Mapping[str, float | None],
    verdicts: Mapping[str, str],
    note: str,
    *,
    thresholds: Mapping[str, float] | None = None,
) -> Figure:
    """Draw one line per claim: our difference in points with its 95 % interval, and the paper's as a cross.

    Twice: all of it, and enlarged around 0, where small differences lie.

    Args:
        differences: claim to our difference, as a share.
        papers: claim to the paper's difference in points; None where it prints no such numbers.
        verdicts: claim to `"holds"`, `"does not hold"` or `"undecided"`: each has its own colour and marker.
        note: what the numbers were made with.
        thresholds: claim to what its difference is held against, in points; drawn where it is not 0.
    """
    size = (11.5, 0.33 * len(differences) + 1.4)
    figure, panels = new_figure(1, 2, size, note, sharey=True, width_ratios=(1.4, 1))
    heights = dict(zip(differences, np.arange(len(differences))[::-1], strict=True))
    limits = {claim: value for claim, value in (thresholds or {}).items() if value and claim in heights}
    printed = {claim: value for claim, value in papers.items() if value is not None and claim in heights}
    for axes in panels:
        axes.axvline(0, color="0.4", linewidth=1)
        for verdict, (color, marker) in _VERDICT_STYLES.items():
            claims = [claim for claim in differences if verdicts[claim] == verdict]
            values = 100 * np.array([differences[claim].value for claim in claims])
            bounds = 100 * np.array([differences[claim].interval for claim in claims]).reshape(-1, 2)
            errors = np.abs(np.stack([values - bounds[:, 0], bounds[:, 1] - values]))
            style = {"color": COLORS[color], "marker": marker, "linestyle": "none"}
            axes.errorbar(values, [heights[claim] for claim in claims], xerr=errors, capsize=2, label=verdict, **style)
        axes.plot(printed.values(), [heights[claim] for claim in printed], "x", color="black", label=PAPER)
        if limits:
            style = {"color": "0.4", "marker": "|", "markersize": 12, "linestyle": "none"}
            axes.plot(limits.values(), [heights[claim] for claim in limits], label="threshold other than 0", **style)
        axes.set(xlabel="difference in accuracy (points)")
    panels[0].set_yticks(list(heights.values()), list(heights), fontsize=8)
    panels[1].set(xlim=(-_ZOOM, _ZOOM), title=f"the same, from −{_ZOOM} to {_ZOOM}")
    panels[1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure
