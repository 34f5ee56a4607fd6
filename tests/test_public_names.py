import ast
import builtins
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import magnet_helpers

HERE = Path(__file__).parent
ROOT = HERE.parent
PACKAGE = ROOT / "magnet_helpers"
STUB = PACKAGE / "__init__.pyi"
# Each takes a tenth of a second or more to import; most of what a lesson does first needs none of them.
HEAVY = ("scipy.stats", "numba", "pandas", "seaborn", "matplotlib", "IPython", "ipywidgets", "sklearn", "art")


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- the face


@pytest.mark.parametrize("name", magnet_helpers.__all__)
def test_every_public_name_is_there_and_no_module_hides_it(name):
    assert not isinstance(getattr(magnet_helpers, name), ModuleType)
    assert find_spec(f"magnet_helpers.{name}") is None, "importing the module would replace the name"


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = magnet_helpers.nothing


def test_the_face_is_small_and_names_nothing_twice():
    assert len(set(magnet_helpers.__all__)) == len(magnet_helpers.__all__)
    assert len(magnet_helpers.__all__) <= 60
    assert set(magnet_helpers.__all__) <= set(dir(magnet_helpers))


def test_checks_studies_and_panels_are_asked_for_by_module():
    assert not [
        name for name in magnet_helpers.__all__ if name.startswith(("explore_", "check_")) and name != "check_up"
    ]
    assert not [module for module in magnet_helpers._CONTENTS if module.split(".")[0] in ("checks", "panels", "study")]


def test_type_checkers_are_told_the_same_names_from_the_same_modules():
    told = [node for node in ast.parse(STUB.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    assert all(alias.asname == alias.name for node in told for alias in node.names), "else mypy hides it"
    said = [(alias.name, node.module) for node in told for alias in node.names]
    assert said == [(name, f"magnet_helpers.{module}") for name, module in magnet_helpers._HOMES.items()]


def test_to_import_the_package_imports_nothing_else():
    heavy = ("torch", "numpy", "requests", "advertorch", *HEAVY)
    code = f"import sys, magnet_helpers; print([name for name in {heavy} if name in sys.modules])"
    assert in_a_fresh_process(code).strip() == "[]"


def test_whoever_draws_nothing_waits_for_no_library_of_plots_tables_or_statistics():
    names = [name for name, module in magnet_helpers._HOMES.items() if module != "plotting"]
    code = f"import sys\nfrom magnet_helpers import {', '.join(names)}\n"
    code += f"print([name for name in {HEAVY} if name in sys.modules])"
    assert in_a_fresh_process(code).strip() == "[]"


def test_every_name_can_be_imported_in_one_line():
    names = ", ".join(magnet_helpers.__all__)
    code = f"from magnet_helpers import {names}\nimport magnet_helpers\nprint(magnet_helpers.fit is fit)"
    assert in_a_fresh_process(code).strip() == "True"


@pytest.mark.parametrize("path", sorted([*HERE.glob("browser/*.py"), *HERE.glob("hosts/*.py")]), ids=lambda p: p.name)
def test_what_make_test_does_not_run_asks_for_names_that_are_there(path):
    asked = [
        (node.module, name.name)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("magnet_helpers")
        for name in node.names
    ]
    assert asked
    assert not [(module, name) for module, name in asked if not hasattr(importlib.import_module(module), name)]


# ---- every module: no public name that nothing uses


# Used by readers and tests: attacks that no lesson runs, what a lesson derives, plain calls behind panels, a command.
FOR_READERS = """
ExpectationOverTransformation HopSkipJump JSMA MIFGSM SPSA Transferred ZOO train_substitute
RandomReformer jensen_shannon explore_attack explore_detector explore_noise main
"""
# Named in docstrings, or what a reader looks up.
OF_ONE_MODULE = "SMOKE CLAIMS STACK_SIZES START_BIAS CODE_SHAPE CODE_SIZE RejectedAsClass reached zero_gradients"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


@cache
def parsed(path: Path) -> ast.Module:
    lines = path.read_text(encoding="utf-8").splitlines()
    return ast.parse("\n".join("" if re.match(r"\s*[%!]", line) else line for line in lines))


def asked_for(path: Path) -> set[str]:
    """Names that a file imports, or takes from a module that it has imported."""
    imported = {
        alias.name for node in ast.walk(parsed(path)) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    return imported | {node.attr for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)}


def public(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    for node in tree.body:
        names = [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
        if isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        yield from ((name, node) for name in names if not name.startswith("_"))


def is_exception(node: ast.stmt) -> bool:
    """Whether it is one of those: somebody else's `except` or filter of warnings names it."""
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)] if isinstance(node, ast.ClassDef) else []
    return any(base.endswith(("Error", "Warning")) or hasattr(builtins, base) for base in bases)


def in_signatures(tree: ast.Module) -> set[str]:
    """Names that stand in annotations: the types of what public functions take and return."""
    annotations = []
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            annotations.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            annotations.append(node.returns)
        elif isinstance(node, ast.ClassDef):
            annotations += node.bases
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):  # an alias of types
            annotations.append(node.value)
    return {word for part in annotations if part is not None for word in re.findall(r"\w+", ast.unparse(part))}


def unused(path: Path, asked: set[str]) -> list[str]:
    """Return a module's public names that are not asked for, are no exceptions, and no types of its signatures."""
    tree = parsed(path)
    types = {name for name in in_signatures(tree) if not name.isupper()}
    return [name for name, node in public(tree) if name not in asked | types and not is_exception(node)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_public_name_is_used_outside_its_module(path):
    users = [*MODULES, *(ROOT / "tools").rglob("*.py"), *(ROOT / "notebooks").rglob("*.py")]
    asked = set().union(*(asked_for(user) for user in users if user != path))
    names = unused(path, asked | {*FOR_READERS.split(), *OF_ONE_MODULE.split()})
    assert not names, f"private (a leading underscore), deleted, or used: {names}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(): ...", ["f"]),
        ("def _f(): ...", []),
        ("A = 1\nB: int = 2", ["A", "B"]),
        ("class C: ...", ["C"]),
        ("class C(ValueError): ...", []),
        ("class C(UserWarning): ...", []),
        ("class Kind: ...\ndef _f() -> list[Kind]: ...", []),
        ("def used(): ...", []),
    ],
)
def test_names_that_nothing_uses_are_found(tmp_path, source, expected):
    (tmp_path / "module.py").write_text(source)
    assert unused(tmp_path / "module.py", {"used"}) == expected
