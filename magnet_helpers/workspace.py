"""Where things lie on disk: the project's folder, the data folder and the build folders.

This module only names places. `data` and `artifacts` read and write in them.
"""

import os
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


def data_folder() -> Path:
    """Return the folder that datasets are downloaded into."""
    return workspace() / "data"


def artifacts_folder() -> Path:
    """Return the folder of trained weights and measured results."""
    return workspace() / "build" / "artifacts"
