"""Which processor computes, and in which memory layout."""

import os
from typing import TypeVar

import torch
from torch import nn

ModelT = TypeVar("ModelT", bound=nn.Module)


def choose_device() -> torch.device:
    """Return `MAGNET_DEVICE` if it is set, else CUDA, else Apple's MPS, else the CPU.

    Raises:
        ValueError: if `MAGNET_DEVICE` names a device that PyTorch does not know or that is not there.
    """
    wanted = os.environ.get("MAGNET_DEVICE")
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present.insert(0, "cuda")
    if wanted and wanted.split(":")[0] not in present:
        raise ValueError(f"MAGNET_DEVICE must be one of {', '.join(present)} here, got {wanted!r}")
    try:
        return torch.device(wanted or present[0])
    except RuntimeError as error:
        raise ValueError(f"MAGNET_DEVICE must be one of {', '.join(present)} here, got {wanted!r}") from error


def device_of(model: nn.Module) -> torch.device:
    """Return the device that the model's parameters lie on (the CPU if it has none)."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def place(model: ModelT, device: torch.device) -> ModelT:
    """Move the model to the device, in place, with its convolutions laid out channels-last.

    Channels-last changes the order in memory and no value. On 2 cores it makes a training step of the autoencoder
    about 1.4 times as fast.
    """
    return model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
