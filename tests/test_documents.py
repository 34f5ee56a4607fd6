"""What README, docs, lessons and assignments say is there, is there."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

from magnet_helpers.evaluation import DefenseReport
from magnet_helpers.lab.budget import Budget
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.lessons import LESSONS
from magnet_helpers.study.results import Results
from magnet_helpers.study.results_file import Row

ROOT = Path(__file__).parents[1]
LESSON_SOURCES = sorted((ROOT / "notebooks" / "source").glob("*.py"))
ASSIGNMENT_SOURCES = sorted((ROOT / "notebooks" / "assignments" / "source").glob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "data" / "README.md"]
PAGES.append(ROOT / "tools" / "benchmarks" / "README.md")
EVERYTHING = [*PAGES, *LESSON_SOURCES, *ASSIGNMENT_SOURCES]
PROGRAM = "github.com/wenlongx/CS260"
# What one lesson may say that another one explains.
TERMS = [
    "FGSM",
    "I-FGSM",
    "PGD",
    "DDN",
    "C&W",
    "EAD",
    "BPDA",
    "Square",
    "ROC",
    "Wilson",
    "McNemar",
    "Jacobian",
    "bfloat16",
]


def prose(path: Path) -> str:
    """Return what a reader reads, in one line: a page, or the Markdown cells of a source."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        cells = re.split(r"^# %%", text, flags=re.MULTILINE)
        read = (cell.split("\n", 1)[1] for cell in cells if cell.startswith(" [markdown]"))
        text = "\n".join(re.sub(r"^# ?", "", cell, flags=re.MULTILINE) for cell in read)
    return " ".join(text.split())


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def found(pattern: str, paths: list[Path]) -> list:
    """Return a parameter for everything in the prose that the pattern finds: its document, then its groups."""
    hits = {(where(path), *match.groups()): None for path in paths for match in re.finditer(pattern, prose(path))}
    assert hits
    return list(hits)


def attributes_of(kind: type) -> set[str]:
    """Return the public attributes of a class and of its instances."""
    tree = ast.parse(inspect.getsource(kind))
    assigned = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }
    return {*dir(kind), *getattr(kind, "__dataclass_fields__", ()), *assigned}


@pytest.mark.parametrize(
    ("document", "path"),
    found(r"`((?:data|docs|magnet_helpers|notebooks|tests|tools)/[\w./-]*)`", EVERYTHING),
)
def test_every_path_that_is_named_is_there(document, path):
    assert (ROOT / path).exists() or path == "data/mnist/", "data/mnist/ alone is filled on first use"


@pytest.mark.parametrize(("document", "name"), found(r"`(magnet_helpers(?:\.\w+)+)`", EVERYTHING))
def test_every_dotted_name_leads_to_something(document, name):
    module, rest = name, []
    while True:
        try:
            value = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            rest.insert(0, last)
    for part in rest:
        value = getattr(value, part)


@pytest.mark.parametrize(
    ("document", "names", "module"),
    found(
        r"((?:`\w+`(?:, | and ))*`\w+`)(?: come)?,? from `(magnet_helpers[\w.]*)`",
        [*LESSON_SOURCES, *ASSIGNMENT_SOURCES],
    )
    + found(r"`(\w+)\([^`]*`,?(?: come)? from `(magnet_helpers[\w.]*)`", ASSIGNMENT_SOURCES),
)
def test_what_is_said_to_come_from_a_module_does(document, names, module):
    for name in set(re.findall(r"\w+", names)) - {"and"}:
        assert hasattr(importlib.import_module(module), name), f"{name} is not in {module}"


@pytest.mark.parametrize(
    ("document", "owner", "attribute"),
    found(r"\b(lab|lab\.budget|results|report)\.([a-z_]+)\b(?!/)", [*LESSON_SOURCES, *ASSIGNMENT_SOURCES]),
)
def test_every_attribute_that_is_named_exists(document, owner, attribute):
    kinds = {"lab": Lab, "lab.budget": Budget, "results": Results, "report": DefenseReport}
    assert attribute in attributes_of(kinds[owner])


