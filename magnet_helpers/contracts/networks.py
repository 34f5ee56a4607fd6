"""What networks from anywhere return: a classifier logits (N, K), a reformer images of the shape it was given."""

from torch import Tensor


def check_classes(labels: Tensor, n_classes: int) -> None:
    """Raise a ValueError if labels (N,) name classes that a classifier with so many outputs does not have."""
    lowest, highest = (int(end) for end in labels.aminmax()) if len(labels) else (0, 0)
    if lowest < 0 or highest >= n_classes:
        raise ValueError(
            f"a classifier of {n_classes} classes can be right about the labels 0 to {n_classes - 1}, got "
            f"{lowest if lowest < 0 else highest}: give it an output for every class, and number the classes from 0"
        )


def check_reformed(images: Tensor, reformed: Tensor) -> Tensor:
    """Return what an autoencoder made of images; raise a ValueError if it has another shape (nothing is broadcast)."""
    if reformed.shape != images.shape:
        raise ValueError(
            f"a reformer must return images of the shape that it is given, {tuple(images.shape)}, got "
            f"{tuple(reformed.shape)}: reshape or resize them in the reformer"
        )
    return reformed
