"""A copy of the classifier that an attacker trains with nothing but its answers, to attack the copy instead.

Source: N. Papernot et al., "Practical black-box attacks against machine learning" (2017).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from magnet_helpers.contracts import as_count, as_number, check_classes, check_images, matched
from magnet_helpers.data import LabeledImages
from magnet_helpers.device import device_of, plain_circumstances
from magnet_helpers.fast.switch import sooner
from magnet_helpers.inference import BATCH_SIZE, detached, frozen, n_classes_of, predict
from magnet_helpers.losses import ClassificationLoss
from magnet_helpers.models import ConvClassifier
from magnet_helpers.seeds import derived_seed, initial_weights_from
from magnet_helpers.training import TrainingConfig, fit


def train_substitute(
    model: nn.Module,
    images: Tensor,
    *,
    rounds: int = 5,
    step: float = 0.1,
    epochs: int = 10,
    seed: int = 0,
    build: Callable[[], nn.Module] = ConvClassifier,
) -> nn.Module:
    """Return a network that was trained to answer as the model does, from few images and the model's answers alone.

    Each round asks the model about all images, trains a fresh substitute on the answers, and adds to each image
    another one, a step along the sign of the substitute's gradient of the answer given: the number of images doubles
    (Jacobian-based augmentation, algorithm 1). The last round adds none.

    Args:
        model: maps images (N, 1, 28, 28) to logits (N, K); only its answers are used.
        images: the attacker's own, (n, 1, 28, 28) in [0, 1], at least 2; he needs no labels. Papernot et al. took 150.
        rounds: at least 1.
        step: λ, the change of a pixel, in pixel units. The sign alternates from round to round, as in the paper.
        epochs: of each round's training, at least 1.
        seed: of initial weights and order.
        build: makes the untrained substitute, with at least as many classes as the model gives answers.

    Raises:
        ValueError: if the images are fewer than 2, outside [0, 1] or of another shape, if there is no round, or if the
            substitute has too few classes.
    """
    check_images(images)
    rounds, epochs = as_count("rounds", rounds), as_count("epochs", epochs, least=1)
    step, seed = as_number("step", step), as_count("seed", seed)
    if rounds < 1 or len(images) < 2:
        raise ValueError(f"a substitute needs at least 1 round and 2 images, got {rounds} and {len(images)}")
    device, images = device_of(model), detached(images)
    for number in range(rounds):
        answered = LabeledImages(images, predict(model, images))
        with plain_circumstances(device), initial_weights_from(derived_seed(seed, f"substitute {number}")):
            substitute = build()
        check_classes(answered.labels, n_classes_of(substitute, images))
        config = TrainingConfig(epochs=epochs, batch_size=min(64, len(images)), learning_rate=1e-3, seed=seed)
        label = f"substitute, round {number + 1} of {rounds}"
        fit(substitute, ClassificationLoss(), answered, answered, config, device=device, label=label)
        if number < rounds - 1:
            signed = step if number % 2 == 0 else -step
            images = torch.cat([images, (images + signed * _slopes(substitute, answered).sign()).clamp(0, 1)])
    return substitute


def _slopes(substitute: nn.Module, answered: LabeledImages) -> Tensor:
    """Return the gradient of each image's own answer: (N, 1, 28, 28)."""
    slopes, device = [], device_of(substitute)
    with matched(substitute, answered.images), frozen(substitute), sooner(substitute), plain_circumstances(device):
        for images, labels in zip(answered.images.split(BATCH_SIZE), answered.labels.split(BATCH_SIZE), strict=True):
            batch = detached(images).to(device).requires_grad_()
            probabilities = substitute(batch).softmax(dim=1)
            own = probabilities.gather(1, detached(labels).to(device)[:, None]).sum()
            slopes.append(torch.autograd.grad(own, batch)[0].cpu())
    return torch.cat(slopes)