@pytest.mark.parametrize(("document", "name"), found(r"\b(MAGNET_[A-Z]+)\b", EVERYTHING))
def test_every_environment_variable_that_is_named_is_read(document, name):
    code = [*(ROOT / "magnet_helpers").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]
    assert any(f'"{name}"' in path.read_text(encoding="utf-8") for path in code)


@pytest.mark.parametrize(
    ("document", "sentence", "number"),
    [
        (document, sentence, number)
        for document, sentence in found(r"([^.!?|]*\b[Ll]essons? \d\d[^.!?|]*)", EVERYTHING)
        for number in re.findall(r"[Ll]essons? (\d\d)", sentence)
        if any(re.search(rf"(?<![\w-]){term}\b", sentence) for term in TERMS)
    ],
)
def test_a_lesson_that_another_text_points_to_speaks_of_the_thing(document, sentence, number):
    (source,) = (path for path in LESSON_SOURCES if path.name.startswith(number))
    text = source.read_text(encoding="utf-8")
    for term in TERMS:
        if re.search(rf"(?<![\w-]){term}\b", sentence):
            assert re.search(rf"(?<![\w-]){term}\b", text), f"lesson {number} does not speak of {term}"


@pytest.mark.parametrize("path", [*PAGES, *LESSON_SOURCES], ids=where)
def test_where_the_author_s_program_is_spoken_of_it_is_linked(path):
    text = prose(path)
    speaks = re.search(r"(?i)\b(the paper's|its|the author's|its author's) \[?program\b", text)
    assert PROGRAM in text or not speaks


@pytest.mark.parametrize(("document", "option"), found(r"`(--[a-z]+)", [*PAGES[1:]]))
def test_every_option_exists(document, option):
    folder = ROOT / ("tools/benchmarks" if "benchmarks" in document else "magnet_helpers")
    assert f'"{option}"' in (folder / "__main__.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", ["README.md", "docs/reproduce.md", "docs/attacks.md"])
def test_every_command_of_the_package_exists(document):
    commands = set(re.findall(r"python -m magnet_helpers (\w+)", (ROOT / document).read_text(encoding="utf-8")))
    assert commands
    assert commands <= set(re.findall(r'add_parser\("(\w+)"', (ROOT / "magnet_helpers" / "__main__.py").read_text()))


def test_the_lecturers_table_has_the_lessons_minutes_and_the_assignments_points():
    from tools.coursework.assignments import read_assignments

    assignments = {each.name[:2]: each for each in read_assignments(ASSIGNMENT_SOURCES[0].parent)}
    table = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8").split("## What each lesson needs and takes")[1]
    rows = re.findall(r"^\| (\d\d) \|(.*)\|$", table, flags=re.MULTILINE)
    assert [number for number, _ in rows] == [lesson.name[:2] for lesson in LESSONS]
    for (number, row), lesson in zip(rows, LESSONS, strict=True):
        _, minutes, *its_assignment = (cell.strip() for cell in row.split("|"))
        assert float(minutes) == lesson.minutes["fast"]
        if number in assignments:
            tasks = assignments[number].tasks
            points, by_hand = sum(task.points for task in tasks), sum(task.points for task in tasks if task.rubric)
            assert its_assignment == [str(points), str(by_hand), str(sum(task.minutes for task in tasks))]


@pytest.mark.parametrize("path", ASSIGNMENT_SOURCES, ids=where)
def test_a_model_answer_with_numbers_says_where_they_are_from(path):
    """Else a lecturer takes them for what every student must find; on another processor they differ."""
    answers = re.findall(r'part="answer"\n((?:#.*\n)+)', path.read_text(encoding="utf-8"))
    assert answers
    for answer in answers:
        origin = re.match(r"# \((Measured once: |Numbers of MNIST|Computed from |A sketch of a good report)", answer)
        assert origin or not re.search(r"\d %|\d points", answer), answer[:80]


def test_the_results_file_s_columns_are_explained_each_once():
    page = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    table = page.split("| column | meaning |")[1].split("What a row does not have")[0]
    first_cells = re.findall(r"^\| ([^|]+) \|", table, flags=re.MULTILINE)
    explained = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(explained) == sorted([*Row.__dataclass_fields__, "check"])
