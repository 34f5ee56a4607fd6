"""Names are followed as Python sees them, and each Python finds the same hash."""

import ast
import sys
from pathlib import Path

import pytest
from small_package import SOURCES, write_package

from magnet_helpers.lab import canonical
from magnet_helpers.lab import code_version as code_version_module
from magnet_helpers.lab.code_version import code_version, reached

TRICKY = Path(__file__).parent / "code_version" / "tricky_syntax.txt"
# Of `TRICKY`. Each Python that runs the tests has to find it.
TRICKY_VERSION = "8a27e5c077717c81"

SCOPES = """
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from magnet_helpers.entry import unrelated
    from magnet_helpers.shapes import Shape

Pair = tuple["Square", int]
both: "dict[str, Square]"


class Square:
    side = 1


class Word:
    length = 1


class Unused:
    pass


def helper():
    return 1


def plain():
    return 0


def parameter(helper):
    return helper


def local():
    helper = 1
    return helper


def looped():
    return [helper for helper in range(3)]


def comprehension_beside():
    return [helper for helper in range(3)], helper()


def shared():
    global helper
    helper = helper


def inner():
    def helper():
        return 1

    return helper()


class Method:
    def helper(self):
        return helper()


def quoted(x: "list[Word]") -> None:
    return x.length


def alias(x: Pair) -> Literal["Unused"]:
    return x


def told(x):
    return cast("Word", x)


def typing_only(x: "Shape"):
    return x


@dataclass
class Holder:
    word: Word | None = None


def deferred():
    return lambda: helper


def given_later():
    return lambda helper: helper


def walrus():
    return [helper := 1 for _ in range(3)], helper


def matched(x):
    match x:
        case {"a": [*helper], **plain}:
            return helper, plain
        case Word():
            return None
"""


@pytest.mark.parametrize(
    ("entry", "others"),
    [
        ("plain", set()),
        ("parameter", set()),
        ("local", set()),
        ("looped", set()),
        ("comprehension_beside", {"helper"}),
        ("shared", {"helper"}),
        ("inner", set()),
        ("Method", {"helper"}),
        ("quoted", {"Word"}),
        ("alias", {"Square"}),
        ("told", {"Word"}),
        ("Holder", {"Word"}),
        ("deferred", {"helper"}),
        ("given_later", set()),
        ("walrus", set()),
        ("matched", {"Word"}),
    ],
)
def test_names_are_followed_as_python_sees_them(tmp_path, entry, others):
    root = write_package(tmp_path, {"scopes": SCOPES, **SOURCES})
    assert set(reached(f"scopes:{entry}", root=root)) == {f"scopes.{name}" for name in (entry, *others)}


def test_a_type_imported_for_annotations_alone_is_followed(tmp_path):
    root = write_package(tmp_path, {"scopes": SCOPES, **SOURCES})
    assert set(reached("scopes:typing_only", root=root)) == {"scopes.typing_only", "shapes.Shape"}


def test_each_python_finds_the_same_version(tmp_path):
    root = write_package(tmp_path, {"tricky": TRICKY.read_text(encoding="utf-8")})
    assert code_version("tricky", root=root) == TRICKY_VERSION, f"Python {sys.version.split()[0]} sees another one"


def test_any_python_can_compute_a_version_without_other_packages():
    for module in (canonical, code_version_module):
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        names = [getattr(node, "module", None) or node.names[0].name for node in imports]
        assert {name for name in names if name.split(".")[0] not in sys.stdlib_module_names} <= {canonical.__name__}
