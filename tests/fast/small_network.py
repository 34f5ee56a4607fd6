"""A small network of the layers that can be fused, and how to ask it plainly and fast."""

import torch
from torch import nn

from magnet_helpers.fast.switch import sooner

EVERYTHING = ["FirstLayer", "Pool", "LastLayer"]


class SmallAutoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Conv2d(1, 3, 3, padding="same"), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(3, 4, 3, padding="same"), nn.MaxPool2d(2), nn.ReLU()),
        )
        doubling = {"stride": 2, "padding": 1, "output_padding": 1}
        self.decoder = nn.Sequential(
            *(nn.ConvTranspose2d(4, 3, 3, **doubling), nn.ReLU()),
            *(nn.ConvTranspose2d(3, 1, 3, **doubling), nn.Sigmoid()),
        )

    def forward(self, images):
        return self.decoder(self.encoder(images))


def small_autoencoder():
    """Return one in float64 in which no ReLU is shut everywhere."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = SmallAutoencoder().double()
    for layer in (model.encoder[0], model.encoder[3], model.decoder[0]):
        nn.init.constant_(layer.bias, 0.1)
    return model


def small_images(count=3, side=8):
    return torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def plainly(model, images):
    return model(images)


def fast(model, images):
    with sooner(model):
        return model(images)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
