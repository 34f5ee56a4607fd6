"""The hash of the code that made a number, on small packages: what changes it, and what does not."""

from pathlib import Path

import pytest
import torch
from small_package import SOURCES, write_package

from magnet_helpers.attacks import FGSM, PGD
from magnet_helpers.lab.code_version import code_version, reached
from magnet_helpers.models import ConvClassifier
from magnet_helpers.training import fit


def version(folder: Path, *edits: tuple[str, str, str], entry: str = "entry:train") -> str:
    return code_version(entry, root=write_package(folder, SOURCES, *edits))


# ---- what does not count


@pytest.mark.parametrize(
    "edit",
    [
        ("entry", '"""The module."""', '"""Another description."""'),
        ("entry", '    """Train."""\n', ""),
        ("entry", "  # why", "  # because"),
        ("entry", "total - limit, np.pi", "\n        total\n        - limit,\n        (np.pi),\n    "),
        ("entry", "LIMIT: int = 3", "LIMIT = 3"),
        ("entry", "(images, limit=LIMIT)", '(images: "list[float]", limit: int = LIMIT) -> float'),
        ("entry", "    total = math", "    total: float\n    total: float = math"),
        ("entry", "import math\n", "import math\nimport os.path\n"),
        ("entry", '["train"]', '["train", "unrelated"]'),
        ("entry", "return 0", "return 1"),
        ("entry", "def unrelated", "def new():\n    return LIMIT\n\n\ndef unrelated"),
        ("entry", "\nLIMIT", "\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from os import sep\n\nLIMIT"),
        ("shapes", "-> float", '-> "int | None"'),
        ("tools", "    return x\n", "    return -x\n"),
        ("deepest", "def another(x):\n    return x + 1", "def another(x):\n    return x + 2"),
    ],
    ids=lambda edit: edit[1],
)
def test_what_changes_no_number_changes_no_version(tmp_path, edit):
    assert version(tmp_path / "before") == version(tmp_path / "after", edit)


@pytest.mark.parametrize(
    "edits",
    [
        [("entry", "import numpy as np", "import numpy"), ("entry", "np.pi", "numpy.pi")],
        [("entry", "import numpy as np", "from numpy import pi as number"), ("entry", "np.pi", "number")],
        [("entry", "import math\n", "from math import sqrt\n"), ("entry", "math.sqrt(", "sqrt(")],
        [("entry", "import doubled\n", "import doubled as twice\n"), ("entry", "t(doubled(", "t(twice(")],
        [("entry", "from magnet_helpers.tools import doubled\n", ""), ("entry", "t(doubled(", "t(tools.doubled(")],
        [("entry", "import tools\n", "import tools as box\n"), ("entry", " tools.TEN", " box.TEN")],
        [("entry", "from magnet_helpers import tools\n", "from . import tools\n")],
        [
            ("entry", "from magnet_helpers import tools\n", "import magnet_helpers.tools\n"),
            ("entry", " tools.TEN", " magnet_helpers.tools.TEN"),
        ],
        [
            ("entry", "    from magnet_helpers.late import scaled\n", ""),
            ("entry", "import math\n", "import math\nfrom magnet_helpers.late import scaled\n"),
        ],
    ],
    ids=lambda edits: edits[0][2] or edits[0][1],
)
def test_the_way_in_which_a_name_is_imported_does_not_count(tmp_path, edits):
    assert version(tmp_path / "before") == version(tmp_path / "after", *edits)


def test_a_definition_may_move_to_another_file(tmp_path):
    moved = dict(SOURCES)
    before, after = SOURCES["tools"].split("def doubled(x):\n    return parted(x) * 4\n")
    moved["tools"] = f"from magnet_helpers.room.new import doubled\n{before}{after}"
    moved["room.__init__"] = "from magnet_helpers.room.new import doubled\n"
    moved["room.new"] = "from ..inner import halved as h\n\n\ndef doubled(y):\n    return h(y) * 4\n".replace("y", "x")
    moved["entry"] = moved["entry"].replace("from magnet_helpers.tools import d", "from magnet_helpers.room import d")
    before_root, after_root = write_package(tmp_path / "1", SOURCES), write_package(tmp_path / "2", moved)
    assert code_version("entry:train", root=before_root) == code_version("entry:train", root=after_root)
    old, new = (reached("entry:train", root=root) for root in (before_root, after_root))
    assert old.keys() - new.keys() == {"tools.doubled"}
    assert new.keys() - old.keys() == {"room.new.doubled"}
    assert old["tools.doubled"] == new["room.new.doubled"]


