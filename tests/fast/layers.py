"""Images, and the gradients of what layers make of them."""

import torch

from magnet_helpers.fast.switch import sooner

DOUBLE = torch.float64


def random(*shape, seed=0, dtype=DOUBLE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def digits_like(n=5, size=28, dtype=DOUBLE):
    """Images with black margins: there, all four values under a pooled one are equal."""
    images = random(n, 1, size, size, dtype=dtype).clamp(0, 1)
    images[..., :6] = images[..., : size // 3, :] = 0
    return images


def gradients(layers, images, function):
    images = images.clone().requires_grad_()
    out = function(layers, images)
    weights = random(*out.shape, seed=9).to(out.dtype)  # PyTorch 2.5 draws other numbers in bfloat16
    return out.detach(), torch.autograd.grad((out * weights).sum(), [images, *layers.parameters()])


def plainly(layers, images):
    return layers(images)


def fast(network, images):
    with sooner(network):
        return network(images)
