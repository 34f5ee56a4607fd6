"""Training, images per second: the textbook loop, ours one network at a time, and ours several at once.

The three are measured in turn, round after round, so that whatever else the machine does hits all of them alike.
"""

import statistics
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from magnet_helpers import (
    ClassificationLoss,
    ContractiveAutoencoder,
    ContractiveLoss,
    ConvAutoencoder,
    ConvClassifier,
    DenoisingLoss,
    LabeledImages,
    ReconstructionLoss,
    StackedAutoencoder,
    TrainingConfig,
    fit,
)
from magnet_helpers.device import precision_on
from magnet_helpers.lab.scheduler import STREAMS, in_stream, usable_cores
from magnet_helpers.losses import Loss
from magnet_helpers.training import CollapseWarning
from tools.benchmarks import textbook
from tools.benchmarks.textbook import Loss as TextbookLoss

BATCH_SIZE = 64


@dataclass(frozen=True)
class Case:
    """One kind of training, ours and the textbook's."""

    name: str
    build: Callable[[], nn.Module]
    loss: Loss
    textbook: Callable[[], nn.Sequential]
    textbook_loss: TextbookLoss


def _stack_of_three() -> nn.Module:
    return StackedAutoencoder([ConvAutoencoder() for _ in range(3)])


CASES = (
    Case("classifier", ConvClassifier, ClassificationLoss(), textbook.classifier, textbook.classification),
    Case("autoencoder", ConvAutoencoder, DenoisingLoss(0.3), textbook.autoencoder, textbook.denoising),
    Case("stack of 3", _stack_of_three, DenoisingLoss(0.3), textbook.stack_of_three, textbook.denoising),
    Case(
        "contractive, λ = 0",
        ContractiveAutoencoder,
        ReconstructionLoss(),
        textbook.contractive_autoencoder,
        textbook.reconstruction,
    ),
    Case(
        "contractive, λ = 0.001",
        ContractiveAutoencoder,
        ContractiveLoss(1e-3),
        textbook.contractive_autoencoder,
        textbook.contraction,
    ),
)


def images_and_labels(count: int) -> LabeledImages:
    """Return random images: how long a step takes does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 1, 28, 28, generator=generator)
    return LabeledImages(images, torch.randint(0, 10, (count,), generator=generator))


def ours(name: str, count: int, threads: int | None, device: torch.device) -> float:
    """Train for one epoch with `fit` and return its seconds, those of its validation on 64 images included."""
    warnings.simplefilter("ignore", CollapseWarning)  # of networks that learn random images
    case = next(case for case in CASES if case.name == name)
    data = images_and_labels(count)
    config = TrainingConfig(1, batch_size=BATCH_SIZE, cpu_threads=threads)
    return fit(case.build(), case.loss, data, data.first(64), config, device=device).seconds


def _reference(case: Case, data: LabeledImages, device: torch.device) -> float:
    return textbook.train(case.textbook(), case.textbook_loss, data.images, data.labels, BATCH_SIZE, device)


def _several(pool: ProcessPoolExecutor, name: str, count: int, device: torch.device) -> float:
    """Return the images per second of all trainings together: one on each core, or each in a stream of the GPU."""
    if device.type == "cuda":
        with ThreadPoolExecutor(STREAMS) as threads:
            streams = [threads.submit(in_stream, lambda: ours(name, count, None, device)) for _ in range(STREAMS)]
            seconds = [stream.result() for stream in streams]
    else:
        futures = [pool.submit(ours, name, count, 1, device) for _ in range(usable_cores())]
        seconds = [future.result() for future in futures]
    return sum(count / elapsed for elapsed in seconds)


def matrix_rate(device: torch.device, repeats: int = 20) -> float:
    """Return the floating-point operations per second of a product of two square matrices, at its best.

    In the type that a training's products have on this device.
    """
    size = 8192 if device.type == "cuda" else 2048
    dtype = torch.bfloat16 if precision_on(device, "auto") == "bfloat16" else torch.float32
    one = torch.rand(size, size, device=device).to(dtype)
    return 2 * size**3 / min(_seconds(lambda: one @ one, device) for _ in range(repeats))


def copy_rate(device: torch.device, megabytes: int = 256, repeats: int = 20) -> float:
    """Return the bytes read and written per second by a copy too large for any cache, at its best."""
    source = torch.rand(megabytes * 2**18, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / min(_seconds(lambda: target.copy_(source), device) for _ in range(repeats))


def synchronize(device: torch.device) -> None:
    """Wait for what a GPU still has to do."""
    if device.type != "cpu":
        torch.get_device_module(device).synchronize()


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


def operations_per_image(case: Case) -> float:
    """Return the floating-point operations of one training step, per image; a contraction carries one direction."""
    data, model = images_and_labels(BATCH_SIZE), case.textbook()
    contracts = case.textbook_loss is textbook.contraction
    loss = textbook.reconstruction if contracts else case.textbook_loss
    with FlopCounterMode(display=False) as counter:
        loss(model, data.images, data.labels).backward()
        if contracts:  # the direction passes the encoder as the images do
            next(model.children())(data.images).sum().backward()
    operations: int = counter.get_total_flops()
    return operations / BATCH_SIZE


def bytes_per_image(case: Case) -> float:
    """Return the least traffic with memory per image: the image, and Adam's seven passes over the weights."""
    weights: int = sum(parameter.nbytes for parameter in case.build().parameters())
    image: Tensor = images_and_labels(1).images
    return image.nbytes + 7 * weights / BATCH_SIZE


def measure(rounds: int, count: int, device: torch.device, report: Callable[[str], None]) -> list[dict[str, object]]:
    """Measure every case and return one row for each.

    Args:
        rounds: how often each way of training is measured.
        count: images of the epoch that is measured.
        device: where all ways train.
        report: told what is being measured.
    """
    data = images_and_labels(count)
    operations_rate, bytes_rate = matrix_rate(device), copy_rate(device)
    rows: list[dict[str, object]] = []
    with ProcessPoolExecutor(usable_cores(), get_context("spawn")) as pool:
        for case in CASES:
            report(f"training: {case.name}")
            speeds: dict[str, list[float]] = {"textbook": [], "ours": [], "ours_several_at_once": []}
            for number in range(rounds + 1):
                reference = count / _reference(case, data, device)
                one = count / ours(case.name, count, None, device)
                several = _several(pool, case.name, count, device)
                if number > 0:  # the first round compiles, and warms up
                    for key, value in zip(speeds, (reference, one, several), strict=True):
                        speeds[key].append(value)
            floor = max(operations_per_image(case) / operations_rate, bytes_per_image(case) / bytes_rate)
            rows.append(
                {
                    "case": case.name,
                    **{key: round(statistics.median(values)) for key, values in speeds.items()},
                    "ratio": _median_ratio(speeds["ours"], speeds["textbook"]),
                    "ratio_several_at_once": _median_ratio(speeds["ours_several_at_once"], speeds["textbook"]),
                    "floor": round(1 / floor),
                    "rounds": {key: [round(value) for value in values] for key, values in speeds.items()},
                }
            )
    return rows


def _median_ratio(one: list[float], other: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(one, other, strict=True)), 2)
