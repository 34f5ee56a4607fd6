from pathlib import Path

import pytest
from mnist_server import accept_as_published, isolate, small_contents

from magnet_helpers.data import loading


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(loading, "_fell_back", False)
    return isolate(monkeypatch, tmp_path / "home")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    contents = small_contents()
    accept_as_published(contents, monkeypatch)
    return contents
