"""From an assignment's source (jupytext py:percent) to a notebook with nbgrader's metadata, solutions and all.

A source says what a cell is by two words in its header: `task="wilson"` and `part="solution"`. The rest follows: which
cells are graded, for how many points, which are locked. Points, minutes and difficulty stand once, in the cell that
sets the task.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from magnet_helpers.lab.lessons import get_lesson
from tools.site.address import badges, install_lines, repository
from tools.site.notebooks import notebook_metadata

DIFFICULTIES = ("easy", "medium", "hard", "open")
METADATA = "magnet_lab"  # the key of what we say about cells and notebooks
CELL_PARTS = ("solution", "tests", "answer", "rubric", "B")


class AssignmentError(ValueError):
    """A source that cannot become an assignment."""


@dataclass(frozen=True)
class Task:
    """One graded task.

    Attributes:
        name: of its cells; unique in its assignment.
        title: its heading.
        points: what it is worth.
        minutes: what a student may need.
        difficulty: one of `DIFFICULTIES`.
        by_hand: whether a person gives the marks.
        rubric: what those are given for; empty for others.
    """

    name: str
    title: str
    points: int
    minutes: int
    difficulty: str
    by_hand: bool
    rubric: str = ""

    @property
    def graded_cell(self) -> str:
        """The name of the cell that its marks hang on."""
        return self.name if self.by_hand else f"{self.name}-tests"


@dataclass(frozen=True)
class Assignment:
    """A notebook with solutions, tests and nbgrader's metadata, and its tasks.

    Attributes:
        name: that of its lesson.
        title: its first heading.
        notebook: what nbgrader calls the source version.
        tasks: in their order.
    """

    name: str
    title: str
    notebook: NotebookNode
    tasks: tuple[Task, ...]

    @property
    def points(self) -> int:
        """What it is worth in all."""
        return sum(task.points for task in self.tasks)

    def task(self, name: str) -> Task:
        """Return the task of that name.

        Raises:
            KeyError: if there is none.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(f"{self.name} has no task {name!r}; it has {', '.join(task.name for task in self.tasks)}")


def part_of(cell: NotebookNode) -> str:
    """Return what a cell is: one of `CELL_PARTS`, `"task"` for the cell that sets a task, or nothing."""
    return str(cell.metadata.get(METADATA, {}).get("part", ""))


def task_of(cell: NotebookNode) -> str:
    """Return the name of the task that a cell belongs to, or nothing."""
    return str(cell.metadata.get(METADATA, {}).get("task", ""))


def runs_when_graded(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, bool]]:
    """Yield each cell and whether it runs when the work is graded: those before part B do."""
    graded = True
    for cell in notebook.cells:
        graded = graded and part_of(cell) != "B"
        yield cell, graded and cell.cell_type == "code"


def _grader_metadata(cell: NotebookNode, name: str, task: Task | None) -> dict[str, object]:
    part = part_of(cell)
    graded = part in ("tests", "answer")
    metadata: dict[str, object] = {
        "schema_version": 3,
        "cell_type": cell.cell_type,
        "grade": graded,
        "grade_id": name,
        "locked": part != "answer" and part != "solution",
        "solution": part in ("solution", "answer"),
        "task": False,
    }
    if graded:
        assert task is not None
        metadata["points"] = task.points
    return metadata


def _cell_name(cell: NotebookNode) -> str | None:
    """Return nbgrader's name of a cell that it should know: what is graded, what is solved, and the first cell."""
    part, task = part_of(cell), task_of(cell)
    if part == "start":
        return "start"
    return {"solution": task, "answer": task, "tests": f"{task}-tests"}.get(part)


def _read_cells(path: Path) -> NotebookNode:
    """Read a source; what its headers say goes under `METADATA`, nothing else stays."""
    notebook: NotebookNode = jupytext.read(path, fmt="py:percent")
    for cell in notebook.cells:
        header = {
            key: value
            for key, value in cell.metadata.items()
            if key in ("task", "part", "points", "minutes", "difficulty")
        }
        unknown = set(cell.metadata) - set(header) - {"tags", "lines_to_next_cell"}
        if unknown:
            raise AssignmentError(f"{path.name}: a cell says {', '.join(sorted(unknown))}, which is not known")
        if header.get("part", "solution") not in CELL_PARTS:
            raise AssignmentError(f"{path.name}: part must be one of {', '.join(CELL_PARTS)}, got {header['part']!r}")
        if "points" in header:
            header["part"] = "task"
        cell.metadata = nbformat.from_dict({METADATA: header} if header else {})
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.metadata[METADATA] = nbformat.from_dict({"part": "start"})
    return notebook


