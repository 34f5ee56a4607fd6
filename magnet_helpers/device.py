"""Which processor computes, in which memory layout and with which precision."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import wraps
from threading import Lock
from typing import Literal, TypeVar

import torch
from torch import nn

ModelT = TypeVar("ModelT", bound=nn.Module)
Precision = Literal["auto", "float32", "bfloat16"]


def choose_device() -> torch.device:
    """Return `MAGNET_DEVICE` if it is set, else CUDA, else Apple's MPS, else the CPU.

    Raises:
        ValueError: if `MAGNET_DEVICE` names a device that PyTorch does not know or that is not there.
    """
    name = os.environ.get("MAGNET_DEVICE")
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present.insert(0, "cuda")
    if name and name.split(":")[0] not in present:
        raise ValueError(f"MAGNET_DEVICE must be one of {', '.join(present)} here, got {name!r}")
    try:
        device = torch.device(name or present[0])
    except RuntimeError as error:
        raise ValueError(f"MAGNET_DEVICE must be one of {', '.join(present)} here, got {name!r}") from error
    if device.type == "cuda" and device.index is not None and device.index >= (count := torch.cuda.device_count()):
        raise ValueError(f"MAGNET_DEVICE must name one of the {count} GPUs that are here, from cuda:0 on, got {name!r}")
    return device


def device_of(model: nn.Module) -> torch.device:
    """Return the device that the model's parameters lie on (the CPU if it has none).

    Raises:
        TypeError: for what is no network.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"a network must be a torch.nn.Module, got {getattr(model, '__name__', None) or repr(model)[:80]}: wrap a "
            "function in a module of your own, call a class, and take `lab.reformer` of a defence's name"
        )
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def place(model: ModelT, device: torch.device) -> ModelT:
    """Move the model to the device, in place, with its convolutions laid out channels-last.

    Channels-last changes the order in memory and no value. On 2 cores it makes a training step of the autoencoder
    about 1.4 times as fast.
    """
    return model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def noise_device(device: torch.device) -> torch.device:
    """Return where a training draws its noise: on CUDA there, else on the CPU.

    A CPU takes longer to draw the noise of one batch than a GPU takes for the whole step. So a training on CUDA sees
    other noise than one elsewhere.
    """
    return device if device.type == "cuda" else torch.device("cpu")


def _multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for products of bfloat16 numbers.

    Without them PyTorch imitates them, and a training takes 3 to 4 times as long as in float32. PyTorch releases that
    cannot say count as without.
    """
    ask: Callable[[], Mapping[str, object]] = getattr(torch.cpu, "get_capabilities", dict)
    capabilities = ask()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def reduced_precision(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the context in which a training computes its loss.

    On a CPU bfloat16 means PyTorch's autocast: convolutions and matrix products take bfloat16 and sum in float32;
    weights, losses, single-channel layers and updates stay float32. On CUDA nothing is changed: there PyTorch's own
    convolutions round to TF32.

    Args:
        device: where the network is.
        precision: `"auto"`: bfloat16 on a CPU that `_multiplies_bfloat16`, else float32.
    """
    is_bfloat16 = precision_on(device, precision) == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=is_bfloat16)


def precision_on(device: torch.device, precision: Precision) -> str:
    """Return what `reduced_precision` comes to on this device: `"bfloat16"`, `"tf32"` (CUDA) or `"float32"`."""
    if precision == "bfloat16" or (precision == "auto" and device.type == "cpu" and _multiplies_bfloat16()):
        return "bfloat16"
    return "tf32" if device.type == "cuda" and torch.backends.cudnn.allow_tf32 else "float32"


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Let PyTorch compute with so many threads on the CPU; None: as it does."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def shared(make: Callable[[], AbstractContextManager[object]]) -> Callable[[], AbstractContextManager[None]]:
    """Return a context for settings of the whole process: of the threads inside, the first enters it, the last leaves.

    Were each thread to put back what it had found, one could find what another had set, and leave that behind.
    """
    lock, entered = Lock(), list[AbstractContextManager[object]]()
    inside = 0

    @wraps(make)
    @contextmanager
    def block() -> Iterator[None]:
        nonlocal inside
        with lock:
            if not inside:
                entered.append(make())
                entered[0].__enter__()
            inside += 1
        try:
            yield
        finally:
            with lock:
                inside -= 1
                if not inside:
                    entered.pop().__exit__(None, None, None)

    return block


@shared
@contextmanager
def full_precision() -> Iterator[None]:
    """Compute convolutions in float32 on CUDA too, where PyTorch's default is to round their inputs to TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which a caller's autocast does not reach the device."""
    kind = device.type
    is_on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if is_on else nullcontext()


@shared
@contextmanager
def _float32_by_default() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def plain_circumstances(device: torch.device) -> Iterator[None]:
    """Compute with gradients, in float32, as if the caller had changed no default and were in no mode of PyTorch's.

    Args:
        device: of the network. If the caller has chosen another default device than the CPU, it is this one inside.
    """
    with ExitStack() as stack:
        for context in (torch.inference_mode(mode=False), torch.enable_grad(), full_precision(), _float32_by_default()):
            stack.enter_context(context)
        stack.enter_context(without_autocast(device))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(device)
        yield
