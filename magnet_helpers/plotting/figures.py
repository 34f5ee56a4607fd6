"""The course's figures: one style, colours that the colour-blind can tell apart, and a second cue beside each colour.

Every function returns a matplotlib figure and shows nothing; `show_figure` puts it into a notebook with its alt text.
Drawings of whole ideas (the workflow, the manifold) are in `diagrams`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from torch import Tensor

from magnet_helpers.detectors import ROC
from magnet_helpers.training import History

MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", "-.", ":", (0, (3, 1, 1, 1, 1, 1)), (0, (5, 1)))
COLORS = sns.color_palette("colorblind")
DPI = 110
PAPER = "paper (MNIST)"
ZOOM = 5  # points
VERDICT_STYLES = {"holds": (2, "o"), "does not hold": (3, "s"), "undecided": (7, "D")}


class Measured(Protocol):
    """A share with its 95 % interval: `evaluation.Accuracy`, or `intervals.Estimate` over several seeds."""

    @property
    def value(self) -> float:
        """The share, in [0, 1]; of a difference, in [−1, 1]."""

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of its interval."""


def new_figure(rows: int, columns: int, size: tuple[float, float], note: str, **options: Any) -> tuple[Figure, Any]:
    """Return a figure in the course's style and its axes; `note` says what the numbers were made with."""
    with sns.axes_style("whitegrid"), sns.plotting_context("notebook", font_scale=0.9):
        figure, axes = plt.subplots(rows, columns, figsize=size, dpi=DPI, layout="constrained", **options)
    if note:
        figure.supxlabel(note, fontsize=8, color="0.35", x=0.99, ha="right")
    return figure, axes


def show_figure(figure: Figure, name: str, alt: str) -> None:
    """Show a figure in a notebook.

    Args:
        figure: it is closed afterwards, so that the notebook does not show it twice.
        name: its file name in `build/figures/`, without the ending.
        alt: what a reader who cannot see the figure should know.
    """
    display(figure, metadata={"image/png": {"alt": alt, "name": name}})
    plt.close(figure)


def plot_history(histories: Mapping[str, History], note: str, *, loss_name: str) -> Figure:
    """Draw training loss (solid, filled markers) and validation loss (dashed, hollow) over the epochs."""
    figure, axes = new_figure(1, 1, (6.5, 3.6), note)
    for index, (label, history) in enumerate(histories.items()):
        epochs = range(1, len(history.epochs) + 1)
        style = {"color": COLORS[index % len(COLORS)], "marker": MARKERS[index % len(MARKERS)]}
        axes.plot(epochs, [epoch.training_loss for epoch in history.epochs], label=f"{label}: training", **style)
        validation = [epoch.validation_loss for epoch in history.epochs]
        axes.plot(epochs, validation, linestyle="--", markerfacecolor="white", label=f"{label}: validation", **style)
    axes.set(xlabel="epoch", ylabel=loss_name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def plot_image_grid(
    rows: Mapping[str, Tensor], note: str = "", *, captions: Mapping[str, Sequence[str]] | None = None
) -> Figure:
    """Draw rows of images, one row per name.

    Args:
        rows: name to images (N, 1, 28, 28), the same N in every row. Images in [0, 1] are drawn in grey; rows with
            negative values (perturbations) from blue (darker) through white (no change) to red (brighter).
        note: what the numbers were made with.
        captions: for some rows, a short text under each image.
    """
    count = max(len(images) for images in rows.values())
    height = 1.05 * len(rows) + 0.25 * len(captions or {}) + 0.3
    figure, grid = new_figure(len(rows), count, (1.6 + 0.95 * count, height), note, squeeze=False)
    for axes_row, (name, images) in zip(grid, rows.items(), strict=True):
        pixels = images.detach().cpu()
        signed = bool((pixels < 0).any())
        limit = float(pixels.abs().max()) or 1.0
        look = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit} if signed else {"cmap": "gray", "vmin": 0, "vmax": 1}
        texts = (captions or {}).get(name, ())
        for index, axes in enumerate(axes_row):
            axes.set(xticks=[], yticks=[])
            if index < len(pixels):
                axes.imshow(pixels[index, 0], **look)
            if index < len(texts):
                axes.set_xlabel(texts[index], fontsize=8, labelpad=2)
        axes_row[0].set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
    return figure