# ---- what counts


@pytest.mark.parametrize(
    "edit",
    [
        ("entry", "LIMIT: int = 3", "LIMIT: int = 4"),
        ("entry", "LIMIT: int = 3", "LIMIT: int = 3\nLIMIT += 1"),
        ("entry", "limit=LIMIT", "limit=2"),
        ("entry", "limit=LIMIT", "limit"),
        ("entry", "total - limit", "total + limit"),
        ("entry", "Square(2)", "Square(2.0)"),
        ("entry", "import numpy as np", "import cmath as np"),
        ("entry", "magnet_helpers.late", "magnet_helpers.later"),
        ("tools", "TEN = 10", "TEN = 10\nprint(TEN)"),
        ("tools", "TEN = 10", "TEN = 10\nprint.calls = {}"),
        ("tools", "TEN = 10", "TEN = 10\nfor number in range(3):\n    print(number)"),
        ("tools", "TEN = 10", "try:\n    TEN = 10\nexcept ValueError:\n    TEN = 9"),
        ("tools", "def doubled", "@logged\ndef doubled"),
        ("tools", "def logged", "@doubled.register(int)\ndef logged"),
        ("tools", "import halved as parted", "import deepest as parted"),
        ("inner", "import deepest\n", "import another as deepest\n"),
        ("deepest", "def deepest(x):\n    return x + 1", "def deepest(x):\n    return x - 1"),
        ("shapes", "class Square(Shape)", "class Square(Shape, dict)"),
        ("shapes", "class Square(Shape)", "@logged\nclass Square(Shape)"),
        ("shapes", "class Square(Shape)", "@dataclass(order=True)\nclass Square(Shape)"),
        ("shapes", "    @property\n", "    side: int\n\n    @property\n"),
        ("shapes", "self.side = side", "self.side = side + 0"),
    ],
    ids=lambda edit: f"{edit[0]}: {edit[2]}",
)
def test_what_may_change_a_number_changes_the_version(tmp_path, edit):
    if edit[2] == "import deepest as parted":
        edit = (edit[0], "magnet_helpers.inner import halved", "magnet_helpers.deepest import deepest")
    assert version(tmp_path / "before") != version(tmp_path / "after", edit)


def test_of_two_definitions_with_one_name_each_user_has_its_own(tmp_path):
    first = "from magnet_helpers.late import scaled\n\n\ndef first():\n    return scaled\n"
    sources = {**SOURCES, "first": first, "second": first.replace("late", "later").replace("first", "second")}
    swapped = {name: text.replace("late ", "x ").replace("later ", "late ") for name, text in sources.items()}
    swapped = {name: text.replace("x ", "later ") if name == "first" else text for name, text in swapped.items()}
    before, after = (write_package(tmp_path / f"{n}", texts) for n, texts in enumerate((sources, swapped)))
    assert set(reached("first", "second", root=before)) == set(reached("first", "second", root=after))
    assert code_version("first", "second", root=before) != code_version("first", "second", root=after)


DEEP = "_X = {}\n\n\ndef inner():\n    return _X\n\n\ndef f():\n    return inner()\n"
ROUND = "_X = {}\n\n\ndef inner(n):\n    return f(n) + _X\n\n\ndef f(n=9):\n    return inner(n - 1) if n else 0\n"


@pytest.mark.parametrize("text", ["_X = {}\n\n\ndef f():\n    return _X\n", DEEP, ROUND], ids=["flat", "deep", "round"])
def test_two_definitions_with_one_text_are_not_exchanged_if_what_they_name_differs(tmp_path, text):
    use = "from magnet_helpers import {0}, {1}\n\n\ndef use():\n    return 3 * {2}.f() + {3}.f()\n"
    # The second exchanges them, the third is the first in other files.
    uses = [("a", "b", "a", "b"), ("a", "b", "b", "a"), ("d", "c", "d", "c")]
    roots = [
        write_package(
            tmp_path / "".join(names),
            {names[0]: text.format(1), names[1]: text.format(2), "use": use.format(*names)},
        )
        for names in uses
    ]
    before, exchanged, moved = (code_version("use", root=root) for root in roots)
    assert before == moved != exchanged


@pytest.mark.parametrize("entry", ["entry:train", "room:doubled"])
def test_a_module_that_only_hands_a_definition_on_counts_with_its_statements(tmp_path, entry):
    room = "from magnet_helpers.tools import doubled\n"
    sources = {**SOURCES, "room": room, "entry": SOURCES["entry"].replace("helpers.tools", "helpers.room")}
    before = write_package(tmp_path / "1", sources)
    after = write_package(tmp_path / "2", sources, ("room", room, f"{room}print(0)\n"))
    assert code_version(entry, root=before) != code_version(entry, root=after)


