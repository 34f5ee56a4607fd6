"""What the checks of lessons 00 to 04 say, where no assignment's table of answers shows it."""

from copy import deepcopy

import pytest
import torch

from magnet_helpers.checks import (
    check_after_each_stage,
    check_corrupt,
    check_denoising_loss,
    check_encoder_size,
    check_joint_step,
    check_largest_change,
    check_linear_reconstructions,
    check_pixel_error,
    check_reconstruction_error,
    check_repeated,
    check_sign_noise,
    check_spread,
    check_stage_images,
)


def per_image(values):
    return values.flatten(start_dim=1)


def repeated(autoencoder, images, times):
    for _ in range(times):
        images = autoencoder(images)
    return images


def stage_images(stages, k, images):
    with torch.no_grad():
        for stage in deepcopy(stages[: k - 1]):
            images = stage.eval()(images)
    return images


def stage_images_that_leaves_traces(stages, k, images):
    result = stage_images(stages, k, images)
    with torch.no_grad():
        stages[0].train()(images)
    return result


def loss_that_teaches_half(network, images, noise_std, z):
    error = ((images - network((images + noise_std * z).clamp(0, 1))) ** 2).sum() / len(images)
    return error / 2 + error.detach() / 2


@pytest.mark.parametrize(
    ("check", "right"),
    [
        (check_largest_change, lambda x, a: per_image((x - a).abs()).max(dim=1).values),
        (check_largest_change, lambda x, a: [abs(change).max().item() for change in a - x]),
        (check_pixel_error, lambda x, r: per_image((r - x) ** 2).mean(dim=1) ** 0.5),
        (check_pixel_error, lambda x, r: per_image(x - r).norm(dim=1) / x[0].numel() ** 0.5),
        (check_sign_noise, lambda x, e, z: torch.clip(x + torch.where(z > 0, e, -e), 0, 1)),
        (check_sign_noise, lambda x, e, z: (x + e * z / z.abs()).clamp(0, 1)),
        (check_repeated, repeated),
        (check_repeated, lambda a, x, n: torch.nn.Sequential(*[a] * n)(x).detach()),
        (check_stage_images, stage_images),
    ],
)
def test_right_answers(check, right):
    feedback = check(right)
    assert feedback.right, feedback


@pytest.mark.parametrize(
    ("check", "wrong", "hint"),
    [
        (check_largest_change, lambda x, a: per_image(a - x).max(dim=1).values, "became darker"),
        (check_largest_change, lambda x, a: per_image(x - a).max(dim=1).values, "became brighter"),
        (check_largest_change, lambda x, a: (a - x).abs().max(), "for all images together"),
        (check_largest_change, lambda x, a: per_image((a - x).abs()).mean(dim=1), "mean over the pixels"),
        (check_largest_change, lambda x, a: per_image(a - x).norm(dim=1), "length of the whole change"),
        (check_pixel_error, lambda x, r: per_image((x - r) ** 2).mean(dim=1), "root is missing"),
        (check_pixel_error, lambda x, r: per_image(x - r).norm(dim=1), "of the sum"),
        (check_pixel_error, lambda x, r: per_image((x - r).abs()).mean(dim=1), "of each square"),
        (check_pixel_error, lambda x, r: ((x - r) ** 2).mean().sqrt(), "for all images together"),
        (check_sign_noise, lambda x, e, z: x + e * z.sign(), "outside [0, 1]"),
        (check_sign_noise, lambda x, e, z: (x + e * z).clamp(0, 1), "Gaussian"),
        (check_sign_noise, lambda x, e, z: (x + e).clamp(0, 1), "brighter"),
        (check_sign_noise, lambda x, e, z: (x - e * z.sign()).clamp(0, 1), "wrong way"),
        (check_repeated, lambda a, x, n: a(x), "one pass:"),
        (check_repeated, lambda a, x, n: repeated(a, x, n + 1), "too many"),
        (check_repeated, lambda a, x, n: repeated(a, x, n - 1), "too few"),
        (check_stage_images, stage_images_that_leaves_traces, "statistics of stage 1 changed"),
        (check_denoising_loss, loss_that_teaches_half, "its gradient is not"),
    ],
)
def test_wrong_answers_get_their_hint(check, wrong, hint):
    feedback = check(wrong)
    assert not feedback.right
    assert hint in feedback.message


@pytest.mark.parametrize(
    "check",
    [
        check_largest_change,
        check_pixel_error,
        check_reconstruction_error,
        check_encoder_size,
        check_linear_reconstructions,
        check_sign_noise,
        check_corrupt,
        check_denoising_loss,
        check_spread,
        check_repeated,
        check_after_each_stage,
        check_stage_images,
        check_joint_step,
    ],
)
def test_an_untouched_stub_is_answered_and_raises_nothing(check):
    assert repr(check(lambda *_: None)).startswith("✗ not yet: the function returned nothing")
