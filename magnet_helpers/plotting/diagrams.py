"""Drawings of whole ideas: MagNet's workflow, and the manifold picture computed from real images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

from magnet_helpers.plotting.style import COLORS, new_figure


def plot_workflow() -> Figure:
    """Draw the defence and the two attackers: what each of them sees."""
    figure, axes = new_figure(1, 1, (9.0, 3.3), "")
    axes.set(xlim=(0, 10), ylim=(0, 3.4))
    axes.axis("off")
    boxes = {
        "image\n(maybe attacked)": (0.1, "0.85"),
        "reformer\n(autoencoder)": (2.9, COLORS[2]),
        "classifier": (5.7, COLORS[0]),
        "answer\n0 … 9": (8.5, "0.85"),
    }
    for text, (left, color) in boxes.items():
        width = 1.4 if left in (0.1, 8.5) else 1.7
        axes.add_patch(
            FancyBboxPatch((left, 1.25), width, 0.9, boxstyle="round,pad=0.05", fc=color, ec="0.2", alpha=0.6)
        )
        axes.text(left + width / 2, 1.7, text, ha="center", va="center", fontsize=10)
    for start, end in ((1.6, 2.8), (4.7, 5.6), (7.5, 8.4)):
        axes.annotate("", xy=(end, 1.7), xytext=(start, 1.7), arrowprops={"arrowstyle": "-|>", "color": "0.2"})
    axes.text(5.1, 1.85, "reformed", ha="center", fontsize=8)
    reaches: Sequence[tuple[str, float, float, float, str]] = (
        ("grey box: the attacker knows the classifier", 5.6, 7.5, 2.75, "-"),
        ("white box: the attacker knows both", 2.8, 7.5, 0.65, "--"),
    )
    for text, left, right, height, line in reaches:
        side = 2.3 if height > 1.7 else 1.1
        axes.plot([left, left, right, right], [side, height, height, side], color=COLORS[3], linestyle=line)
        axes.text((left + right) / 2, height + (0.12 if height > 1.7 else -0.3), text, ha="center", fontsize=9)
    return figure


def plot_manifold(
    train: Tensor, clean: Tensor, adversarial: Tensor, reformed: Tensor, note: str, *, components: int = 50
) -> Figure:
    """Draw where images lie: along the manifold of digits (horizontally) and away from it (vertically).

    The manifold is approximated by the subspace of the first principal components of clean training images. Horizontal:
    the first component. Vertical: the distance to that subspace, ‖x − P x‖₂ in pixel units. Everything is computed from
    the given images; nothing is sketched.

    Args:
        train: clean images that define the subspace, shape (N, 1, 28, 28).
        clean: some test images, shape (M, 1, 28, 28).
        adversarial: the same images, attacked.
        reformed: the attacked images after the reformer.
        note: what the numbers were made with.
        components: dimension of the subspace.
    """
    from sklearn.decomposition import PCA  # one figure needs it, and it is slow to import

    flat = [images.flatten(start_dim=1).numpy() for images in (train, clean, adversarial, reformed)]
    pca = PCA(n_components=min(components, len(flat[0])), random_state=0).fit(flat[0])
    points = []
    for images in flat[1:]:
        codes = pca.transform(images)
        points.append((codes[:, 0], np.linalg.norm(images - pca.inverse_transform(codes), axis=1)))
    figure, axes = new_figure(1, 1, (7.2, 4.2), note)
    (clean_x, clean_y), (attacked_x, attacked_y), (reformed_x, reformed_y) = points
    for index in range(len(clean_x)):
        axes.annotate(
            "",
            xy=(attacked_x[index], attacked_y[index]),
            xytext=(clean_x[index], clean_y[index]),
            arrowprops={"arrowstyle": "->", "color": COLORS[3], "alpha": 0.5},
        )
        axes.annotate(
            "",
            xy=(reformed_x[index], reformed_y[index]),
            xytext=(attacked_x[index], attacked_y[index]),
            arrowprops={"arrowstyle": "->", "color": COLORS[2], "alpha": 0.5, "linestyle": "--"},
        )
    looks = (
        ("clean", "o", COLORS[0]),
        ("attacked (FGSM)", "X", COLORS[3]),
        ("attacked, then reformed", "^", COLORS[2]),
    )
    for (x, y), (label, marker, color) in zip(points, looks, strict=True):
        axes.scatter(x, y, marker=marker, color=color, label=label, s=40, edgecolor="white", zorder=3)
    axes.set(
        xlabel="position along the first principal component of the digits",
        ylabel=f"distance to the {pca.n_components_}-dimensional\nsubspace of clean digits",
        ylim=(0, None),
    )
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure
