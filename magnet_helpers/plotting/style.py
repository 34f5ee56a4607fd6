"""One style for every figure: colours that the colour-blind can tell apart, and a second cue beside each colour.

Every function that plots returns a matplotlib figure and shows nothing; `show_figure` puts it into a notebook with its
alt text.
"""

from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from IPython.display import display
from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", "-.", ":", (0, (3, 1, 1, 1, 1, 1)), (0, (5, 1)))
COLORS = sns.color_palette("colorblind")
_DPI = 110


def new_figure(rows: int, columns: int, size: tuple[float, float], note: str, **options: Any) -> tuple[Figure, Any]:
    """Return a figure in the course's style and its axes; `note` says what the numbers were made with."""
    with sns.axes_style("whitegrid"), sns.plotting_context("notebook", font_scale=0.9):
        figure, axes = plt.subplots(rows, columns, figsize=size, dpi=_DPI, layout="constrained", **options)
    if note:
        figure.supxlabel(note, fontsize=8, color="0.35", x=0.99, ha="right")
    return figure, axes


def show_figure(figure: Figure, name: str, alt: str) -> None:
    """Show a figure in a notebook.

    Args:
        figure: it is closed afterwards, so that the notebook does not show it twice.
        name: its file name in `build/figures/`, without the ending.
        alt: what a reader who cannot see the figure should know.

    >>> figure, axes = new_figure(1, 1, (3, 2), "what the numbers were made with")
    >>> show_figure(figure, "empty", "Axes without anything in them.")
    Figure(...)
    """
    display(figure, metadata={"image/png": {"alt": alt, "name": name}})
    plt.close(figure)
