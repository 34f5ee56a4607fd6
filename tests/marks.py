"""What an answer to an assignment's task would get, found by running the cells in this process: milliseconds for each.

The real autograder runs the same cells in kernels of their own; `tests/tools/coursework/test_autograding.py` compares
the two.
"""

import ast
import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import jupytext
from nbformat import NotebookNode

from magnet_helpers.checks import Feedback
from tools.coursework.assignments import Assignment, part_of, runs_when_graded, task_of
from tools.coursework.students import student_copy

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "notebooks" / "assignments" / "source"
ANSWERS = ROOT / "tests" / "tools" / "coursework" / "answers"


@dataclass(frozen=True)
class Answer:
    """What a student might hand in for one task."""

    assignment: str
    task: str
    title: str
    right: bool
    code: str

    def __str__(self) -> str:
        return f"{self.assignment[:2]}-{self.task}-{'right' if self.right else 'wrong'}: {self.title}"


def answers_of(name: str) -> list[Answer]:
    """Return the table of one assignment's right and wrong answers."""
    notebook = jupytext.read(ANSWERS / f"{name}.py", fmt="py:percent")
    return [
        Answer(name, cell.metadata["task"], cell.metadata["title"], cell.metadata["right"], cell.source)
        for cell in notebook.cells
        if cell.cell_type == "code" and "task" in cell.metadata
    ]


def run_cell(source: str, namespace: dict[str, object]) -> object:
    """Run a cell and return the value of its last line, if that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(tree, "cell", "exec"), namespace)
        return eval(compile(ast.Expression(last.value), "cell", "eval"), namespace) if last is not None else None


def graded_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells that run when the work is graded, without the first, which sets up `lab`."""
    return [cell for cell, runs in runs_when_graded(notebook) if runs and part_of(cell) != "start"]


def _is_of_another_task(cell: NotebookNode, task: str, answers: dict[str, str]) -> bool:
    """Whether a cell tests or checks a task that is not among these; `task` is the latest one."""
    if part_of(cell) == "tests":
        return task_of(cell) not in answers
    return not part_of(cell) and "check_" in cell.source and task not in answers


@dataclass(frozen=True)
class GradedRun:
    """What one run of an assignment gave: for each task whether the tests passed, and what the check said."""

    passed: dict[str, bool]
    reasons: dict[str, str]
    feedback: dict[str, Feedback]


def grade(assignment: Assignment, answers: dict[str, str] | None = None, *, untouched: bool = False) -> GradedRun:
    """Run an assignment in this process, with none of its answers, or with others to some tasks: then only these count.

    Of the tasks that are not answered otherwise, only what they define is run.
    """
    namespace: dict[str, object] = {"__name__": "__main__"}
    passed, reasons, feedback = {}, {}, {}
    stubs = {cell.id: cell.source for cell in student_copy(assignment).cells} if untouched else {}
    task = ""
    for cell in graded_cells(assignment.notebook):
        source, part = cell.source, part_of(cell)
        if part == "solution":
            task = task_of(cell)
        elif answers and _is_of_another_task(cell, task, answers):
            continue
        if part == "solution":
            source = stubs[cell.id] if untouched else (answers or {}).get(task, source)
        try:
            value = run_cell(source, namespace)
        except Exception as error:
            if part == "tests":
                passed[task_of(cell)], reasons[task_of(cell)] = False, f"{type(error).__name__}: {error}"
                continue
            if part == "solution":  # a cell that fails defines nothing, as in a notebook
                continue
            raise
        if part == "tests":
            passed[task_of(cell)] = True
        elif isinstance(value, Feedback):
            feedback[task] = value
    return GradedRun(passed, reasons, feedback)
