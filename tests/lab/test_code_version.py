"""The hash of the code that made a number: what changes it, what does not, and that nothing executed is left out."""

import ast
import dataclasses
import shutil
import sys
from pathlib import Path
from types import CodeType

import pytest
import torch

import magnet_helpers
from magnet_helpers.attacks import DDN, FGSM, PGD, DetectorAwarePGD
from magnet_helpers.data import LabeledImages, load_images
from magnet_helpers.defenses import contractive, stacked
from magnet_helpers.detectors import ReconstructionDetector
from magnet_helpers.inference import predict
from magnet_helpers.lab import canonical
from magnet_helpers.lab import code_version as code_version_module
from magnet_helpers.lab.budget import SMOKE
from magnet_helpers.lab.code_version import code_version, reached
from magnet_helpers.lab.trainings import TrainingSpecs
from magnet_helpers.lab.work import train_network
from magnet_helpers.magnet import MagNet
from magnet_helpers.models import ConvClassifier, MagNetAutoencoder2
from magnet_helpers.study import trials

PACKAGE = Path(magnet_helpers.__file__).parent
TRICKY = Path(__file__).parent / "code_version" / "tricky_syntax.txt"
# Of `TRICKY`. Each Python that runs the tests has to find it.
TRICKY_VERSION = "8a27e5c077717c81"

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
    assert code_version(ConvClassifier, train_network) == code_version(
        "models:ConvClassifier", "lab.work:train_network"
    )
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


# ---- any Python


def test_each_python_finds_the_same_version(tmp_path):
    root = write_package(tmp_path, {"tricky": TRICKY.read_text(encoding="utf-8")})
    assert code_version("tricky", root=root) == TRICKY_VERSION, f"Python {sys.version.split()[0]} sees another one"


def test_any_python_can_compute_a_version_without_other_packages():
    for module in (canonical, code_version_module):
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        names = [getattr(node, "module", None) or node.names[0].name for node in imports]
        assert {name for name in names if name.split(".")[0] not in sys.stdlib_module_names} <= {canonical.__name__}


# ---- this package

TINY = dataclasses.replace(SMOKE, classifier_images=64, autoencoder_images=64, validation_images=8, classifier_epochs=1)

TRAINING = ("lab.work:train_network", "data.loading:load_images")
TRIAL = ("study.trials:_attack", "magnet:MagNet")
EVALUATION = ("lab.work:evaluate_cell", "lab.work:attack_classifier")


def copied(folder: Path, *edits: tuple[str, str, str]) -> Path:
    """Copy this package to `folder/magnet_helpers`, with some texts replaced: (file, old, new)."""
    shutil.copytree(PACKAGE, folder / "magnet_helpers", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for name, old, new in edits:
        path = folder / "magnet_helpers" / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}"
        path.write_text(text.replace(old, new), encoding="utf-8")
    return folder


def test_layout_comments_and_quotes_of_the_whole_package_do_not_count(tmp_path):
    root = copied(tmp_path)
    for path in (root / "magnet_helpers").rglob("*.py"):
        path.write_text(ast.unparse(ast.parse(path.read_text(encoding="utf-8"))), encoding="utf-8")
    for entries in (TRAINING, TRIAL, EVALUATION):
        assert code_version(*entries, root=root) == code_version(*entries)


def test_a_training_on_the_test_images_is_another_training(tmp_path):
    edit = ("lab/work.py", "_at_most(spec.images, data.train)", "_at_most(spec.images, data.test)")
    root = copied(tmp_path, edit)
    assert code_version(*TRAINING, root=root) != code_version(*TRAINING)
    assert code_version(*EVALUATION, root=root) == code_version(*EVALUATION)


