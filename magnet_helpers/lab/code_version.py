"""Which code made a number: a short hash of what modules do."""

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path

import magnet_helpers


def code_version(*modules: str) -> str:
    """Return a short hash of what modules of this package do: comments, docstrings and layout do not count."""
    digest = hashlib.sha256()
    for name in modules:
        spec = importlib.util.find_spec(f"magnet_helpers.{name}")
        if spec is None or spec.origin is None:
            raise ValueError(f"there is no module magnet_helpers.{name}")
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                node.body = node.body[1:] or [ast.Pass()]
        digest.update(ast.unparse(tree).encode())
    return digest.hexdigest()[:16]


@cache
def package_version() -> str:
    """Return the hash of every module of this package."""
    root = Path(magnet_helpers.__file__).parent
    names = {".".join(path.relative_to(root).with_suffix("").parts) for path in root.rglob("*.py")}
    return code_version(*sorted(name for name in names if "__" not in name))
