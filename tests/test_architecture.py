"""The house: what may be large, and which room may use which."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "magnet_helpers"
LONGEST_FILE, LONGEST_FACE, MOST_ENTRIES = 300, 80, 24

# A room may use the rooms above it. The face and the command line may use all; nothing uses them.
ORDER = """
files workspace contracts seeds device
intervals models fast jacobian
data inference losses training
defenses detectors magnet attacks evaluation robustness
lab study
plotting panels checks
"""
ROOMS = ORDER.split()
DOORS = {"", "__main__"}
FILES = [path for room in ("magnet_helpers", "tools", "tests") for path in sorted((ROOT / room).rglob("*.py"))]
FILES = [path for path in FILES if path.parent.name != "answers"]  # an answer is an exercise as it is handed in
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def room(module: str) -> str:
    """Return the first folder or file under the package; of the package itself the empty string."""
    return module.split(".")[1] if "." in module else ""


def imports(source: str) -> list[str]:
    """Return the full names of what a source imports, at its top or inside a function, but not for type checkers."""
    tree = ast.parse(source)
    checked = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    hidden = {inner for node in checked for statement in node.body for inner in ast.walk(statement)}
    names = []
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def used_modules(source: str) -> set[str]:
    """Return the package's modules that a source imports: the module, or the room whose `__init__` gives the name."""
    used = set()
    for name in imports(source):
        while name and name not in MODULES:
            name = name.rpartition(".")[0]
        used |= {name} if name else set()
    return used


def arrows_upwards(module: str, source: str) -> list[str]:
    """Return the imports of a module that lead to a later room."""
    own = room(module)
    if own in DOORS:
        return []
    later = {*ROOMS[ROOMS.index(own) + 1 :], *DOORS}
    # `import magnet_helpers` alone asks where the package lies.
    return [used for used in sorted(used_modules(source)) if room(used) in later and used != "magnet_helpers"] + [
        name for name in imports(source) if name.startswith("magnet_helpers.") and name.split(".")[1] not in ROOMS
    ]


def test_the_package_reads_like_a_table_of_contents():
    entries = [path.name for path in PACKAGE.iterdir() if path.name[0] not in "_." and path.name != "py.typed"]
    assert len(entries) <= MOST_ENTRIES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_can_be_read_in_one_sitting(path):
    longest = LONGEST_FACE if path == PACKAGE / "__init__.py" else LONGEST_FILE
    assert len(path.read_text(encoding="utf-8").splitlines()) <= longest


def test_every_room_has_its_place_in_the_order():
    assert sorted(ROOMS) == sorted({room(module) for module in MODULES} - DOORS)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_uses_no_later_room(module):
    assert not arrows_upwards(module, MODULES[module].read_text(encoding="utf-8"))


def test_no_modules_import_each_other_in_a_circle():
    graph = {
        module: used_modules(path.read_text(encoding="utf-8")) - {module, "magnet_helpers"}
        for module, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" ← ".join(error.args[1]))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_the_package_does_not_need_the_tools(module):
    names = imports(MODULES[module].read_text(encoding="utf-8"))
    assert not [name for name in names if name.split(".")[0] in ("tools", "tests")]


@pytest.mark.parametrize(
    ("line", "arrows"),
    [
        ("from magnet_helpers.seeds import new_generator", []),
        ("from magnet_helpers.lab.lab import Lab", ["magnet_helpers.lab.lab"]),
        ("import magnet_helpers.lab.lab", ["magnet_helpers.lab.lab"]),
        ("def f():\n    from magnet_helpers.study import tables", ["magnet_helpers.study.tables"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from magnet_helpers.lab.lab import Lab", []),
        ("import magnet_helpers", []),
        ("from magnet_helpers import fit", ["magnet_helpers.fit"]),
        ("from magnet_helpers import lab", ["magnet_helpers.lab"]),
    ],
)
def test_arrows_upwards_are_found(line, arrows):
    assert arrows_upwards("magnet_helpers.models", line) == arrows
