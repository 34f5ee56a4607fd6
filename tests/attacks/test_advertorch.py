import ast
import subprocess
import sys
from pathlib import Path

import magnet_helpers


def test_advertorch_is_imported_in_one_place():
    importers = set()
    for path in Path(magnet_helpers.__file__).parent.glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "advertorch" for name in names):
                importers.add(path.name)
    assert importers == {"_advertorch.py"}


def test_no_false_torchvision_stays():
    code = (
        "import importlib.util, sys\n"
        "before = importlib.util.find_spec('torchvision')\n"
        "import magnet_helpers.attacks._advertorch\n"
        "false = [n for n, m in sys.modules.items() if n.split('.')[0] == 'torchvision' and m.__spec__ is None]\n"
        "assert not false, false\n"
        "after = importlib.util.find_spec('torchvision')\n"
        "assert (before is None) == (after is None)\n"
        "assert ('torchvision' in sys.modules) <= (before is not None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
