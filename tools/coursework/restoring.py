"""A submission put back into the shape that was handed out.

Students delete cells, copy them, rename their functions' cells, change what the grader wrote into them. `restore` takes
the assignment as it was handed out and puts the student's work into it: cells are known by nbgrader's name, else by
their id. Everything that the grader relies on comes from the assignment, never from the student.
"""

from collections.abc import Iterator
from copy import deepcopy

import nbformat
from nbformat import NotebookNode, ValidationError
from nbformat.v4.nbbase import validate

from tools.coursework.assignments import Assignment, part_of, runs_when_graded, task_of


def _name_of(cell: NotebookNode) -> str | None:
    metadata = cell.get("metadata", {}).get("nbgrader")
    name = metadata.get("grade_id") if isinstance(metadata, dict) else None
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


def _with_work(original: NotebookNode, submitted: NotebookNode) -> NotebookNode:
    """Return a cell of the assignment with what the student wrote and, in part B, what came out of it."""
    cell = deepcopy(original)
    cell.source = str(submitted.source)
    if cell.cell_type == "code" and submitted.cell_type == "code":
        cell.outputs = _sound_outputs(submitted)
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
    for returned in submitted.cells:
        name = _name_of(returned)
        if name not in fixed:
            name = ids.get(returned.get("id", ""))
        if name is None:
            cell = _plain(returned)
            if part_of(handed_out.get(returned.get("id", ""), cell)) == "B":
                cell = deepcopy(handed_out[returned.id])
            cells.append(cell)
            continue
        original = fixed[name]
        if name in places and part_of(original) in ("tests", "start"):
            remarks.append(f"cell {name!r} stands there twice: the tests run once, where it stands first")
            continue
        if name in places:  # the later copy of an answer counts, the earlier one stays as a cell of the student's own
            remarks.append(f"cell {name!r} stands there twice: the later one counts")
            cells[places[name]] = _plain(cells[places[name]])
        places[name] = len(cells)
        cells.append(deepcopy(original) if part_of(original) in ("tests", "start") else _with_work(original, returned))
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
    for original, handed_out in zip(assignment.notebook.cells, template.cells, strict=True):
        yield original if part_of(original) in ("start", "tests") else handed_out


def _end_of_a(cells: list[NotebookNode]) -> int:
    """Return the place before the heading of part B, or behind everything."""
    return next((i for i, cell in enumerate(cells) if part_of(cell) == "B"), len(cells))


def _tests_before_b(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Return the cells with what the tests of part A need in front of the heading of part B, where cells are run."""
    end = _end_of_a(cells)
    late = [cell for cell in cells[end:] if part_of(cell) in ("solution", "tests")]
    rest = [cell for cell in cells[end:] if part_of(cell) not in ("solution", "tests")]
    return [*cells[:end], *late, *rest]
