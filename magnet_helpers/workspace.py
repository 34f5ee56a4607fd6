"""Where things lie on disk: the project's folder, the data folder and the build folders.

This module only names places. `data` and `artifacts` read and write in them.
"""

import os
from os import PathLike
from pathlib import Path


def expanded(path: str | PathLike[str]) -> Path:
    """Return a path with ~ as a shell reads it: the home of a user who is unknown is a folder of that name."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  (pathlib's own raises a RuntimeError)


def workspace() -> Path:
    """Return the folder that holds `data/` and `build/`.

    `MAGNET_HOME` if it is set; else the checkout that contains the current folder; else the current folder,
    so that a lone notebook keeps what it makes beside itself.
    """
    home = os.environ.get("MAGNET_HOME")
    if home:
        return expanded(home).resolve()
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "magnet_helpers" / "workspace.py").is_file():
            return folder
    return here


def places_of(path: str | PathLike[str]) -> list[Path]:
    """Return where a path may lead, in the order to look: from the current folder, then from the workspace.

    A notebook's current folder is its own, not the one that Jupyter was started in.
    """
    starts = (Path.cwd(), workspace())
    return list(dict.fromkeys((start / expanded(path)).resolve() for start in starts))


def data_folder() -> Path:
    """Return the folder that datasets are downloaded into."""
    return workspace() / "data"


def artifacts_folder() -> Path:
    """Return the folder of trained weights and measured results."""
    return workspace() / "build" / "artifacts"