def plot_tiles(images: Tensor, title: str, note: str = "", *, columns: int = 8) -> Figure:
    """Draw images (N, 1, H, W) as numbered tiles, each scaled to its own range, for example the maps of a code."""
    rows = -(-len(images) // columns)
    figure, grid = new_figure(rows, columns, (0.85 * columns, 0.95 * rows + 0.7), note, squeeze=False)
    for index, axes in enumerate(grid.flat):
        axes.set(xticks=[], yticks=[])
        if index < len(images):
            axes.imshow(images[index, 0].detach().cpu(), cmap="gray")
            axes.set_title(str(index), fontsize=7, pad=1)
        else:
            axes.set_visible(False)
    figure.suptitle(title, fontsize=10)
    return figure


def plot_confusion(predictions: Mapping[str, Tensor], labels: Tensor, note: str) -> Figure:
    """Draw a confusion matrix per name: rows are true digits, columns answers, each row in percent of its digit."""
    figure, grid = new_figure(1, len(predictions), (4.1 * len(predictions), 4.0), note, squeeze=False)
    for axes, (name, answers) in zip(grid[0], predictions.items(), strict=True):
        size = max(10, 1 + int(labels.max()), 1 + int(answers.max()))
        counts = np.zeros((size, size))
        np.add.at(counts, (labels.numpy(), answers.numpy()), 1)
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
        ours = [row[setting] for row in accuracies.values()]
        values = np.array([100 * accuracy.value for accuracy in ours])
        bounds = 100 * np.array([accuracy.interval for accuracy in ours])
        errors = np.abs(np.stack([values - bounds[:, 0], bounds[:, 1] - values]))
        axes.errorbar(values, heights + 0.12, xerr=errors, capsize=2, label=setting.replace("_", " "), **style)
        printed = [paper[name].get(setting) for name in accuracies]
        theirs = [np.nan if percent is None else percent for percent in printed]
        label = f"{setting.replace('_', ' ')}: {PAPER}"
        axes.plot(theirs, heights - 0.12, markerfacecolor="white", label=label, **style)
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
        for verdict, (color, marker) in VERDICT_STYLES.items():
            mine = [claim for claim in differences if verdicts[claim] == verdict]
            values = 100 * np.array([differences[claim].value for claim in mine])
            bounds = 100 * np.array([differences[claim].interval for claim in mine]).reshape(-1, 2)
            errors = np.abs(np.stack([values - bounds[:, 0], bounds[:, 1] - values]))
            style = {"color": COLORS[color], "marker": marker, "linestyle": "none"}
            axes.errorbar(values, [heights[claim] for claim in mine], xerr=errors, capsize=2, label=verdict, **style)
        axes.plot(printed.values(), [heights[claim] for claim in printed], "x", color="black", label=PAPER)
        if limits:
            style = {"color": "0.4", "marker": "|", "markersize": 12, "linestyle": "none"}
            axes.plot(limits.values(), [heights[claim] for claim in limits], label="threshold other than 0", **style)
        axes.set(xlabel="difference in accuracy (points)")
    panels[0].set_yticks(list(heights.values()), list(heights), fontsize=8)
    panels[1].set(xlim=(-ZOOM, ZOOM), title=f"the same, from −{ZOOM} to {ZOOM}")
    panels[1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def plot_scores(scores: Mapping[str, Mapping[str, Tensor]], note: str) -> Figure:
    """Draw how often each score occurs, one panel for each detector and one line for each kind of image.

    Args:
        scores: kind of image to detector to scores (N,), at least 0; drawn on a logarithmic axis.
        note: what the numbers were made with.
    """
    names = list(next(iter(scores.values())))
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    figure, grid = new_figure(rows, columns, (5.2 * columns, 2.7 * rows + 0.4), note, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        values = {kind: of_kind[name].double().numpy() for kind, of_kind in scores.items()}
        positive = np.concatenate([each[each > 0] for each in values.values()])
        low, high = np.quantile(positive, [0.001, 1.0]).tolist() if len(positive) else (0.1, 1.0)
        edges = np.geomspace(low, max(high, 1.01 * low), 50)
        for index, (kind, each) in enumerate(values.items()):
            shares = np.histogram(each.clip(min=edges[0]), edges)[0] / len(each)
            style = {"color": COLORS[index % len(COLORS)], "linestyle": LINES[index % len(LINES)]}
            axes.stairs(100 * shares, edges, label=kind, linewidth=1.6, **style)
        axes.set(title=name, xscale="log", xlabel="score", ylabel="images (%)")
        axes.title.set_fontsize(9)
        axes.xaxis.set_minor_formatter(NullFormatter())  # else numbers overlap where the scores span little
    grid[0, -1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def plot_rocs(curves: Mapping[str, ROC], note: str) -> Figure:
    """Draw ROC curves by name, with their areas; the horizontal axis is logarithmic, as only small rates count."""
    figure, axes = new_figure(1, 1, (6.5, 3.8), note)
    for index, (name, curve) in enumerate(curves.items()):
        style = {"color": COLORS[index % len(COLORS)], "linestyle": LINES[index % len(LINES)]}
        label = f"{name}\nAUC {curve}"
        axes.step(100 * curve.false_positive_rates, 100 * curve.true_positive_rates, where="post", label=label, **style)
    rates = np.geomspace(0.1, 100, 50)
    axes.plot(rates, rates, color="0.6", linewidth=1, label="guessing")
    axes.set(
        xlabel="clean images rejected (%)", ylabel="adversarial images rejected (%)", xscale="log", xlim=(0.1, 100)
    )
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure
