import pytest

from magnet_helpers.lab.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "artifacts")
