"""Every figure of the lessons."""

from magnet_helpers.plotting.diagrams import plot_manifold, plot_workflow
from magnet_helpers.plotting.figures import (
    COLORS,
    new_figure,
    plot_accuracy_curves,
    plot_comparison,
    plot_confusion,
    plot_differences,
    plot_history,
    plot_image_grid,
    plot_rocs,
    plot_scores,
    plot_tiles,
    show_figure,
)

__all__ = [
    "COLORS",
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
