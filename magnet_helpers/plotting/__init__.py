"""Every figure of the lessons, by what it shows."""

from magnet_helpers.plotting.accuracy import (
    PAPER,
    plot_accuracy_curves,
    plot_comparison,
    plot_confusion,
    plot_differences,
)
from magnet_helpers.plotting.detection import plot_rocs, plot_scores
from magnet_helpers.plotting.diagrams import plot_manifold, plot_workflow
from magnet_helpers.plotting.images import plot_image_grid, plot_tiles
from magnet_helpers.plotting.style import COLORS, new_figure, show_figure
from magnet_helpers.plotting.training import plot_history

__all__ = [
    "COLORS",
    "PAPER",
    "new_figure",
    "plot_accuracy_curves",
    "plot_comparison",
    "plot_confusion",
    "plot_differences",
    "plot_history",
    "plot_image_grid",
    "plot_manifold",
    "plot_rocs",
    "plot_scores",
    "plot_tiles",
    "plot_workflow",
    "show_figure",
]
