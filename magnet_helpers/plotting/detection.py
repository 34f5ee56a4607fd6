"""What a detector tells apart: its scores, and its ROC curve."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray
from torch import Tensor

from magnet_helpers.contracts import check_scores
from magnet_helpers.detectors import ROC
from magnet_helpers.plotting.style import COLORS, LINES, new_figure


def plot_scores(scores: Mapping[str, Mapping[str, Tensor]], note: str) -> Figure:
    """Draw how often each score occurs, one panel for each detector and one line for each kind of image.

    Args:
        scores: kind of image to detector to scores (N,), at least 0; drawn on a logarithmic axis.
        note: what the numbers were made with.

    Raises:
        TypeError, ValueError: if scores are not one finite number for each image, shape (N,).
    """
    names = list(next(iter(scores.values())))
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    figure, grid = new_figure(rows, columns, (5.2 * columns, 2.7 * rows + 0.4), note, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        values = {kind: _finite(of_kind[name], kind, name) for kind, of_kind in scores.items()}
        positive = np.concatenate([of_kind[of_kind > 0] for of_kind in values.values()])
        low, high = np.quantile(positive, [0.001, 1.0]).tolist() if len(positive) else (0.1, 1.0)
        edges = np.geomspace(low, max(high, 1.01 * low), 50)
        for index, (kind, of_kind) in enumerate(values.items()):
            shares = np.histogram(of_kind.clip(min=edges[0]), edges)[0] / len(of_kind)
            style = {"color": COLORS[index % len(COLORS)], "linestyle": LINES[index % len(LINES)]}
            axes.stairs(100 * shares, edges, label=kind, linewidth=1.6, **style)
        axes.set(title=name, xscale="log", xlabel="score", ylabel="images (%)")
        axes.title.set_fontsize(9)
        axes.xaxis.set_minor_formatter(NullFormatter())  # else numbers overlap where the scores span little
    grid[0, -1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def _finite(scores: Tensor, kind: str, name: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = check_scores(scores).detach().double().cpu().numpy()
    if not np.isfinite(values).all():
        raise ValueError(
            f"scores must be finite, got {int((~np.isfinite(values)).sum())} NaN or infinite ones of {len(values)} "
            f"({kind}, {name}): look for NaN in the images and in the detector's weights"
        )
    return values


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
