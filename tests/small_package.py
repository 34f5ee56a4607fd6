"""A package of a few modules under this package's name, for what reads source text and imports nothing."""

from pathlib import Path

SOURCES = {
    "entry": '''"""The module."""

import math

import numpy as np
from magnet_helpers import tools
from magnet_helpers.shapes import Square
from magnet_helpers.tools import doubled

LIMIT: int = 3
__all__ = ["train"]


def train(images, limit=LIMIT):
    """Train."""
    from magnet_helpers.late import scaled

    total = math.sqrt(doubled(images))  # why
    return scaled(total - limit, np.pi) + tools.TEN + Square(2).area


def unrelated():
    return 0
''',
    "tools": """
from magnet_helpers.inner import halved as parted

TEN = 10


def doubled(x):
    return parted(x) * 4


def logged(function):
    return function


@logged
def beside(x):
    return x
""",
    "inner": """
from magnet_helpers.deepest import deepest


def halved(x):
    return deepest(x) / 2
""",
    "deepest": """
def deepest(x):
    return x + 1


def another(x):
    return x + 1
""",
    "late": """
def scaled(x, factor):
    return x * factor
""",
    "later": """
def scaled(x, factor):
    return x / factor
""",
    "shapes": """
from dataclasses import dataclass
from magnet_helpers.tools import logged


class Shape:
    def __init__(self, side):
        self.side = side


class Square(Shape):
    @property
    def area(self) -> float:
        return self.side**2
""",
}


def write_package(root: Path, sources: dict[str, str], *edits: tuple[str, str, str]) -> Path:
    """Write modules into `root/magnet_helpers`, with some texts replaced: (module, old, new)."""
    sources = {"__init__": "", **sources}
    for module, old, new in edits:
        assert sources[module].count(old) == 1, f"{old!r} is {sources[module].count(old)} times in {module}"
        sources[module] = sources[module].replace(old, new)
    for module, text in sources.items():
        path = root.joinpath("magnet_helpers", *module.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root
