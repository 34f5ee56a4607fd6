"""Random numbers: each purpose draws from a generator of its own.

Generators live on the CPU, so that every device sees the same numbers; the noise of a training on CUDA alone is drawn
there (`device.noise_device`). What draws from the global generators all the same does so in `global_numbers`.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any, NamedTuple

import numpy as np
import torch

from magnet_helpers.contracts import as_count

_GLOBAL_NUMBERS = RLock()


def read_seed(text: str) -> int:
    """Return the seed that somebody has written: in an environment variable, on a command line.

    Raises:
        ValueError: if it is no whole number, 0 or more.
    """
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"a seed must be a whole number, 0 or more, got {text!r}")
    return int(text)


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
    """Let networks that are built inside draw their initial weights from `seed`, as in `global_numbers`.

    >>> with initial_weights_from(0):
    ...     first = torch.nn.Linear(2, 1)
    >>> with initial_weights_from(0):
    ...     second = torch.nn.Linear(2, 1)
    >>> torch.equal(first.weight, second.weight)
    True
    """
    with global_numbers(derived_seed(seed, "initial weights")):
        yield


class _Source(NamedTuple):
    """Global random numbers: how their state is read, put back, and made from a seed."""

    get: Callable[[], Any]
    put: Callable[[Any], object]
    seed: Callable[[int], object]


def _sources() -> list[_Source]:
    sources = [
        _Source(torch.get_rng_state, torch.set_rng_state, torch.default_generator.manual_seed),
        _Source(np.random.get_state, np.random.set_state, lambda seed: np.random.seed(seed % 2**32)),  # noqa: NPY002
        _Source(random.getstate, random.setstate, random.seed),
    ]
    if torch.cuda.is_initialized():
        sources.append(_Source(torch.cuda.get_rng_state_all, torch.cuda.set_rng_state_all, torch.cuda.manual_seed_all))
    if torch.backends.mps.is_available():
        sources.append(_Source(torch.mps.get_rng_state, torch.mps.set_rng_state, torch.mps.manual_seed))
    return sources


@contextmanager
def global_numbers(seed: int | None = None) -> Iterator[None]:
    """Put the global random numbers of PyTorch, on every device, of NumPy and of Python back at the end of the block.

    They are the whole process': threads wait for each other here.

    Args:
        seed: what they are drawn from inside, in [0, 2⁶³); None: from where they are.
    """
    with _GLOBAL_NUMBERS:
        sources = _sources()
        states = [source.get() for source in sources]
        try:
            if seed is not None:
                for source in sources:
                    source.seed(seed)
            yield
        finally:
            for source, state in zip(sources, states, strict=True):
                source.put(state)
