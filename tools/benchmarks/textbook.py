"""What a textbook shows: the networks of Table 1 layer by layer in its order, and a loop over a `DataLoader`.

It shares no code with `magnet_helpers`. It is what the course's own training is measured against.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

Loss = Callable[[nn.Sequential, Tensor, Tensor], Tensor]


def classifier() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 5, padding="same"), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 5, padding="same"), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1568, 1024), nn.ReLU(), nn.Linear(1024, 10)),
    )


def encoder() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2)),
    )


def decoder() -> nn.Sequential:
    return nn.Sequential(
        *(nn.ConvTranspose2d(32, 32, 3, stride=2, padding=1, output_padding=1), nn.ReLU()),
        *(nn.ConvTranspose2d(32, 1, 3, stride=2, padding=1, output_padding=1), nn.Sigmoid()),
    )


def autoencoder() -> nn.Sequential:
    return nn.Sequential(encoder(), decoder())


def stack_of_three() -> nn.Sequential:
    return nn.Sequential(autoencoder(), autoencoder(), autoencoder())


def contractive_autoencoder() -> nn.Sequential:
    code = nn.Sequential(encoder(), nn.Flatten(), nn.Linear(1568, 1568), nn.Sigmoid())
    return nn.Sequential(code, nn.Sequential(nn.Unflatten(1, (32, 7, 7)), decoder()))


def classification(model: nn.Sequential, images: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(model(images), labels)


def reconstruction(model: nn.Sequential, images: Tensor, labels: Tensor) -> Tensor:
    outputs: Tensor = model(images)
    return (outputs - images).square().sum(dim=(1, 2, 3)).mean()


def denoising(model: nn.Sequential, images: Tensor, labels: Tensor) -> Tensor:
    noisy = (images + 0.3 * torch.randn_like(images)).clamp(0, 1)
    outputs: Tensor = model(noisy)
    return (outputs - images).square().sum(dim=(1, 2, 3)).mean()


def contraction(model: nn.Sequential, images: Tensor, labels: Tensor) -> Tensor:
    """Reconstruction and 1e-3 times ‖vᵀJ‖² for one random v of ±1: the penalty by two backward passes."""
    images = images.clone().requires_grad_()
    codes = model[0](images)
    signs = torch.randint(0, 2, codes.shape, device=codes.device) * 2.0 - 1
    (product,) = torch.autograd.grad(codes, images, signs, create_graph=True)
    outputs: Tensor = model[1](codes)
    error = (outputs - images).square().sum(dim=(1, 2, 3)).mean()
    return error + 1e-3 * product.square().sum(dim=(1, 2, 3)).mean()


def train(
    model: nn.Sequential, loss: Loss, images: Tensor, labels: Tensor, batch_size: int, device: torch.device
) -> float:
    """Train for one epoch and return its seconds."""
    model = model.to(device)
    loader = DataLoader(TensorDataset(images, labels), batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters())
    started, total = time.perf_counter(), 0.0
    for batch, batch_labels in loader:
        value = loss(model, batch.to(device), batch_labels.to(device))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        total += value.item()
    return time.perf_counter() - started