def test_what_is_imported_or_else_defined_counts_with_both(tmp_path):
    source = "from magnet_helpers.late import scaled\n\nscaled = scaled\n\n\ndef use():\n    return scaled\n"
    root = write_package(tmp_path, {**SOURCES, "either": source})
    assert {"either.scaled", "late.scaled"} <= set(reached("either:use", root=root))


def test_what_a_version_is_asked_for_is_no_part_of_it(tmp_path):
    source = """
from magnet_helpers.tool import code_version

CODE = code_version("entry:train")


def settings():
    return CODE, code_version(other)


def other():
    return 1
"""
    sources = {"tool": "def code_version(*entries):\n    return entries\n", "asks": source}
    root = write_package(tmp_path / "1", sources)
    edited = write_package(tmp_path / "2", sources, ("asks", "code_version(other)", "code_version(settings)"))
    assert set(reached("asks:settings", root=root)) == {"asks.settings", "asks.CODE"}
    assert code_version("asks:settings", root=root) == code_version("asks:settings", root=edited)


def test_what_every_module_has_is_no_definition(tmp_path):
    source = (
        "import magnet_helpers\nfrom magnet_helpers import tools\n\nPLACE = magnet_helpers.__file__, tools.__name__\n"
    )
    root = write_package(tmp_path, {"place": source, **SOURCES})
    assert set(reached("place:PLACE", root=root)) == {"place.PLACE"}


# ---- entries


def test_a_module_is_all_of_its_definitions(tmp_path):
    root = write_package(tmp_path, SOURCES)
    assert {"entry.train", "entry.unrelated", "entry.LIMIT", "late.scaled"} <= set(reached("entry", root=root))
    assert code_version("entry", root=root) != code_version("entry:train", root=root)
    public = ("entry", '["train"]', '["train", "unrelated"]')
    assert version(tmp_path / "0", public, entry="entry") == version(tmp_path / "3", entry="entry")
    assert version(tmp_path / "1", entry="entry") != version(tmp_path / "2", ("entry", "n 0", "n 1"), entry="entry")


def test_functions_classes_and_texts_are_the_same_entries():
    assert code_version(ConvClassifier, fit) == code_version("models:ConvClassifier", "training:fit")
    assert code_version("attacks:PGD") == code_version(PGD) == code_version(PGD.perturb)
    assert "models.ConvClassifier" in reached(ConvClassifier)


def test_a_class_of_another_package_counts_by_its_name():
    assert code_version(FGSM, torch.nn.Linear) != code_version(FGSM) != code_version(FGSM, torch.nn.Conv2d)
    assert reached(torch.nn.Linear).keys() == {"torch.nn.modules.linear.Linear"}


@pytest.mark.parametrize(
    ("entry", "error", "text"),
    [
        ("modles", ValueError, r"no module or definition magnet_helpers\.modles"),
        ("models:ConvClassifer", ValueError, r"no module or definition magnet_helpers\.models\.ConvClassifer"),
        (3, TypeError, "must be a function, a class or a text like 'models:ConvClassifier', got 3"),
    ],
)
def test_an_entry_that_is_not_there_is_refused(entry, error, text):
    with pytest.raises(error, match=text):
        code_version(entry)


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (("inner", "import deepest\n", "import deeper as deepest\n"), r"no module or definition .*\.deepest\.deeper"),
        (("inner", "import deepest\n", "import *\n"), r"import each name from magnet_helpers\.deepest"),
    ],
)
def test_an_import_that_cannot_be_followed_is_an_error(tmp_path, edit, text):
    with pytest.raises(ValueError, match=text):
        version(tmp_path, edit)


# ---- what is apart


def test_what_is_apart_counts_by_its_name_alone(tmp_path):
    edit = ("late", "def scaled", "UNUSED = 1\n\n\ndef scaled")
    roots = [write_package(tmp_path / "1", SOURCES), write_package(tmp_path / "2", SOURCES, edit)]
    assert len({code_version("entry:train", apart=["late:scaled"], root=root) for root in roots}) == 1
    whole, parted = (reached("entry:train", apart=apart, root=roots[0]) for apart in ([], ["late:scaled"]))
    assert "late.scaled" in whole
    assert "late.scaled" not in parted
    assert "magnet_helpers.late.scaled" in parted
