"""What came back: finding it, reading it whatever state it is in, and putting it into the shape that was handed out.

Students delete cells, copy them, rename their functions' cells, change what the grader wrote into them, hand in the
wrong file or half of one. `restore` takes the assignment as it was handed out and puts the student's work into it:
cells are known by nbgrader's name, else by their id. Everything that the grader relies on comes from the assignment,
never from the student.
"""

import hashlib
import json
import os
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode, ValidationError
from nbformat.v4.nbbase import validate

from tools.coursework.assignments import METADATA, Assignment, part_of, runs_when_graded, task_of

LARGEST_FILE = 20 * 2**20  # bytes; an executed assignment with its figures has about 200,000


KINDS = ("code", "markdown", "raw")


class SubmissionError(ValueError):
    """A file that cannot be graded; the message is for the student."""


@dataclass(frozen=True)
class Submission:
    """One file that a student handed in.

    Attributes:
        student: the name of the folder that it came in.
        assignment: what it is graded as.
        path: the file.
    """

    student: str
    assignment: str
    path: Path

    @property
    def student_id(self) -> str:
        """The student's name in letters that a folder, a gradebook and a pattern take as they are; unique."""
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", self.student).strip("-")
        if plain == self.student:
            return plain
        return f"{plain or 'student'}-{hashlib.sha256(self.student.encode()).hexdigest()[:6]}"


def _assignment_of(path: Path, names: list[str]) -> str | None:
    """Return what a notebook file is: what it says itself, else what its name begins with or contains."""
    try:
        if path.stat().st_size <= LARGEST_FILE:
            said = json.loads(path.read_bytes())["metadata"][METADATA]["assignment"]
            if said in names:
                return str(said)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # what is wrong with it is found, and said, when it is graded
    return next((name for name in names if name in path.stem), None)


def unpack(folder: Path) -> None:
    """Unpack every `STUDENT.zip` in a folder into `STUDENT/from zip`, anew if the zip file changed since.

    Only notebooks are taken out, each under its bare name in a folder of its own, with the time that the zip file says,
    and no more than `LARGEST_FILE` of each.
    """
    for path in sorted(folder.glob("*.zip")):
        target = path.with_suffix("") / "from zip"
        stamp = target / "zip.txt"
        said = f"{path.stat().st_size} {path.stat().st_mtime_ns}"
        if stamp.exists() and stamp.read_text(encoding="utf-8") == said:
            continue
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        with suppress(zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError), zipfile.ZipFile(path) as archive:
            notebooks = [entry for entry in archive.infolist() if Path(entry.filename).suffix == ".ipynb"]
            for number, entry in enumerate(notebooks):
                place = target / str(number) / Path(entry.filename).name
                place.parent.mkdir()
                with archive.open(entry) as file:
                    place.write_bytes(file.read(LARGEST_FILE + 1))
                seconds = time.mktime((*entry.date_time, 0, 0, -1))
                os.utime(place, (seconds, seconds))
        stamp.write_text(said, encoding="utf-8")


def find_submissions(folder: Path, names: list[str]) -> tuple[list[Submission], list[str]]:
    """Return the submissions in a folder that holds one folder (or zip file) for each student, and remarks.

    A student's folder may hold notebooks at any depth. Of two files for one assignment the newer one counts.

    Args:
        folder: with one folder or zip file for each student.
        names: the assignments.

    Raises:
        SubmissionError: if the folder holds no student's folder.
    """
    unpack(folder)
    students = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not students:
        raise SubmissionError(
            f"{folder} should hold one folder (or zip file) for each student, with the notebooks inside; it holds none"
        )
    found, remarks = [], []
    for student in students:
        newest: dict[str, Path] = {}
        paths = [path for path in student.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts]
        for path in sorted(paths, key=lambda each: each.stat().st_mtime):
            name = _assignment_of(path, names)
            if name is None:
                remarks.append(f"{student.name}: {path.name} is none of the assignments, and was left alone")
                continue
            if name in newest:
                remarks.append(f"{student.name}: {newest[name].name} is older than {path.name}, and was left alone")
            newest[name] = path
        if not newest:
            remarks.append(f"{student.name}: no notebook was found")
        found += [Submission(student.name, name, newest[name]) for name in sorted(newest)]
    return found, remarks


