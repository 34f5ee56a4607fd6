"""The tables `grades.csv` and `tasks.csv`: what each submission and each of its tasks got."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from magnet_helpers.files import write_text
from tools.coursework.job import Result
from tools.coursework.submissions import Submission


@dataclass(frozen=True)
class Graded:
    """A submission and what it got."""

    submission: Submission
    result: Result


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([_harmless(value) for value in row])
    return buffer.getvalue()


def _harmless(value: object) -> object:
    """Return a value that no spreadsheet takes for a formula: names and reasons come from students."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def write_grades(graded: Sequence[Graded], folder: Path) -> Path:
    """Write `grades.csv`, one row for each submission, and `tasks.csv`, one for each task, and return the first."""
    rows, tasks = [], []
    for submission, result in ((work.submission, work.result) for work in graded):
        points = [marks.points for marks in result.marks.values() if marks.points is not None]
        waiting = sum(marks.of for marks in result.marks.values() if marks.points is None)
        most = sum(marks.of for marks in result.marks.values())
        reasons = "; ".join(f"{name}: {marks.reason}" for name, marks in result.marks.items() if marks.reason)
        remarks = "; ".join(result.remarks)
        rows.append(
            (submission.student, submission.assignment, sum(points), waiting, most, result.status, remarks, reasons)
        )
        for name, marks in result.marks.items():
            shown = "" if marks.points is None else marks.points
            tasks.append((submission.student, submission.assignment, name, shown, marks.of, marks.reason))
    header = ("student", "assignment", "points", "points_to_be_given_by_hand", "of", "status", "remarks", "reasons")
    write_text(folder / "grades.csv", _table(header, rows))
    write_text(folder / "tasks.csv", _table(("student", "assignment", "task", "points", "of", "reason"), tasks))
    return folder / "grades.csv"
