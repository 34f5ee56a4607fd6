"""Checks for lesson 03: corrupting images, the denoising loss, how much an autoencoder's outputs still vary."""

from collections.abc import Callable
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from magnet_helpers.checks.feedback import Feedback, attempt, check, compare, off, plainly
from magnet_helpers.seeds import initial_weights_from


@plainly
def check_sign_noise(sign_noise: Callable[..., object]) -> Feedback:
    """Check `sign_noise(images (N, 1, H, W), epsilon, z) → clip(x + ε·sign(z), 0, 1)`, z of the shape of x.

    Lesson 03, "Try it", exercise 1.
    """
    generator = torch.Generator().manual_seed(6)
    cases = []
    for shape, epsilon in (((3, 1, 6, 5), 0.3), ((1, 1, 28, 28), 0.1)):
        images, z = torch.rand(shape, generator=generator), torch.randn(shape, generator=generator)
        unclipped = images + epsilon * z.sign()
        mistakes = {
            "some pixels lie outside [0, 1]: what comes out must be an image": unclipped,
            "that is Gaussian noise: every pixel should move by the same amount": (images + epsilon * z).clamp(0, 1),
            "every pixel became brighter: half of them should become darker": (images + epsilon).clamp(0, 1),
            "the pixels move the wrong way: up where z is positive": (images - epsilon * z.sign()).clamp(0, 1),
        }
        cases.append(((images, epsilon, z), unclipped.clamp(0, 1), mistakes))
    return check(sign_noise, cases, success="noise of FGSM's size, and what comes out are images")


@plainly
def check_corrupt(corrupt: Callable[..., object]) -> Feedback:
    """Check `corrupt(images (N, 1, H, W), noise_std (N,), z) → clip(xᵢ + σᵢ·zᵢ, 0, 1)`, z of the shape of x.

    Assignment 03, "Noise of a different level for each image".
    """
    generator = torch.Generator().manual_seed(7)
    cases = []
    for shape in ((6, 1, 6, 6), (5, 1, 4, 7), (1, 1, 28, 28)):
        images, z = torch.rand(shape, generator=generator), torch.randn(shape, generator=generator)
        noise_std = torch.rand(shape[0], generator=generator)
        level = noise_std.view(-1, 1, 1, 1)
        unclipped = images + level * z
        mistakes = {
            "some pixels lie outside [0, 1]: what comes out must be an image": unclipped,
            "the levels were taken for variances; they are standard deviations": (images + level.sqrt() * z).clamp(
                0, 1
            ),
            "the levels were squared; they are standard deviations": (images + level.square() * z).clamp(0, 1),
            "one level for each *column*: PyTorch lines shapes up from the right": (images + noise_std * z).clamp(0, 1)
            if shape[3] in (1, shape[0])
            else -images,
            "one level for each *row*: PyTorch lines shapes up from the right": (
                images + noise_std.view(-1, 1) * z
            ).clamp(0, 1)
            if shape[2] in (1, shape[0])
            else -images,
            "the noise was clipped; wanted is that the image is": images + (level * z).clamp(0, 1),
            "all images got the same level": (images + noise_std[0] * z).clamp(0, 1),
        }
        cases.append(((images, noise_std, z), unclipped.clamp(0, 1), mistakes))
    return check(corrupt, cases, success="each image has noise of its own level, and is still an image")


