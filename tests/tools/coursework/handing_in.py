"""Submissions as students hand them in, and batches of them graded by the real autograder."""

from functools import cache
from pathlib import Path

import nbformat
import pytest
from marks import SOURCES

from tools.coursework.assignments import Assignment, read_assignment
from tools.coursework.confinement import ConfinementError, Limits, find_confinement
from tools.coursework.grades_table import Graded
from tools.coursework.grading import Batch
from tools.coursework.restoring import restore
from tools.coursework.students import student_copy

NAME = "01_classifier"
SHORT = Limits(cell_seconds=6, total_seconds=100, memory_mb=1200, output_kb=50, processes=12)


def trouble() -> str:
    """Return why students' code cannot be confined on this machine; empty if it can."""
    try:
        find_confinement()
    except ConfinementError as error:
        return str(error)
    return ""


needs_bubblewrap = pytest.mark.skipif(bool(trouble()), reason=trouble())


@cache
def assignment(name: str = NAME) -> Assignment:
    return read_assignment(SOURCES / f"{name}.py")


def hand_in(folder: Path, student: str, answers: dict[str, str] | None, name: str = NAME) -> None:
    """Write a submission: the reference with other answers to some tasks, or an untouched copy."""
    notebook = student_copy(assignment(name))
    solutions = {c.id: c.source for c in assignment(name).notebook.cells}
    for cell in notebook.cells:
        task = cell.metadata.get("nbgrader", {}).get("grade_id")
        if answers is not None and cell.metadata.get("magnet_lab", {}).get("part") == "solution":
            cell.source = answers.get(task, solutions[cell.id])
    (folder / student).mkdir(parents=True)
    (folder / student / f"{name}.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")


def handed_in(**answers: str) -> nbformat.NotebookNode:
    """Return a student's copy with some answers written."""
    notebook = student_copy(assignment())
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in answers:
            cell.source = answers[name]
    return notebook


def restored(submitted: nbformat.NotebookNode) -> tuple[nbformat.NotebookNode, list[str]]:
    notebook, remarks = restore(assignment(), student_copy(assignment()), submitted)
    nbformat.validate(notebook)
    return notebook, remarks


def named(notebook: nbformat.NotebookNode) -> dict[str, str]:
    return {c.metadata.nbgrader.grade_id: c.source for c in notebook.cells if "nbgrader" in c.metadata}


def without(notebook: nbformat.NotebookNode, *names: str) -> nbformat.NotebookNode:
    notebook.cells = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") not in names]
    return notebook


def graded(sources: Path, folder: Path, limits: Limits = SHORT) -> dict[str, Graded]:
    batch = Batch(sources, folder, folder.parent / "grading", limits, confined=not trouble())
    list(batch.run())
    return {work.submission.student: work for work in batch.done()}


def points(work: Graded) -> dict[str, float | None]:
    return {name: marks.points for name, marks in work.result.marks.items()}