@pytest.mark.parametrize(
    "edit",
    [
        ("seeds.py", "hashlib.sha256(", "hashlib.sha512("),
        ("fast/kernels.py", "if number == types.uint16:", "if number == types.int16:"),
        ("training.py", "adam_epsilon: float = 1e-7", "adam_epsilon: float = 1e-8"),
        ("lab/trainings.py", '"stage inputs"', '"inputs of a stage"'),
        ("inference.py", "BATCH_SIZE = ", "BATCH_SIZE = 1 + "),
    ],
    ids=lambda edit: edit[0],
)
def test_what_a_training_passes_through_counts(tmp_path, edit):
    assert code_version(*TRAINING, root=copied(tmp_path, edit)) != code_version(*TRAINING)


def test_a_change_of_one_attack_leaves_the_others(tmp_path):
    root = copied(tmp_path, ("attacks/adaptive.py", "GROWTH = 1.1", "GROWTH = 1.2"))
    for attack in ("FGSM", "PGD", "DDN", "Square", "DetectorAwareCarliniWagner"):
        assert code_version(*TRIAL, f"attacks:{attack}", root=root) == code_version(*TRIAL, f"attacks:{attack}")
    aware = (*TRIAL, "attacks:DetectorAwarePGD")
    assert code_version(*aware, root=root) != code_version(*aware)
    before, after = reached(*aware), reached(*aware, root=root)
    # Its own definition names the constant, so both say that they are others.
    assert {name for name in before if before[name] != after[name]} == {
        "attacks.adaptive.GROWTH",
        "attacks.adaptive._reweighted",
    }


def executed(function, *arguments) -> set[str]:
    """Return the definitions of this package, as `reached` names them, whose code runs in a call."""
    codes: set[CodeType] = set()

    def note(frame, event, _argument):
        if event == "call":
            codes.add(frame.f_code)

    function(*arguments)  # compiles the fast loops, which takes minutes while it is watched
    sys.setprofile(note)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    names = set()
    for code in codes:
        path, name = Path(code.co_filename), code.co_qualname.split(".")[0]
        if path.is_relative_to(PACKAGE) and not name.startswith("<"):
            module = [part for part in path.relative_to(PACKAGE).with_suffix("").parts if part != "__init__"]
            names.add(".".join([*module, name]))
    return names


@pytest.fixture(scope="module")
def digits():
    return load_images("digits")


@pytest.mark.filterwarnings("ignore::magnet_helpers.training.CollapseWarning")
@pytest.mark.parametrize("kind", ["classifier", "stack", "contractive"])
def test_all_code_that_a_training_executes_counts(digits, kind):
    specs = TrainingSpecs(TINY, 0)
    defense = {"stack": stacked(2, 0.4), "contractive": contractive(1e-3)}.get(kind)
    spec = specs.classifier() if defense is None else specs.reformer(defense)
    parents = [parent.untrained() for parent in spec.parents]
    made = executed(train_network, spec, parents, digits, torch.device("cpu"))
    assert made > {"training.fit", "lab.work.train_network"}
    assert made <= set(reached(*TRAINING, spec.build, type(spec.loss)))


@pytest.mark.parametrize(
    "attack", [FGSM(0.3), PGD(0.3, steps=2), DDN(2), DetectorAwarePGD(0.3, "given", steps=2)], ids=str
)
def test_all_code_that_an_attack_executes_counts(digits, attack):
    detector = ReconstructionDetector(MagNetAutoencoder2(), p=1)
    torch.manual_seed(0)
    magnet = MagNet.calibrated(
        ConvClassifier().eval(), MagNetAutoencoder2(), [detector], digits.validation.images, 0.01
    )
    images = digits.test.images[:8]
    test = LabeledImages(images, predict(magnet, images))  # right answers, else there is nothing to attack
    target = magnet if isinstance(attack, DetectorAwarePGD) else magnet.reformed
    made = executed(trials._attack, trials.Threat("", attack, "reformer"), target, test)
    made |= executed(magnet.judge, images, test.labels)
    entries = {type(attack), *(type(part) for part in magnet.modules())}
    assert f"{type(attack).__module__}.{type(attack).__name__}".removeprefix("magnet_helpers.") in made
    assert made <= set(reached(*TRIAL, *entries))