def read_submission(path: Path, assignment: str) -> NotebookNode:
    """Return the notebook in a student's file.

    Raises:
        SubmissionError: if it is too large, not JSON, no notebook, or another one.
    """
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise SubmissionError(f"the file has {size / 2**20:.0f} MB; no more than {LARGEST_FILE / 2**20:.0f} are read")
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content.get("cells"), list):
            content["cells"] = [_whole(cell) for cell in content["cells"] if _is_cell(cell)]
        notebook: NotebookNode = nbformat.reads(json.dumps(content), as_version=4)
    except RecursionError as error:
        raise SubmissionError("the file is no notebook: it is nested too deeply") from error
    except Exception as error:  # nbformat raises a dozen kinds, of four libraries
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise SubmissionError(f"the file is no Jupyter notebook: {reason}") from error
    said = notebook.metadata.get(METADATA, {})
    if isinstance(said, dict) and "code" in said and "assignment" not in said:
        raise SubmissionError(f"this is a lesson, not the assignment {assignment}")
    return notebook


def _is_cell(cell: object) -> bool:
    return isinstance(cell, dict) and cell.get("cell_type") in KINDS and isinstance(cell.get("source"), str | list)


def _whole(cell: dict[str, Any]) -> dict[str, Any]:
    """Return a cell with what nbformat insists on, whatever tool took it out."""
    whole = {**cell, "metadata": cell["metadata"] if isinstance(cell.get("metadata"), dict) else {}}
    if cell["cell_type"] == "code":
        whole = {"outputs": [], "execution_count": None, **whole}
    return whole


def _name_of(cell: NotebookNode) -> str | None:
    said = cell.get("metadata", {}).get("nbgrader")
    name = said.get("grade_id") if isinstance(said, dict) else None
    return name if isinstance(name, str) else None


def _plain(cell: NotebookNode) -> NotebookNode:
    """Return a student's cell with nothing in it that the grader would believe."""
    new: NotebookNode = getattr(nbformat.v4, f"new_{cell.cell_type}_cell")(source=str(cell.source))
    if cell.cell_type == "code":
        new.outputs = _sound_outputs(cell)
    return new


def _sound_outputs(cell: NotebookNode) -> list[NotebookNode]:
    """Return copies of those outputs of a cell that are what Jupyter writes."""
    sound = []
    for output in cell.get("outputs", []) if isinstance(cell.get("outputs"), list) else []:
        try:
            validate(output, output.get("output_type", ""))
        except (ValidationError, AttributeError, TypeError, KeyError):
            continue
        sound.append(deepcopy(output))
    return sound


def _with_work(ours: NotebookNode, theirs: NotebookNode) -> NotebookNode:
    """Return a cell of the assignment with what the student wrote and, in part B, what came out of it."""
    cell = deepcopy(ours)
    cell.source = str(theirs.source)
    if cell.cell_type == "code" and theirs.cell_type == "code":
        cell.outputs = _sound_outputs(theirs)
    return cell


