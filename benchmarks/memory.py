"""The most memory that this process has held."""

import resource
import sys
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peak() -> None:
    """Let the peak begin anew from what is held now (Linux only: elsewhere it stays)."""
    if _CLEAR.exists():
        _CLEAR.write_text("5")


def peak_megabytes() -> float:
    """Return the peak since this process began, or since `forget_peak`.

    Linux has two: `getrusage` counts what the parent held when it started this process, `VmHWM` does not.
    """
    if _STATUS.exists():
        lines = _STATUS.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
