"""Images: rows of them under names, and tiles."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from magnet_helpers.contracts import check_images, check_shape
from magnet_helpers.plotting.style import new_figure


def plot_image_grid(
    rows: Mapping[str, Tensor], note: str = "", *, captions: Mapping[str, Sequence[str]] | None = None
) -> Figure:
    """Draw rows of images, one row per name.

    Args:
        rows: name to images (N, 1, 28, 28), the same N in every row. Images in [0, 1] are drawn in grey; rows with
            negative values (perturbations) from blue (darker) through white (no change) to red (brighter).
        note: what the numbers were made with.
        captions: for some rows, a short text under each image.

    Raises:
        TypeError, ValueError: if a row holds no grey images of finite numbers, or pixels brighter than 1 and none below
            0: they would be drawn as white.

    >>> import torch
    >>> figure = plot_image_grid({"clean": torch.zeros(3, 1, 28, 28), "noise": torch.rand(3, 1, 28, 28)})
    >>> len(figure.axes)
    6
    """
    for name, images in rows.items():
        _check_row(name, images)
    count = max(len(images) for images in rows.values())
    height = 1.05 * len(rows) + 0.25 * len(captions or {}) + 0.3
    figure, grid = new_figure(len(rows), count, (1.6 + 0.95 * count, height), note, squeeze=False)
    for axes_row, (name, images) in zip(grid, rows.items(), strict=True):
        pixels = images.detach().cpu().numpy()
        signed = bool((pixels < 0).any())
        limit = float(abs(pixels).max()) or 1.0
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


def _check_row(name: str, images: Tensor) -> None:
    try:
        pixels = check_images(images, bounded=False)
        check_shape(pixels)
        if pixels.numel() and pixels.min() >= 0:
            check_images(images)
    except (TypeError, ValueError) as error:
        error.add_note(f"In the row {name!r}.")
        raise


def plot_tiles(images: Tensor, title: str, note: str = "", *, columns: int = 8) -> Figure:
    """Draw images (N, 1, H, W) as numbered tiles, each scaled to its own range, for example the maps of a code."""
    check_shape(check_images(images, bounded=False))
    rows = -(-len(images) // columns)
    figure, grid = new_figure(rows, columns, (0.85 * columns, 0.95 * rows + 0.7), note, squeeze=False)
    for index, axes in enumerate(grid.flat):
        axes.set(xticks=[], yticks=[])
        if index < len(images):
            axes.imshow(images[index, 0].detach().cpu().numpy(), cmap="gray")
            axes.set_title(str(index), fontsize=7, pad=1)
        else:
            axes.set_visible(False)
    figure.suptitle(title, fontsize=10)
    return figure