@plainly
def check_denoising_loss(denoising_loss: Callable[..., object]) -> Feedback:
    """Check `denoising_loss(network, images (N, 1, H, W), noise_std, z) → mean of ‖x − g(f(x̃))‖²`, its gradient too.

    x̃ = clip(x + σz, 0, 1), with one number σ and given z of the images' shape.

    Assignment 03, "The denoising loss".
    """
    generator = torch.Generator().manual_seed(8)
    network = _small_network()
    for shape, noise_std in (((4, 1, 7, 6), 0.4), ((1, 1, 28, 28), 0.2)):
        images, z = torch.rand(shape, generator=generator), torch.randn(shape, generator=generator)
        unclipped = images + noise_std * z
        noisy = unclipped.clamp(0, 1)

        def mean_error(seen: Tensor, wanted: Tensor) -> Tensor:
            output: Tensor = network(seen)
            return (output - wanted).square().sum() / len(wanted)

        right = mean_error(noisy, images)
        mistakes = {
            "the output was compared with the *noisy* images: that asks the network to copy the noise": mean_error(
                noisy, noisy
            ),
            "the network was shown the clean images: nothing is there to be removed": mean_error(images, images),
            "clean and noisy images are exchanged": mean_error(images, noisy),
            "the noisy images were not clipped to [0, 1]": mean_error(unclipped, images),
            "σ was taken for a variance; it is a standard deviation": mean_error(
                (images + noise_std**0.5 * z).clamp(0, 1), images
            ),
            "it is the mean over the pixels too; wanted is their sum": right / images[0].numel(),
            "it is the sum over the images; wanted is their mean": right * len(images),
            "it is one number for each image; wanted is their mean": (network(noisy) - images)
            .square()
            .flatten(start_dim=1)
            .sum(dim=1),
        }
        copy = deepcopy(network)
        answer = attempt(denoising_loss, copy, images, noise_std, z)
        feedback = answer if isinstance(answer, Feedback) else compare(answer, right, mistakes=mistakes)
        if not feedback:
            return feedback
        reached = _compare_gradients(answer, copy, torch.autograd.grad(right, list(network.parameters())))
        if not reached:
            return reached
    return Feedback(True, "noisy in, compared with clean, and the gradient reaches every weight")


def _small_network() -> nn.Module:
    with initial_weights_from(9):
        return nn.Sequential(
            nn.Conv2d(1, 3, 3, padding="same"), nn.Tanh(), nn.Conv2d(3, 1, 3, padding="same"), nn.Sigmoid()
        )


def _compare_gradients(answer: object, network: nn.Module, right: tuple[Tensor, ...]) -> Feedback:
    if not isinstance(answer, Tensor) or not answer.requires_grad:
        return off("the value is right, but no gradient comes through: was it detached, or turned into a plain number?")
    try:
        gradients = torch.autograd.grad(answer.sum(), list(network.parameters()), allow_unused=True)
    except RuntimeError:
        return off("the value is right, its gradient cannot be taken afterwards: did the function go backward itself?")
    if any(gradient is None for gradient in gradients):
        return off("the value is right, but no gradient reaches the network's weights")
    wanted, reached = (
        torch.cat([part.flatten() for part in parts]) for parts in (right, cast("list[Tensor]", gradients))
    )
    feedback = compare(reached, wanted)
    return feedback if feedback else off(f"the value is right, its gradient is not: {feedback.message}")


@plainly
def check_spread(spread: Callable[..., object]) -> Feedback:
    """Check `spread(outputs (N, 1, H, W), images) → mean std over the images of the outputs / that of the images`.

    Assignment 03, "Has it collapsed?".
    """
    generator = torch.Generator().manual_seed(10)
    cases = []
    for n, scale in ((9, 1.0), (6, 0.05), (2, 0.5)):
        images = torch.rand(n, 1, 6, 5, generator=generator) * torch.linspace(0.3, 1, n).view(-1, 1, 1, 1)
        images[..., 0] = 0  # as at MNIST's edge: these pixels never vary
        pattern = torch.rand(1, 1, 6, 5, generator=generator)
        outputs = pattern + scale * torch.rand(n, 1, 6, 5, generator=generator)
        varies, of_images = outputs.std(dim=0), images.std(dim=0)
        mistakes = {
            "the spread was taken over images and pixels at once: an output that is always the same picture has that "
            "too": outputs.std() / images.std(),
            "the spread was taken over the pixels of each image; wanted is that of each pixel over the images": (
                outputs.flatten(1).std(dim=1).mean() / images.flatten(1).std(dim=1).mean()
            ),
            "these are variances; wanted are standard deviations": outputs.var(dim=0).mean() / images.var(dim=0).mean(),
            "it is the outputs' own spread; wanted is its share of the images'": varies.mean(),
            "it is upside down: outputs over images": of_images.mean() / varies.mean(),
            "first the mean over the pixels, then *one* division: this is the mean over the pixels that vary": (
                (varies / of_images)[of_images > 0].mean()
            ),
        }
        cases.append(((outputs, images), varies.mean() / of_images.mean(), mistakes))
    return check(
        spread,
        cases,
        success="that is how much the outputs vary from image to image, beside the images",
        tolerance=1e-3,
    )
