from importlib.util import find_spec
from types import ModuleType

import pytest

import magnet_helpers


@pytest.mark.parametrize("name", magnet_helpers.__all__)
def test_every_public_name_is_there_and_no_module_hides_it(name):
    assert not isinstance(getattr(magnet_helpers, name), ModuleType)
    assert find_spec(f"magnet_helpers.{name}") is None, "importing the module would replace the name"


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = magnet_helpers.nothing
