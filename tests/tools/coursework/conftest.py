import shutil
from pathlib import Path

import pytest
from handing_in import NAME
from marks import SOURCES


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A folder with one assignment: preparing all takes a while."""
    folder = tmp_path_factory.mktemp("sources")
    shutil.copy(SOURCES / f"{NAME}.py", folder)
    return folder
