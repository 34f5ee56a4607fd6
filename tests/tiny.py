"""Small seeded images and networks for tests that need some, and no particular one."""

import torch
from torch import Tensor, nn

from magnet_helpers.data import LabeledImages


def tiny_images(count: int, seed: int = 0) -> LabeledImages:
    """Return images like MNIST's: grey patterns on a black background, of ten classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 10
    images = torch.zeros(count, 1, 28, 28)
    for image, label in zip(images, labels.tolist(), strict=True):
        row = 4 + 2 * label
        image[0, row : row + 3, 4:24] = 0.3 + 0.7 * torch.rand(3, 20, generator=generator)
    return LabeledImages(images, labels)


def tiny_autoencoder(seed: int = 0, width: int = 12) -> nn.Sequential:
    """Return an autoencoder of one narrow hidden layer that starts out dark."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        last = nn.Linear(width, 784)
        nn.init.constant_(last.bias, -2)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, width), nn.Tanh(), last, nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28))
        )


def tiny_classifier(seed: int = 0) -> nn.Sequential:
    """Return a linear classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def steep_classifier(factor: float) -> nn.Sequential:
    """Return the linear classifier with so many times its weights: near a boundary only two classes matter."""
    model = tiny_classifier()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(factor)
    return model


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of everything that the model is made of."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether two sets of named tensors have the same names and the same bits."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class MemoryCheckpoint:
    """A checkpoint that needs no disk."""

    def __init__(self):
        self.saved = None
        self.times = 0

    def load(self):
        return self.saved

    def save(self, tensors, epochs):
        self.saved = {name: value.detach().clone() for name, value in tensors.items()}, epochs
        self.times += 1


class InterruptedLoss:
    """A loss that stops the training at its `call`-th step."""

    def __init__(self, loss, call, outcome):
        self.loss, self.call, self.outcome = loss, call, outcome
        self.calls = 0

    def __call__(self, model, images, labels, generator):
        self.calls += model.training
        if self.calls == self.call and model.training:
            return self.outcome()
        return self.loss(model, images, labels, generator)
