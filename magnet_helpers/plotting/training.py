"""How a training went."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from magnet_helpers.plotting.style import COLORS, MARKERS, new_figure
from magnet_helpers.training import History


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
