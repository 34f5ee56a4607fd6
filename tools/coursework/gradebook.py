"""nbgrader's course folder: what it knows of the assignments, the marks in its gradebook, the feedback it writes."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateAssignment, GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from magnet_helpers.files import write_text
from tools.coursework.assignments import Assignment
from tools.coursework.job import Marks

STAMP = "assignments.json"
LOOK_AGAIN = "given by hand before this work was graded anew: look again"


class GradingError(RuntimeError):
    """The batch cannot begin."""


def find_nbgraders_tools() -> None:
    """Let nbgrader find `alembic`, which it starts by its bare name, also where no environment is activated."""
    folder = str(Path(sys.executable).parent)
    if folder not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join(filter(None, (folder, os.environ.get("PATH"))))


def database(course: Path) -> str:
    """Return the address of a course's gradebook, which waits a minute for another process to finish writing."""
    return f"sqlite:///{course / 'gradebook.db'}?timeout=60"


def configuration(course: Path, assignment: str, student_id: str | None = None) -> tuple[CourseDirectory, Config]:
    """Return a course's folder as nbgrader's converters take it, for one assignment and, if given, one student."""
    config = Config()
    config.CourseDirectory.root = str(course)
    config.CourseDirectory.db_url = database(course)
    config.CourseDirectory.assignment_id = assignment
    if student_id is not None:
        config.CourseDirectory.student_id = student_id
    config.HTMLExporter.sanitize_html = True  # a feedback page must not run what a student wrote into an output
    return CourseDirectory(config=config), config


def prepare(assignments: Sequence[Assignment], versions: Mapping[str, str], course: Path) -> None:
    """Make an nbgrader course folder that knows these assignments, or see that it does.

    Args:
        assignments: with their solutions and tests.
        versions: assignment → what tells this version of it from others.
        course: the folder.

    Raises:
        GradingError: if it knows other versions of them: marks for one version say nothing about another.
    """
    stamp = course / STAMP
    if stamp.exists():
        if json.loads(stamp.read_text(encoding="utf-8")) != versions:
            raise GradingError(
                f"{course} holds marks for other versions of the assignments: name another folder with GRADES=, or "
                "move that one away"
            )
        return
    find_nbgraders_tools()
    for assignment in assignments:
        write_text(
            course / "source" / assignment.name / f"{assignment.name}.ipynb", nbformat.writes(assignment.notebook)
        )
        directory, config = configuration(course, assignment.name)
        generate = GenerateAssignment(coursedir=directory, config=config)
        generate.force = True
        generate.start()
    write_text(course / "rubrics.md", _rubrics(assignments))
    write_text(
        course / "nbgrader_config.py",
        "# For `nbgrader formgrader`, which shows what a person has to read.\nc = get_config()  # noqa: F821\n"
        'c.CourseDirectory.root = "."\nc.CourseDirectory.db_url = "sqlite:///gradebook.db?timeout=60"\n',
    )
    write_text(stamp, json.dumps(versions, indent=2))


def _rubrics(assignments: Sequence[Assignment]) -> str:
    lines = ["# What a person gives marks for", ""]
    for assignment in assignments:
        answers = {
            cell.metadata.nbgrader.grade_id: cell.source
            for cell in assignment.notebook.cells
            if "nbgrader" in cell.metadata
        }
        for task in assignment.tasks:
            if task.by_hand:
                lines += [f"## {assignment.title}: {task.title} ({task.points} points)", "", task.rubric, ""]
                lines += ["A model answer:", "", *(f"> {line}" for line in answers[task.name].splitlines()), ""]
    return "\n".join(lines)


def read_marks(course: Path, assignment: Assignment, student_id: str, reasons: Mapping[str, str]) -> dict[str, Marks]:
    """Return what the gradebook says of one submission."""
    marks = {}
    with Gradebook(database(course)) as gradebook:
        notebook = gradebook.find_submission_notebook(assignment.name, assignment.name, student_id)
        grades = {grade.cell.name: grade for grade in notebook.grades}
        for task in assignment.tasks:
            grade = grades[task.graded_cell]
            was_read = grade.manual_score is not None
            points = grade.manual_score if was_read else grade.auto_score
            usual = "given by hand" if was_read else "no points were given"
            reason = "" if task.by_hand or points == task.points else reasons.get(task.name, usual)
            if was_read and grade.needs_manual_grade:  # nbgrader says so of a work that was graded anew
                reason = LOOK_AGAIN
            if task.by_hand and grade.auto_score == 0 and not was_read:
                reason = "no answer was written"
            marks[task.name] = Marks(points, task.points, reason)
    return marks


def write_feedback(course: Path, assignment: str, student_id: str) -> None:
    """Have nbgrader write a student's feedback, with the marks and comments that stand in the gradebook now."""
    directory, config = configuration(course, assignment, student_id)
    feedback = GenerateFeedback(coursedir=directory, config=config)
    feedback.force = True
    feedback.start()
