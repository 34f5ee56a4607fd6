"""Switches the fast path on: for one network, in one thread, until the end of a block."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, get_ident

from torch import Tensor, nn

from magnet_helpers.fast.fused import plainly, run

_LOCK = Lock()


def is_allowed() -> bool:
    """Return whether anything may be faster than plain: not if the environment variable `MAGNET_FAST` is 0.

    Raises:
        ValueError: if it is neither 0 nor 1.
    """
    value = os.environ.get("MAGNET_FAST") or "1"
    if value not in ("0", "1"):
        raise ValueError(f"MAGNET_FAST must be 0 (PyTorch's own layers throughout) or 1, got {value!r}")
    return value == "1"


class _Forward:
    """What stands in for the `forward` of a `nn.Sequential`. It is fast in the threads that asked for it."""

    def __init__(self, layers: nn.Sequential) -> None:
        self.layers = layers
        self.depths = Counter[int]()  # of nested blocks, for each thread

    def __call__(self, input: Tensor) -> Tensor:
        if get_ident() in self.depths:
            return run(self.layers, input)
        return plainly(self.layers, input)

    def __reduce__(self) -> tuple[object, ...]:
        return getattr, (self.layers, "forward")  # a copy of the network is plain


@contextmanager
def sooner(model: nn.Module) -> Iterator[None]:
    """Let the network's `nn.Sequential`s run in compiled loops where these stand for the same layers.

    Only in this thread, and only until the end of the block. Which layers that are is decided at every call. Blocks may
    be nested, and other threads may use the same network meanwhile.

    Args:
        model: any network; of its modules those that are exactly a `nn.Sequential` are concerned.
    """
    thread, entered = get_ident(), list[_Forward]()
    try:
        with _LOCK:
            for layers in model.modules() if is_allowed() else ():
                if type(layers) is nn.Sequential and (installed := _installed(layers)) is not None:
                    installed.depths[thread] += 1
                    entered.append(installed)
        yield
    finally:
        with _LOCK:
            for forward in entered:
                forward.depths[thread] -= 1
                forward.depths += Counter()  # forgets threads at 0
                if not forward.depths and vars(forward.layers).get("forward") is forward:
                    del forward.layers.__dict__["forward"]


def has_stand_in(layers: nn.Module) -> bool:
    """Return whether some thread is inside a block of `sooner` for these layers: their `forward` is ours."""
    return isinstance(vars(layers).get("forward"), _Forward)


def is_on(layers: nn.Module) -> bool:
    """Return whether this thread is inside a block of `sooner` for these layers."""
    forward = vars(layers).get("forward")
    return isinstance(forward, _Forward) and get_ident() in forward.depths


def _installed(layers: nn.Sequential) -> _Forward | None:
    """Return what stands in for these layers' `forward`, new if need be; None if they have another one of their own."""
    own = vars(layers).get("forward")
    if own is None or getattr(own, "__func__", None) is nn.Sequential.forward:  # the latter has a copy made in a block
        forward = layers.__dict__["forward"] = _Forward(layers)
        return forward
    return own if isinstance(own, _Forward) and own.layers is layers else None
