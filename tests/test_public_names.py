import ast
import importlib
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import magnet_helpers

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", magnet_helpers.__all__)
def test_every_public_name_is_there_and_no_module_hides_it(name):
    assert not isinstance(getattr(magnet_helpers, name), ModuleType)
    assert find_spec(f"magnet_helpers.{name}") is None, "importing the module would replace the name"


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = magnet_helpers.nothing


@pytest.mark.parametrize("path", sorted([*HERE.glob("browser/*.py"), *HERE.glob("hosts/*.py")]), ids=lambda p: p.name)
def test_what_make_test_does_not_run_asks_for_names_that_are_there(path):
    asked = [
        (node.module, name.name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("magnet_helpers")
        for name in node.names
    ]
    assert asked
    assert not [(module, name) for module, name in asked if not hasattr(importlib.import_module(module), name)]
