"""Where things lie on disk: the project's folder, the data folder and the build folders.

This module only names places. `data` and `artifacts` read and write in them.
"""

import os
from os import PathLike
from pathlib import Path


def workspace() -> Path:
    """Return the folder that holds `data/` and `build/`.

    `MAGNET_HOME` if it is set; else the checkout that contains the current folder; else the current folder,
    so that a lone notebook keeps what it makes beside itself.
    """
    home = os.environ.get("MAGNET_HOME")
    if home:
        return Path(home).expanduser().resolve()
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
    return list(dict.fromkeys((start / Path(path).expanduser()).resolve() for start in starts))


def data_folder() -> Path:
    """Return the folder that datasets are downloaded into."""
    return workspace() / "data"


def artifacts_folder() -> Path:
    """Return the folder of trained weights and measured results."""
    return workspace() / "build" / "artifacts"
