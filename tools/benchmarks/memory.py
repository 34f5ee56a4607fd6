"""The most memory that this process has held, on the CPU or on a GPU."""

import resource
import sys
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
CPU = torch.device("cpu")


def forget_peak(device: torch.device = CPU) -> None:
    """Let the peak begin anew from what is held now (on the CPU of Linux, and on CUDA: elsewhere it stays)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        _CLEAR.write_text("5", encoding="utf-8")


def peak_megabytes(device: torch.device = CPU) -> float:
    """Return the peak since this process began, or since `forget_peak`.

    Linux has two: `getrusage` counts what the parent held when it started this process, `VmHWM` does not.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if _STATUS.exists():
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
