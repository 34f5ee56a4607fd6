"""Checks for lesson 00: how far an attack moved an image."""

from collections.abc import Callable

import torch

from magnet_helpers.checks.feedback import Feedback, check, plainly


@plainly
def check_largest_change(largest_change: Callable[..., object]) -> Feedback:
    """Check `largest_change(images (N, 1, H, W), adversarial, same shape) → max |adversarial − images|, shape (N,)`.

    Lesson 00, "Try it", exercise 1.
    """
    generator = torch.Generator().manual_seed(1)
    cases = []
    for shape in ((3, 1, 5, 4), (1, 1, 28, 28)):
        images, adversarial = torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)
        change = (adversarial - images).flatten(start_dim=1)
        largest = change.abs().amax(dim=1)
        mistakes = {
            "a pixel that became darker moved too: what counts is the size of the change": change.amax(dim=1),
            "a pixel that became brighter moved too: what counts is the size of the change": -change.amin(dim=1),
            "it is one number for all images together; wanted is one for each": largest.max(),
            "it is the mean over the pixels; wanted is the pixel that moved most": change.abs().mean(dim=1),
            "it is the length of the whole change; wanted is the pixel that moved most": change.norm(dim=1),
        }
        cases.append(((images, adversarial), largest, mistakes))
    return check(largest_change, cases, success="that is by how much the pixel moved that moved most, for each image")
