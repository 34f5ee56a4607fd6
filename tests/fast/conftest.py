import pytest

from magnet_helpers.fast import fused


@pytest.fixture
def calls(monkeypatch):
    """Which fused layers were used."""
    used = []
    apply = fused.apply

    def recording(function, *arguments):
        used.append(function.__name__)
        return apply(function, *arguments)

    monkeypatch.setattr(fused, "apply", recording)
    return used
