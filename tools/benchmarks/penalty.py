"""The Jacobian penalty: ours beside `torch.func` and double backward, in a training step and for the exact norm.

Each way runs in a process of its own, whose memory is what it needs beyond the network and the images.
"""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

import torch
from torch import Tensor, nn
from torch.func import jacfwd, jacrev, jvp

from magnet_helpers import ContractiveAutoencoder, ContractiveLoss, ReconstructionLoss, jacobian_frobenius_squared
from magnet_helpers.fast.switch import sooner
from magnet_helpers.losses import squared_error
from tools.benchmarks import textbook
from tools.benchmarks.memory import forget_peak, peak_megabytes
from tools.benchmarks.training import BATCH_SIZE, images_and_labels, synchronize

EXACT_IMAGES = 4
WEIGHT = 1e-3


def _plain(model: ContractiveAutoencoder, images: Tensor) -> Tensor:
    return ReconstructionLoss()(model, images, images, torch.Generator())


def _ours(model: ContractiveAutoencoder, images: Tensor) -> Tensor:
    return ContractiveLoss(WEIGHT)(model, images, images, torch.Generator(images.device))


def _forward_mode(model: ContractiveAutoencoder, images: Tensor) -> Tensor:
    signs = torch.randint(0, 2, images.shape, device=images.device) * 2.0 - 1
    codes: Tensor
    products: Tensor
    codes, products = jvp(model.encode, (images,), (signs,))[:2]
    return (squared_error(images, model.decode(codes)) + WEIGHT * products.square().sum(dim=1)).mean()


def _double_backward(_: ContractiveAutoencoder, images: Tensor) -> Tensor:
    return textbook.contraction(_textbook_model(images.device), images, images)


@cache
def _textbook_model(device: torch.device) -> nn.Sequential:
    model: nn.Sequential = textbook.contractive_autoencoder().to(device)
    return model


def _exactly(model: ContractiveAutoencoder, images: Tensor) -> Tensor:
    with torch.no_grad():
        return jacobian_frobenius_squared(model.encode, images)


def _by_jacrev(model: ContractiveAutoencoder, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.stack([jacrev(lambda x: model.encode(x[None])[0])(image).square().sum() for image in images])


def _by_jacfwd(model: ContractiveAutoencoder, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.stack([jacfwd(lambda x: model.encode(x[None])[0])(image).square().sum() for image in images])


STEPS: dict[str, Callable[[ContractiveAutoencoder, Tensor], Tensor]] = {
    "no penalty": _plain,
    "ours": _ours,
    "torch.func.jvp": _forward_mode,
    "double backward": _double_backward,
}
NORMS: dict[str, Callable[[ContractiveAutoencoder, Tensor], Tensor]] = {
    "ours": _exactly,
    "jacrev": _by_jacrev,
    "jacfwd": _by_jacfwd,
}


def _run(kind: str, way: str, repeats: int, device: torch.device) -> tuple[list[float], float, list[float]]:
    """Return the seconds of each repeat, the megabytes above those before the first, and what came out."""
    torch.manual_seed(0)
    model = ContractiveAutoencoder().to(device)
    images = images_and_labels(BATCH_SIZE if kind == "step" else EXACT_IMAGES).images.to(device)
    forget_peak(device)
    before, seconds = peak_megabytes(device), []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        if kind == "step":
            with sooner(model):
                value = STEPS[way](model, images)
                value.backward()
        else:
            value = NORMS[way](model, images)
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return seconds[1:], peak_megabytes(device) - before, value.detach().flatten().tolist()


def measure(rounds: int, device: torch.device, report: Callable[[str], None]) -> list[dict[str, object]]:
    """Measure every way and return one row for each; a way that runs out of memory says so.

    Args:
        rounds: how often each way gets a process of its own, in turn.
        device: where everything is computed.
        report: told what is being measured.
    """
    ways = [("step", way, 10) for way in STEPS] + [("exact norm", way, 1) for way in NORMS]
    seconds: dict[tuple[str, str], list[float]] = {(kind, way): [] for kind, way, _ in ways}
    memory: dict[tuple[str, str], float] = {}
    values: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds):
        for kind, way, repeats in ways:
            report(f"penalty: {kind}, {way}, round {number + 1} of {rounds}")
            if (kind, way) in memory or number == 0:
                with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                    try:
                        measured, memory[kind, way], values[kind, way] = pool.submit(
                            _run, kind, way, repeats, device
                        ).result()
                    except Exception:  # killed for memory, or refused it
                        continue
                seconds[kind, way].append(statistics.median(measured))
    rows: list[dict[str, object]] = []
    for kind, way, _ in ways:
        n = BATCH_SIZE if kind == "step" else EXACT_IMAGES
        reference = seconds[kind, "no penalty" if kind == "step" else "jacrev"]
        if not seconds[kind, way]:
            rows.append({"what": kind, "way": way, "milliseconds_per_image": "out of memory"})
            continue
        pairs = list(zip(seconds[kind, way], reference, strict=True))
        rows.append(
            {
                "what": kind,
                "way": way,
                "milliseconds_per_image": round(1e3 * statistics.median(seconds[kind, way]) / n, 2),
                "times_the_reference": round(statistics.median(a / b for a, b in pairs), 3),
                "megabytes": round(memory[kind, way]),
            }
        )
    ours, reverse_mode = (torch.tensor(values["exact norm", way]) for way in ("ours", "jacrev"))
    torch.testing.assert_close(ours, reverse_mode, rtol=1e-4, atol=0)
    return rows
