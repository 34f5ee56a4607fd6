"""Whether there are compiled loops here. numba takes a second to import: it is asked for when they are first needed."""

import warnings
from functools import cache


@cache
def are_there() -> bool:
    """Return whether the loops can be compiled.

    Warns:
        RuntimeWarning: if numba is installed, but cannot be imported.
    """
    try:
        import numba

        from magnet_helpers.fast import first_layer, later_layers  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name == "numba":
            return False
        _warn(error)
        return False
    except Exception as error:  # there is no list of what a broken installation raises
        _warn(error)
        return False
    return not numba.config.DISABLE_JIT  # type: ignore[attr-defined]


def _warn(error: Exception) -> None:
    warnings.warn(
        f"numba cannot be imported ({type(error).__name__}: {error}), so the networks run in PyTorch's own layers: the "
        "same numbers, but a training takes several times as long. Reinstall numba to change that.",
        RuntimeWarning,
        stacklevel=2,
    )
