"""Whether there are compiled loops here. numba takes a second to import: it is asked for when they are first needed."""

import warnings
from functools import cache
from typing import Any

_given_up = False


class LoopError(RuntimeError):
    """A loop could not be compiled, or what numba keeps of it on disk could not be read or written."""


def are_there() -> bool:
    """Return whether the loops can be compiled.

    Warns:
        RuntimeWarning: if numba is installed, but cannot be imported.
    """
    return not _given_up and _can_be_imported()


def call(loop: Any, *arguments: object) -> None:
    """Run a loop.

    Raises:
        LoopError: if it does not run; then `give_up`.
    """
    try:
        loop(*arguments)
    except Exception as error:  # of the compiler, of pickle, of the disk: there is no list
        kept = getattr(getattr(loop, "stats", None), "cache_path", None)
        advice = f"if what numba keeps is damaged, delete the files *.nbi and *.nbc in {kept}" if kept else ""
        raise LoopError(f"{_in_a_line(error)}; {advice}".rstrip("; ")) from error


def give_up(error: LoopError) -> None:
    """Do without the loops from now on, and say so once."""
    global _given_up
    if not _given_up:
        _given_up = True
        _warn(f"numba's loops do not run ({error})", "")


@cache
def _can_be_imported() -> bool:
    try:
        import numba

        from magnet_helpers.fast import first_layer, later_layers  # noqa: F401
    except Exception as error:  # there is no list of what a broken installation raises
        if not (isinstance(error, ModuleNotFoundError) and error.name == "numba"):
            _warn(f"numba cannot be imported ({_in_a_line(error)})", ". Reinstall numba to change that.")
        return False
    return not numba.config.DISABLE_JIT  # type: ignore[attr-defined]


def _in_a_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def _warn(what: str, advice: str) -> None:
    warnings.warn(
        f"{what}, so the networks run in PyTorch's own layers: the same numbers, but a training takes several times as "
        f"long{advice}",
        RuntimeWarning,
        stacklevel=3,
    )
