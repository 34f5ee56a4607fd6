import importlib.util
from types import SimpleNamespace

import pytest

from magnet_helpers.lab.code_version import code_version

BASE = '''"""A module."""

X = "text"

class A:
    """A class."""
    def f(self, x):
        """Doc."""
        return x + 1
'''


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('"""A module."""', '"""Another description."""', True),
        ('"""A class."""', '"""Another."""', True),
        ('        """Doc."""\n', "", True),
        ("return x + 1", "return x + 1  # why", True),
        ("return x + 1", "return (x\n            + 1)", True),
        ("return x + 1", "return x + 2", False),
        ("return x + 1", "return x - 1", False),
        ('"text"', '"texts"', False),
        ("def f(self, x)", "def f(self, x=0)", False),
        ("class A:", "class B:", False),
    ],
)
def test_the_version_follows_what_the_code_does(tmp_path, monkeypatch, old, new, same):
    def version(text):
        (tmp_path / "module.py").write_text(text)
        return code_version("module")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "module.py")))
    assert old in BASE
    assert (version(BASE) == version(BASE.replace(old, new))) is same


def test_the_version_of_real_modules():
    versions = [code_version("models"), code_version("losses"), code_version("models", "losses")]
    assert len(set(versions)) == 3
    assert versions == [code_version("models"), code_version("losses"), code_version("models", "losses")]
    with pytest.raises(ValueError, match=r"no module magnet_helpers\.modles"):
        code_version("modles")
