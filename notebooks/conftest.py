"""The first failing cell ends its notebook: nbval would go on, and what follows would fail for that reason alone."""

import pytest

collect_ignore = ["assignments"]  # a copy fails until it is solved: tests/tools/coursework runs the solved ones
_failed: dict[str, str] = {}


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Remember the first failing cell of each notebook."""
    if call.excinfo is not None and item.path.suffix == ".ipynb":
        _failed.setdefault(str(item.path), item.name)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Do not run a cell of a notebook that has failed already."""
    first = _failed.get(str(item.path))
    if first is not None:
        pytest.fail(f"not run: {first} of this notebook failed", pytrace=False)
