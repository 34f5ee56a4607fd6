"""Random numbers: each purpose draws from a generator of its own.

Generators live on the CPU, so that every device sees the same numbers; the noise of a training on CUDA alone is drawn
there (`device.noise_device`). Nothing here touches PyTorch's global generator.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

from magnet_helpers.contracts import as_count

_GLOBAL_GENERATOR = RLock()


def derived_seed(seed: int, purpose: str) -> int:
    """Return a seed in [0, 2⁶³) that depends on both arguments, a whole number and a text, and on nothing else."""
    seed = as_count("seed", seed)
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def new_generator(seed: int, purpose: str, device: torch.device | None = None) -> torch.Generator:
    """Return a generator for one purpose, for example `"noise, epoch 3"`, on the CPU or on `device`.

    >>> first, second = new_generator(0, "noise"), new_generator(0, "order")
    >>> bool(torch.rand(1, generator=first) == torch.rand(1, generator=second))
    False
    """
    return torch.Generator(device or "cpu").manual_seed(derived_seed(seed, purpose))


@contextmanager
def initial_weights_from(seed: int) -> Iterator[None]:
    """Let networks that are built inside draw their initial weights from `seed`; restore the global generator.

    That generator is the whole process': threads wait for each other here.

    >>> with initial_weights_from(0):
    ...     first = torch.nn.Linear(2, 1)
    >>> with initial_weights_from(0):
    ...     second = torch.nn.Linear(2, 1)
    >>> torch.equal(first.weight, second.weight)
    True
    """
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "initial weights"))
        yield
