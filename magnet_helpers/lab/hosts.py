"""The machine that a notebook runs on: is there a graphics processor (GPU) that the lesson does not use?"""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import torch

_NVIDIA_DRIVER = Path("/proc/driver/nvidia/gpus")


def _has_nvidia_gpu() -> bool:
    """Whether NVIDIA's driver knows a GPU here, whatever PyTorch says."""
    if _NVIDIA_DRIVER.is_dir() and any(_NVIDIA_DRIVER.iterdir()):
        return True
    command = shutil.which("nvidia-smi")
    if command is None:
        return False
    try:
        listed = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.stdout.startswith("GPU ")


def gpu_hint(device: torch.device, environment: Mapping[str, str]) -> str:
    """Return what to do if a GPU is there, or could be had for the asking, and is not used; else an empty text.

    Args:
        device: where the lesson computes.
        environment: the environment variables: some of them tell where the notebook runs.
    """
    if device.type != "cpu":
        return ""
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return f"a GPU is here, but MAGNET_DEVICE is {environment.get('MAGNET_DEVICE')!r}: unset it to train faster"
    if _has_nvidia_gpu():
        if torch.version.cuda is None:
            return f"a GPU is here, but PyTorch {torch.__version__} cannot use one: install a build of it with CUDA"
        return (
            f"a GPU is here, but PyTorch {torch.__version__} does not get at it: is CUDA_VISIBLE_DEVICES set, or the "
            f"driver too old for CUDA {torch.version.cuda}?"
        )
    if "COLAB_RELEASE_TAG" in environment or "COLAB_GPU" in environment:
        return "a GPU trains faster: Runtime > Change runtime type > T4 GPU, then run this cell again"
    if "KAGGLE_KERNEL_RUN_TYPE" in environment:
        return "a GPU trains faster: Settings > Accelerator > GPU, then run this cell again"
    return ""
