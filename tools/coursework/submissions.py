"""What came back: finding it, and reading it whatever state it is in.

Students hand in zip files, several versions, the wrong file or half of one. What is read is mended by `restoring`.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import time
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from magnet_helpers.files import cannot_write, write_text
from tools.coursework.assignments import METADATA

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
            name = json.loads(path.read_bytes())["metadata"][METADATA]["assignment"]
            if name in names:
                return str(name)
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
        version = f"{path.stat().st_size} {path.stat().st_mtime_ns}"
        if stamp.exists() and stamp.read_text(encoding="utf-8") == version:
            continue
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        try:
            _take_notebooks_out(path, target)
        except OSError as error:  # a name that no file can have is the student's; a full disk is not
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise cannot_write(target, error) from error
        write_text(stamp, version)


def _take_notebooks_out(path: Path, target: Path) -> None:
    with suppress(zipfile.BadZipFile, RuntimeError, NotImplementedError), zipfile.ZipFile(path) as archive:
        notebooks = [entry for entry in archive.infolist() if Path(entry.filename).suffix == ".ipynb"]
        for number, entry in enumerate(notebooks):
            place = target / str(number) / Path(entry.filename).name
            place.parent.mkdir()
            with archive.open(entry) as file:
                place.write_bytes(file.read(LARGEST_FILE + 1))
            seconds = time.mktime((*entry.date_time, 0, 0, -1))
            os.utime(place, (seconds, seconds))


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
    submissions, remarks = [], []
    for student in students:
        newest: dict[str, Path] = {}
        paths = [path for path in student.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts]
        for path in sorted(paths, key=lambda path: path.stat().st_mtime):
            name = _assignment_of(path, names)
            if name is None:
                remarks.append(f"{student.name}: {path.name} is none of the assignments, and was left alone")
                continue
            if name in newest:
                remarks.append(f"{student.name}: {newest[name].name} is older than {path.name}, and was left alone")
            newest[name] = path
        if not newest:
            remarks.append(f"{student.name}: no notebook was found")
        submissions += [Submission(student.name, name, newest[name]) for name in sorted(newest)]
    return submissions, remarks


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
    metadata = notebook.metadata.get(METADATA, {})
    if isinstance(metadata, dict) and "code" in metadata and "assignment" not in metadata:
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
