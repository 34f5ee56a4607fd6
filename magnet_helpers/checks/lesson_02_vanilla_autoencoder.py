"""Checks for lesson 02: errors of reconstructions, the size of an encoder, the best linear autoencoder."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from magnet_helpers.checks.feedback import Feedback, check, check_gradient, off, plainly

Layer = tuple[str, int] | tuple[str, int, int]  # ("conv", filters, side of a filter), ("pool", side), ("dense", units)


@plainly
def check_pixel_error(pixel_error: Callable[..., object]) -> Feedback:
    """Check `pixel_error(images (N, 1, H, W), reconstructions) → root of the mean squared difference, shape (N,)`.

    Lesson 02, "Try it", exercise 1.
    """
    generator = torch.Generator().manual_seed(3)
    cases = []
    for shape in ((3, 1, 6, 5), (1, 1, 28, 28)):
        images, copies = torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)
        squares = (images - copies).square().flatten(start_dim=1)
        right = squares.mean(dim=1).sqrt()
        mistakes = {
            "the root is missing": squares.mean(dim=1),
            "the root was taken of the sum over the pixels; wanted is that of their mean": squares.sum(dim=1).sqrt(),
            "the root was taken of each square; wanted is the root of their mean": squares.sqrt().mean(dim=1),
            "it is one number for all images together; wanted is one for each": squares.mean().sqrt(),
        }
        cases.append(((images, copies), right, mistakes))
    return check(pixel_error, cases, success="that is how far a pixel is off, for each image")


@plainly
def check_reconstruction_error(reconstruction_error: Callable[..., object]) -> Feedback:
    """Check `reconstruction_error(images (N, 1, H, W), reconstructions) → ‖x − x̂‖², shape (N,)`, its gradient too.

    Other shapes must be refused with a ValueError, also where PyTorch would broadcast them.

    Assignment 02, "The error of each image".
    """
    generator = torch.Generator().manual_seed(4)
    cases = []
    for shape in ((3, 1, 6, 5), (1, 1, 28, 28)):
        images, copies = torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)
        differences = (images - copies).flatten(start_dim=1)
        right = differences.square().sum(dim=1)
        mistakes = {
            "it is the mean over the pixels; wanted is their sum": differences.square().mean(dim=1),
            "it is the sum over all images; wanted is one number for each": right.sum(),
            "it is the mean over the images; wanted is one number for each": right.mean(),
            "a root was taken: wanted is the *squared* length": right.sqrt(),
            "the differences are not squared": differences.abs().sum(dim=1),
            "the sum of the differences was squared; wanted is the sum of the squares": differences.sum(dim=1).square(),
        }
        cases.append(((images, copies), right, mistakes))
    success = "‖x − x̂‖² of each image; other shapes are refused"
    feedback = check(reconstruction_error, cases, success=success)
    images, copies = torch.rand(3, 1, 6, 5, generator=generator), torch.rand(3, 1, 6, 5, generator=generator)
    if feedback:
        feedback = check_gradient(reconstruction_error, (copies, images), 2 * (copies - images), success=success)
    for other in (images[:, 0], images[:1], images[:2], images[..., :4]):
        feedback = feedback and _is_refused(reconstruction_error, images, other, success)
    return feedback


def _is_refused(function: Callable[..., object], images: Tensor, other: Tensor, success: str) -> Feedback:
    shapes = f"shapes {tuple(images.shape)} and {tuple(other.shape)}"
    try:
        function(images.clone(), other.clone())
    except ValueError:
        return Feedback(True, success)
    except Exception as error:  # PyTorch's own error, or whatever a student's code raises
        return off(f"{shapes} must be refused with a ValueError, it raised {type(error).__name__}: {error}")
    return off(f"{shapes} got an answer: they differ, so a ValueError must be raised before anything is computed")


@plainly
def check_encoder_size(encoder_size: Callable[..., object]) -> Feedback:
    """Check `encoder_size(layers, side) → (weights, numbers in the code)` for images of one channel.

    Each layer is `("conv", filters, side of a filter)`, `("pool", side)` or `("dense", units)`.

    Assignment 02, "How large is an encoder, and how large its code?".
    """
    cases = []
    for layers, side in (
        ((("conv", 32, 3), ("pool", 2), ("conv", 32, 3), ("pool", 2)), 28),  # Table 1
        ((("conv", 4, 5), ("pool", 3), ("conv", 7, 1), ("dense", 20)), 28),
        ((("dense", 30), ("dense", 10)), 9),
    ):
        weights, code = count(layers, side)
        has_maps = layers[-1][0] == "pool"
        mistakes = {
            "the biases are missing: one for each filter, one for each dense unit": (weights - _biases(layers), code),
            "a filter looks at *all* channels of what comes in, not at one": (_with_one_channel(layers, side), code),
            "the two numbers are in the other order: first the weights, then the code": (code, weights),
            "that is one map of the code (the paper's text counts so): how many maps are there?": (
                weights,
                code // layers[-2][1] if has_maps else -1,
            ),
            "the code is counted as if pooling made nothing smaller": (weights, _unpooled(layers, side)),
        }
        cases.append(
            ((layers, side), (weights, code), {hint: values for hint, values in mistakes.items() if min(values) > 0})
        )
    return check(encoder_size, cases, success="weights and code are counted rightly", tolerance=1e-9)


def count(layers: Sequence[Layer], side: int) -> tuple[int, int]:
    """Return the weights of an encoder and the numbers in its code, from an encoder that PyTorch builds."""
    with torch.device("meta"):
        image: Tensor = torch.zeros(1, 1, side, side)
        modules = nn.Sequential()
        for layer in layers:
            if layer[0] == "conv":
                module: nn.Module = nn.Conv2d(image.shape[1], layer[1], layer[-1], padding="same")
            elif layer[0] == "pool":
                module = nn.MaxPool2d(layer[1])
            else:
                module = nn.Sequential(nn.Flatten(), nn.Linear(image.numel(), layer[1]))
            modules.append(module)
            image = module(image)
    return sum(parameter.numel() for parameter in modules.parameters()), image.numel()


def _biases(layers: Sequence[Layer]) -> int:
    return sum(layer[1] for layer in layers if layer[0] != "pool")


def _with_one_channel(layers: Sequence[Layer], side: int) -> int:
    """Count the weights as if every filter looked at one channel."""
    alone = sum(count([layer], side)[0] for layer in layers if layer[0] == "conv")
    return alone if all(layer[0] != "dense" for layer in layers) else -1


def _unpooled(layers: Sequence[Layer], side: int) -> int:
    maps = [layer for layer in layers if layer[0] != "pool"]
    return count(maps, side)[1] if maps[-1][0] == "conv" else -1


@plainly
def check_linear_reconstructions(linear_reconstructions: Callable[..., object]) -> Feedback:
    """Check `linear_reconstructions(train (M, 1, H, W), images (N, 1, H, W), k) → images (N, 1, H, W)`.

    Principal components (Pearson 1901): the mean of the training images, and their k directions of largest variance.

    Assignment 02, "The best linear autoencoder".
    """
    generator = torch.Generator().manual_seed(5)
    cases = []
    for shape, images_shape, k in (((60, 1, 3, 4), (5, 1, 3, 4), 3), ((12, 1, 28, 28), (1, 1, 28, 28), 1)):
        train = _images_with(k, shape, generator)
        images = torch.rand(images_shape, generator=generator, dtype=torch.float64)
        mean = train.mean(dim=0)
        rows, nothing, of_images = _directions(train - mean), torch.zeros_like(mean), images.mean(dim=0)
        right = _projected(rows[:k], images, mean)
        mistakes = {
            "the mean training image must be taken away before the directions are sought": _projected(
                _directions(train)[:k], images, nothing
            ),
            "the mean was taken away and not put back": right - mean,
            "the mean of `images` was used; the linear autoencoder knows the training images only": _projected(
                rows[:k], images, of_images
            ),
            "it was fitted to `images`; it must be fitted to the training images": _projected(
                _directions(images - of_images)[:k], images, of_images
            ),
            "these are the directions of *smallest* variance: in which order do they come?": _projected(
                rows[-k:], images, mean
            ),
            "that is one direction too few": _projected(rows[: k - 1], images, mean),
            "that is one direction too many": _projected(rows[: k + 1], images, mean),
            "these are the codes; wanted are the images that they are decoded to": (images - mean).flatten(1)
            @ rows[:k].T,
            "the values are right, the shape is not: wanted are images": right.flatten(1),
        }
        cases.append(((train.float(), images.float(), k), right, mistakes))
    return check(
        linear_reconstructions,
        cases,
        success="the best that a linear autoencoder with k numbers can do",
        tolerance=1e-3,
    )


def _images_with(k: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return images with k strong directions, so that every way to find them finds the same."""
    pixels = shape[-2] * shape[-1]
    strong = torch.randn(shape[0], k, generator=generator, dtype=torch.float64) * (1 + torch.arange(k))
    directions, _ = torch.linalg.qr(torch.randn(pixels, k, generator=generator, dtype=torch.float64))
    noise = 0.1 * torch.randn(shape[0], pixels, generator=generator, dtype=torch.float64)
    mean = torch.rand(pixels, generator=generator, dtype=torch.float64)
    images: Tensor = mean + strong @ directions.T + noise
    return images.view(shape)


def _directions(centred: Tensor) -> Tensor:
    rows: Tensor = torch.linalg.svd(centred.flatten(start_dim=1), full_matrices=False).Vh
    return rows


def _projected(rows: Tensor, images: Tensor, mean: Tensor) -> Tensor:
    """Return what is left of images around a mean when only these directions of the difference are kept."""
    decoded: Tensor = (images - mean).flatten(start_dim=1) @ rows.T @ rows
    return decoded.view_as(images) + mean
