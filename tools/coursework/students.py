"""What students get: the assignments without solutions, hidden tests and rubrics, as notebooks and as one zip."""

import io
import zipfile
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions, ComputeChecksums, LockCells

from magnet_helpers.files import write_bytes, write_text
from tools.coursework.assignments import Assignment

SECRETS = ("BEGIN SOLUTION", "END SOLUTION", "BEGIN HIDDEN", "END HIDDEN")
STEPS = (LockCells, ClearSolutions, ClearHiddenTests, ComputeChecksums)
DAY_ONE = (1980, 1, 1, 0, 0, 0)  # the first that zip files know: the same notebooks give the same zip


def student_copy(assignment: Assignment) -> NotebookNode:
    """Return an assignment's notebook without solutions and hidden tests, as nbgrader releases it."""
    notebook = deepcopy(assignment.notebook)
    for step in STEPS:
        notebook, _ = step().preprocess(notebook, {})
    for cell in notebook.cells:
        if any(secret in cell.source for secret in SECRETS):
            raise AssertionError(f"{assignment.name}: cell {cell.id} still holds a solution or a hidden test")
    return notebook


def write_student_copies(assignments: list[Assignment], folder: Path) -> list[Path]:
    """Write each student's copy as `NAME.ipynb` into a folder and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for assignment in assignments:
        paths.append(folder / f"{assignment.name}.ipynb")
        write_text(paths[-1], nbformat.writes(student_copy(assignment)) + "\n")
    return paths


def zip_student_copies(assignments: list[Assignment], path: Path) -> Path:
    """Write one zip file that holds every student's copy in a folder `assignments/`, and return its path."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for assignment in assignments:
            entry = zipfile.ZipInfo(f"assignments/{assignment.name}.ipynb", DAY_ONE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, nbformat.writes(student_copy(assignment)) + "\n")
    write_bytes(path, buffer.getvalue())
    return path
