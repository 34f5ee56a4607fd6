"""How time and memory grow with the work: more training images, deeper stacks, larger batches.

Each size is trained in a process of its own, one thread, whose peak memory is that of its imports too.
"""

import statistics
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from magnet_helpers import ConvAutoencoder, DenoisingLoss, StackedAutoencoder, TrainingConfig, fit
from magnet_helpers.training import CollapseWarning
from tools.benchmarks.memory import peak_megabytes
from tools.benchmarks.training import BATCH_SIZE, images_and_labels

FACTORS = (1, 2, 4)
Size = tuple[int, int, int]


def _train(images: int, depth: int, batch_size: int, device: torch.device) -> tuple[float, float]:
    """Train once to warm up and once to measure; return the seconds of that and the peak memory in megabytes."""
    warnings.simplefilter("ignore", CollapseWarning)  # of networks that learn random images
    data = images_and_labels(images)
    model = StackedAutoencoder([ConvAutoencoder() for _ in range(depth)])
    for training_images in (data.first(batch_size), data):
        config = TrainingConfig(1, batch_size=batch_size, cpu_threads=1)
        seconds = fit(model, DenoisingLoss(0.3), training_images, data.first(64), config, device=device).seconds
    return seconds, peak_megabytes(device)


def measure(rounds: int, count: int, device: torch.device, report: Callable[[str], None]) -> list[dict[str, object]]:
    """Measure 1, 2 and 4 times the images, the depth and the batch, and return one row for each.

    Args:
        rounds: how often each is measured, in turn.
        count: images of an epoch, to begin with.
        device: where everything is trained, and whose memory is counted.
        report: told what is being measured.
    """
    sizes = sizes_from(count)
    measured: dict[Size, list[tuple[float, float]]] = {}
    for number in range(rounds):
        report(f"growth: round {number + 1} of {rounds}")
        for size in dict.fromkeys(size for series in sizes.values() for size in series):
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                measured.setdefault(size, []).append(pool.submit(_train, *size, device).result())
    return rows_of(sizes, measured)


def sizes_from(count: int) -> dict[str, list[Size]]:
    """Return the sizes (images, depth, batch) in which one of them grows."""
    return {
        "images": [(factor * count, 1, BATCH_SIZE) for factor in FACTORS],
        "depth": [(count, factor, BATCH_SIZE) for factor in FACTORS],
        "batch": [(count, 1, factor * BATCH_SIZE) for factor in FACTORS],
    }


def rows_of(sizes: dict[str, list[Size]], measured: dict[Size, list[tuple[float, float]]]) -> list[dict[str, object]]:
    """Return a row for each size: medians of its seconds, as they are and beside the first size's of the same round."""
    return [
        {
            "what_grows": what,
            "images": size[0],
            "depth": size[1],
            "batch": size[2],
            "seconds": round(statistics.median(seconds for seconds, _ in measured[size]), 2),
            "times_the_first": round(
                statistics.median(
                    one[0] / first[0] for one, first in zip(measured[size], measured[series[0]], strict=True)
                ),
                2,
            ),
            "megabytes": round(max(megabytes for _, megabytes in measured[size])),
        }
        for what, series in sizes.items()
        for size in series
    ]