def restore(assignment: Assignment, template: NotebookNode, submitted: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """Return a submission in the shape of the assignment, and what had to be mended.

    The student's cells stay in the student's order. Set-up and tests are the assignment's own; missing ones are put
    back after what precedes them in the assignment. A missing answer by hand is put back empty. A missing solution
    cell is *not*: the function may stand in another cell.

    Args:
        assignment: with its tests.
        template: what was handed out (`students.student_copy`).
        submitted: what came back.
    """
    fixed = {cell.metadata.nbgrader.grade_id: cell for cell in assignment.notebook.cells if "nbgrader" in cell.metadata}
    handed_out = {cell.id: cell for cell in template.cells}
    ids = {cell.id: cell.metadata.nbgrader.grade_id for cell in template.cells if "nbgrader" in cell.metadata}
    cells: list[NotebookNode] = []
    places: dict[str, int] = {}
    remarks = []
    for theirs in submitted.cells:
        name = _name_of(theirs)
        if name not in fixed:
            name = ids.get(theirs.get("id", ""))
        if name is None:
            cell = _plain(theirs)
            if part_of(handed_out.get(theirs.get("id", ""), cell)) == "B":
                cell = deepcopy(handed_out[theirs.id])
            cells.append(cell)
            continue
        ours = fixed[name]
        if name in places and part_of(ours) in ("tests", "start"):
            remarks.append(f"cell {name!r} stands there twice: the tests run once, where it stands first")
            continue
        if name in places:  # the later copy of an answer counts, the earlier one stays as a cell of the student's own
            remarks.append(f"cell {name!r} stands there twice: the later one counts")
            cells[places[name]] = _plain(cells[places[name]])
        places[name] = len(cells)
        cells.append(deepcopy(ours) if part_of(ours) in ("tests", "start") else _with_work(ours, theirs))
    cells = _with_missing(assignment, template, cells, remarks)
    restored = nbformat.v4.new_notebook(cells=cells, metadata=deepcopy(assignment.notebook.metadata))
    restored.nbformat_minor = 5
    for index, cell in enumerate(restored.cells):
        cell.id = f"r-{index:04d}"
    for cell, runs in runs_when_graded(restored):
        if runs:
            cell.outputs, cell.execution_count = [], None
    return restored, remarks


def _with_missing(
    assignment: Assignment, template: NotebookNode, cells: list[NotebookNode], remarks: list[str]
) -> list[NotebookNode]:
    """Return the cells with those put back that the grader cannot do without."""
    there = {name for cell in cells if (name := _name_of(cell)) is not None}
    beginning_of_b = next((cell for cell in assignment.notebook.cells if part_of(cell) == "B"), None)
    for cell in _wanted(assignment, template):
        name = _name_of(cell)
        if name is None or name in there:
            continue
        part = part_of(cell)
        if part == "solution":
            remarks.append(f"cell {name!r} is missing: the tests look for the function in the other cells")
            continue
        if part != "start":
            remarks.append(f"cell {name!r} is missing: it was put back")
        if part == "start":
            place = 0
        elif part == "tests":
            before = [i for i, other in enumerate(cells) if task_of(other) == task_of(cell)]
            place = max(before) + 1 if before else _end_of_a(cells)
        else:
            place = len(cells)
        cells.insert(place, deepcopy(cell))
    if beginning_of_b is not None and not any(part_of(cell) == "B" for cell in cells):
        remarks.append("the heading of part B is missing: it was put back after the last test")
        tests = [i for i, cell in enumerate(cells) if part_of(cell) == "tests"]
        cells.insert(max(tests, default=-1) + 1, deepcopy(beginning_of_b))
    return _tests_before_b(cells)


def _wanted(assignment: Assignment, template: NotebookNode) -> Iterator[NotebookNode]:
    """Yield the assignment's named cells: set-up and tests as they are, solutions and answers as handed out."""
    for ours, handed_out in zip(assignment.notebook.cells, template.cells, strict=True):
        yield ours if part_of(ours) in ("start", "tests") else handed_out


def _end_of_a(cells: list[NotebookNode]) -> int:
    """Return the place before the heading of part B, or behind everything."""
    return next((i for i, cell in enumerate(cells) if part_of(cell) == "B"), len(cells))


def _tests_before_b(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Return the cells with what the tests of part A need in front of the heading of part B, where cells are run."""
    end = _end_of_a(cells)
    late = [cell for cell in cells[end:] if part_of(cell) in ("solution", "tests")]
    rest = [cell for cell in cells[end:] if part_of(cell) not in ("solution", "tests")]
    return [*cells[:end], *late, *rest]
