"""Labels: class numbers from 0 on, one for each image. Nothing is broadcast."""

import torch
from torch import Tensor


def check_labels(labels: object, count: int, n_classes: int | None = None, *, name: str = "labels") -> Tensor:
    """Return labels as int64 (N,), as they are if they are so already; anything but class numbers is refused.

    Args:
        labels: whole numbers of any type, shape (N,).
        count: N, the number of images.
        n_classes: of the classifier; None: the numbers themselves are not looked at.
        name: what they are called in the message.

    Raises:
        TypeError: if they are no tensor.
        ValueError: if they are none, not whole numbers, of another shape or number, or no classes of the classifier.

    >>> check_labels(torch.tensor([3, 8], dtype=torch.uint8), 2)
    tensor([3, 8])
    """
    if labels is None:
        raise ValueError(f"there must be a label for each of the {count} images, got none: give {name}")
    if not isinstance(labels, Tensor):
        dtype = getattr(labels, "dtype", None)
        line = "torch.tensor" if dtype is None else "torch.from_numpy"
        raise TypeError(
            f"{name} must be a torch.Tensor of class numbers, got a {type(labels).__name__}"
            f"{'' if dtype is None else f' of {dtype}'}: take {line}({name})"
        )
    is_whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    if labels.layout is not torch.strided or labels.device.type == "meta" or labels.is_quantized:
        raise ValueError(f"{name} must be an ordinary dense tensor, got {labels.layout} on {labels.device}")
    if labels.ndim != 1 or not is_whole:
        raise ValueError(
            f"{name} must be class numbers of shape (N,), got {labels.dtype} of shape {tuple(labels.shape)}: "
            f"{_advice(labels.shape, name)}"
        )
    if len(labels) != count:
        raise ValueError(
            f"there must be a label for each of the {count} images, got {len(labels)} {name}: take both from the same "
            "set, in the same order"
        )
    labels = labels.long()
    if n_classes is not None:
        check_classes(labels, n_classes)
    return labels


def check_classes(labels: Tensor, n_classes: int) -> None:
    """Raise a ValueError if labels (N,) name classes that a classifier with so many outputs does not have."""
    lowest, highest = (int(end) for end in labels.aminmax()) if len(labels) else (0, 0)
    if lowest < 0 or highest >= n_classes:
        raise ValueError(
            f"a classifier of {n_classes} classes can be right about the labels 0 to {n_classes - 1}, got "
            f"{lowest if lowest < 0 else highest}: give it an output for every class, and number the classes from 0"
        )


def check_from_zero(labels: Tensor, name: str = "labels") -> Tensor:
    """Return labels (N,); raise a ValueError if there are negative ones."""
    if len(labels) and (lowest := int(labels.min())) < 0:
        raise ValueError(
            f"{name} must be 0 or more, got {lowest}: number the classes from 0 on, or leave such images out"
        )
    return labels


def check_alike(**values: Tensor) -> None:
    """Raise a ValueError unless all tensors have one value for each image, shape (N,), of the same images."""
    shapes = {name: tuple(each.shape) for name, each in values.items()}
    if len(set(shapes.values())) != 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise ValueError(f"there must be one value for each image, all of the same shape (N,), got {shapes}")


def _advice(shape: tuple[int, ...], name: str) -> str:
    match shape:
        case ():
            return f"one label is {name}[None]"
        case (_,):
            return f"if they are whole numbers, take {name}.long()"
        case (_, 1):
            return f"take {name}[:, 0].long()"
        case (1, _):
            return f"take {name}[0].long(), or if that is one-hot {name}.argmax(dim=1)"
    return f"if they are one-hot, take {name}.argmax(dim=1)"