def _tasks(path: Path, notebook: NotebookNode) -> tuple[Task, ...]:
    """Collect the tasks of a source, and see that each is whole."""
    tasks = []
    for cell in notebook.cells:
        if part_of(cell) != "task":
            continue
        header = cell.metadata[METADATA]
        name = header["task"]
        parts = [part_of(other) for other in notebook.cells if task_of(other) == name]
        by_hand = "answer" in parts
        wanted = {"task", "answer", "rubric"} if by_hand else {"task", "solution", "tests"}
        if {part for part in parts if part} != wanted or len([part for part in parts if part]) != len(wanted):
            raise AssignmentError(
                f"{path.name}: task {name!r} needs {', '.join(sorted(wanted))}, once each; it has {parts}"
            )
        rubric = next((c.source for c in notebook.cells if (task_of(c), part_of(c)) == (name, "rubric")), "")
        heading = cell.source.splitlines()[0].removeprefix("## ")
        if not cell.source.startswith("## ") or header.get("difficulty") not in DIFFICULTIES:
            raise AssignmentError(
                f"{path.name}: task {name!r} needs a heading and a difficulty of {', '.join(DIFFICULTIES)}"
            )
        tasks.append(
            Task(
                name,
                heading,
                int(header["points"]),
                int(header["minutes"]),
                str(header["difficulty"]),
                by_hand,
                rubric,
            )
        )
    strangers = {task_of(cell) for cell in notebook.cells} - {""} - {task.name for task in tasks}
    if strangers or len({task.name for task in tasks}) != len(tasks):
        raise AssignmentError(f"{path.name}: cells name tasks that are not set, or set twice: {sorted(strangers)}")
    return tuple(tasks)


def _in_words(task: Task) -> str:
    marks = f"{task.points} point{'s' * (task.points != 1)}"
    return f"*{marks} · about {task.minutes} minutes · {task.difficulty}{' · read by a person' * task.by_hand}*"


def _overview(tasks: tuple[Task, ...]) -> str:
    rows = [
        f"| {task.title} | {task.points} | {task.minutes} | {task.difficulty} | {('tests', 'a person')[task.by_hand]} |"
        for task in tasks
    ]
    total = (
        f"| **together** | **{sum(task.points for task in tasks)}** | **{sum(task.minutes for task in tasks)}** | | |"
    )
    return "\n".join(["| task | points | minutes | difficulty | graded by |", "|---|---|---|---|---|", *rows, total])


def read_assignment(path: Path) -> Assignment:
    """Return the assignment of a source file; the same source gives the same notebook, byte for byte.

    Raises:
        FileNotFoundError: if there is no such source.
        AssignmentError: if a task lacks a part, a cell belongs to no task, or a header says what is not known.
    """
    notebook = _read_cells(path)
    tasks = _tasks(path, notebook)
    by_name = {task.name: task for task in tasks}
    address = repository()
    notebook.cells = [cell for cell in notebook.cells if part_of(cell) != "rubric"]
    title = notebook.cells[0].source.splitlines()[0].removeprefix("# ")
    for index, cell in enumerate(notebook.cells):
        cell.id = f"a{path.stem[:2]}-{index:03d}"
        task = by_name.get(task_of(cell))
        cell.source = cell.source.replace("{{overview}}", _overview(tasks))
        cell.source = cell.source.replace("{{badges}}", badges(address, f"assignments/{path.stem}"))
        cell.source = cell.source.replace("# {{start}}", start_cell(address, path.stem))
        if part_of(cell) == "task" and task is not None:
            heading, _, rest = cell.source.partition("\n")
            cell.source = f"{heading}\n\n{_in_words(task)}\n{rest}"
        name = _cell_name(cell)
        if name is not None:
            cell.metadata["nbgrader"] = nbformat.from_dict(_grader_metadata(cell, name, task))
    metadata = {**notebook_metadata(get_lesson(path.stem)), METADATA: {"assignment": path.stem}}
    notebook.metadata = nbformat.from_dict(metadata)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return Assignment(path.stem, title, notebook, tasks)


def start_cell(address: str, name: str) -> str:
    """Return the first cell's code: that of the lesson of the same name."""
    return f'{install_lines(address)}\nfrom magnet_helpers import start_lesson\n\nlab = start_lesson("{name}")'


def read_assignments(folder: Path) -> list[Assignment]:
    """Return every assignment of a folder of sources, in their order.

    Raises:
        FileNotFoundError: if there is no source in it.
        AssignmentError: see `read_assignment`.
    """
    paths = sorted(folder.glob("*.py"))
    if not paths:
        raise FileNotFoundError(f"there are no assignment sources in {folder}")
    return [read_assignment(path) for path in paths]
