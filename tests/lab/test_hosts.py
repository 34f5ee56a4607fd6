import subprocess

import pytest
import torch

from magnet_helpers.lab import hosts, lessons
from magnet_helpers.lab.hosts import _has_nvidia_gpu, gpu_hint

CPU = torch.device("cpu")


@pytest.fixture
def machine(monkeypatch):
    """A machine without any GPU, which a test then gives one."""

    def make(cuda=False, mps=False, nvidia=False, built_for="12.8"):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(hosts, "_has_nvidia_gpu", lambda: nvidia)
        monkeypatch.setattr(torch.version, "cuda", built_for)

    make()
    return make


def test_no_hint_where_a_gpu_computes(machine):
    machine(cuda=True, nvidia=True)
    assert gpu_hint(torch.device("cuda"), {"COLAB_GPU": "1"}) == ""


def test_no_hint_on_a_plain_computer_without_a_gpu(machine):
    assert gpu_hint(CPU, {}) == ""


@pytest.mark.parametrize("there", [{"cuda": True}, {"mps": True}])
def test_a_gpu_that_was_declined(machine, there):
    machine(**there)
    assert "MAGNET_DEVICE is 'cpu': unset it" in gpu_hint(CPU, {"MAGNET_DEVICE": "cpu", "COLAB_GPU": "1"})


def test_a_gpu_that_this_pytorch_cannot_use(machine):
    machine(nvidia=True, built_for=None)
    assert f"PyTorch {torch.__version__} cannot use one: install a build of it with CUDA" in gpu_hint(CPU, {})
    machine(nvidia=True)
    assert "too old for CUDA 12.8" in gpu_hint(CPU, {})


@pytest.mark.parametrize(
    ("variable", "menu"),
    [
        ("COLAB_RELEASE_TAG", "Runtime > Change"),
        ("COLAB_GPU", "Runtime > Change"),
        ("KAGGLE_KERNEL_RUN_TYPE", "Settings > Accelerator"),
    ],
)
def test_where_a_gpu_can_be_had_for_the_asking(machine, variable, menu):
    assert menu in gpu_hint(CPU, {variable: "0"})


@pytest.mark.parametrize(
    ("listed", "found"),
    [("GPU 0: NVIDIA T4 (UUID: GPU-1)\n", True), ("No devices found.\n", False), ("", False)],
)
def test_nvidias_own_command_is_believed(monkeypatch, tmp_path, listed, found):
    monkeypatch.setattr(hosts, "_NVIDIA_DRIVER", tmp_path / "none")
    monkeypatch.setattr(hosts.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(hosts.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, stdout=listed))
    assert _has_nvidia_gpu() is found


def test_a_command_that_hangs_or_is_missing_counts_as_no_gpu(monkeypatch, tmp_path):
    def hang(*_, **__):
        raise subprocess.TimeoutExpired("nvidia-smi", 10)

    monkeypatch.setattr(hosts, "_NVIDIA_DRIVER", tmp_path)
    monkeypatch.setattr(hosts.shutil, "which", lambda _: None)
    assert _has_nvidia_gpu() is False
    monkeypatch.setattr(hosts.shutil, "which", lambda name: name)
    monkeypatch.setattr(hosts.subprocess, "run", hang)
    assert _has_nvidia_gpu() is False
    (tmp_path / "0000:00:04.0").touch()
    assert _has_nvidia_gpu() is True


def test_a_lesson_begins_with_the_hint(machine, monkeypatch, tmp_path, capsys):
    for name, value in {"BUDGET": "smoke", "DATASET": "digits", "DEVICE": "cpu", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(f"MAGNET_{name}", value)
    machine(cuda=True)
    lessons.start_lesson("03_denoising_autoencoder")
    assert "\nhint:    a GPU is here, but MAGNET_DEVICE is 'cpu'" in capsys.readouterr().out
    machine()
    monkeypatch.delenv("COLAB_GPU", raising=False)
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    lessons.start_lesson("03_denoising_autoencoder")
    assert "hint" not in capsys.readouterr().out
