"""A folder of submissions graded: a few at a time, each in its own process; where it was stopped it goes on.

Whatever happens in one submission stays there. What it leaves is an nbgrader course folder, so that `nbgrader
formgrader` opens it for the tasks that a person reads, and the tables `grades.csv` and `tasks.csv`.
"""

import csv
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import nbformat
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from tqdm import tqdm
from traitlets.config import Config

from magnet_helpers.files import write_json, write_text
from magnet_helpers.lab.scheduler import usable_cores
from tools.checkout import CHECKOUT
from tools.coursework.assignments import Assignment, read_assignments
from tools.coursework.autograding import (
    LOOK_AGAIN,
    SECONDS_TO_START,
    Job,
    Marks,
    Result,
    database,
    find_nbgraders_tools,
    read_marks,
    write_feedback,
)
from tools.coursework.confinement import Limits, find_confinement
from tools.coursework.submissions import Submission, SubmissionError, find_submissions

SECONDS_BESIDE_CELLS = SECONDS_TO_START + 180  # for starting, mending, marks and feedback
STAMP = "assignments.json"
FAILED = "the grader failed"


class GradingError(RuntimeError):
    """The batch cannot begin."""


def _digest(*texts: str | bytes) -> str:
    parts = [text if isinstance(text, bytes) else text.encode() for text in texts]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _grader_code() -> str:
    return _digest(*(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))


def prepare(assignments: Sequence[Assignment], course: Path) -> None:
    """Make an nbgrader course folder that knows these assignments, or see that it does.

    Raises:
        GradingError: if it knows other versions of them: marks for one version say nothing about another.
    """
    said = {assignment.name: _digest(nbformat.writes(assignment.notebook)) for assignment in assignments}
    stamp = course / STAMP
    if stamp.exists():
        if json.loads(stamp.read_text(encoding="utf-8")) != said:
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
        config = Config()
        config.CourseDirectory.root = str(course)
        config.CourseDirectory.db_url = database(course)
        config.CourseDirectory.assignment_id = assignment.name
        generate = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config)
        generate.force = True
        generate.start()
    write_text(course / "rubrics.md", _rubrics(assignments))
    write_text(
        course / "nbgrader_config.py",
        "# For `nbgrader formgrader`, which shows what a person has to read.\nc = get_config()  # noqa: F821\n"
        'c.CourseDirectory.root = "."\nc.CourseDirectory.db_url = "sqlite:///gradebook.db?timeout=60"\n',
    )
    write_text(stamp, json.dumps(said, indent=2))


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


@dataclass(frozen=True)
class Graded:
    """A submission and what it got."""

    submission: Submission
    result: Result


def _read_result(path: Path) -> Result:
    said = json.loads(path.read_text(encoding="utf-8"))
    marks = {name: Marks(**each) for name, each in said["marks"].items()}
    return Result(said["status"], tuple(said["remarks"]), marks, said["seconds"])


class Batch:
    """Submissions, the assignments that they answer, and the folder that everything is left in.

    Args:
        sources: folder of the assignments' sources.
        submissions: folder with one folder or zip file for each student.
        course: nbgrader's course folder; made if it is not there.
        limits: for each submission.
        confined: whether students' code runs in a room of its own.

    Raises:
        ConfinementError: if it should be confined and cannot be.
        SubmissionError: if there are no submissions.
        GradingError: if the folder holds marks for other versions of the assignments.
    """

    def __init__(self, sources: Path, submissions: Path, course: Path, limits: Limits, *, confined: bool) -> None:
        if confined:
            find_confinement()
        self.sources, self.course, self.limits, self.confined = sources, course.resolve(), limits, confined
        self.assignments = {assignment.name: assignment for assignment in read_assignments(sources)}
        self.submissions, self.remarks = find_submissions(submissions.resolve(), list(self.assignments))
        prepare(list(self.assignments.values()), self.course)
        self._grader = _grader_code()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def _result_path(self, submission: Submission) -> Path:
        """Return where a result is kept: another file, other tests or other limits have another place."""
        made_of = _digest(
            submission.path.read_bytes(),
            nbformat.writes(self.assignments[submission.assignment].notebook),
            self._grader,
            repr((self.limits, self.confined)),
        )
        return self.course / "results" / submission.student_id / f"{submission.assignment}-{made_of}.json"

    def done(self) -> list[Graded]:
        """Return what is graded already, with the marks that stand in the gradebook now.

        Where a person gave marks since, the feedback is written anew.
        """
        graded = []
        for submission in self.submissions:
            path = self._result_path(submission)
            if not path.exists():
                continue
            result = _read_result(path)
            if result.status == "graded":
                assignment = self.assignments[submission.assignment]
                reasons = {k: marks.reason for k, marks in result.marks.items() if marks.reason not in ("", LOOK_AGAIN)}
                marks = read_marks(self.course, assignment, submission.student_id, reasons)
                if marks != result.marks:
                    write_feedback(self.course, submission.assignment, submission.student_id)
                    result = replace(result, marks=marks)
                    write_json(path, asdict(result))
            graded.append(Graded(submission, result))
        return graded

    def waiting(self) -> list[Submission]:
        """Return what is not graded yet, and what the grader failed at: that is tried again."""
        graded = {each.submission for each in self.done() if not each.result.status.startswith(FAILED)}
        return [submission for submission in self.submissions if submission not in graded]

    def run(self, workers: int | None = None) -> Iterable[Submission]:
        """Grade what is not graded yet, a few submissions at a time, and yield each that is.

        Args:
            workers: processes at once; one on each core by default.
        """
        with ThreadPoolExecutor(workers or usable_cores()) as pool:
            futures = {pool.submit(self._grade, submission): submission for submission in self.waiting()}
            try:
                for future in as_completed(futures):
                    future.result()
                    yield futures[future]
            except BaseException:
                self.stop()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def stop(self) -> None:
        """End every process that is running, and the kernels in them."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _end_group(process)

    def _grade(self, submission: Submission) -> None:
        """Have one submission graded by a process of its own, and see that there is a result."""
        result = self._result_path(submission)
        result.parent.mkdir(parents=True, exist_ok=True)
        result.unlink(missing_ok=True)  # of a failure
        job = Job(
            submission.student,
            submission.student_id,
            submission.assignment,
            submission.path,
            (self.sources / f"{submission.assignment}.py").resolve(),
            self.course,
            result,
            self.limits,
            self.confined,
        )
        path, log = result.with_suffix(".job"), result.with_suffix(".log")
        job.write(path)
        command = [sys.executable, "-m", "tools.coursework.autograding", str(path)]
        with log.open("wb") as file:
            with self._lock:
                if self._stopped:
                    return
                process = subprocess.Popen(
                    command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
                )
                self._running.add(process)
            try:
                process.wait(self.limits.total_seconds + SECONDS_BESIDE_CELLS)
            except subprocess.TimeoutExpired:
                _end_group(process)
            finally:
                with self._lock:
                    self._running.discard(process)
        path.unlink()
        if not result.exists() and not self._stopped:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            self._write_failure(submission, result, lines[-1] if lines else "its process was ended")

    def _write_failure(self, submission: Submission, path: Path, reason: str) -> None:
        """Keep that a submission could not be graded: the others go on, and a person has to look."""
        assignment = self.assignments[submission.assignment]
        text = f"{FAILED}, a person has to look (results/{submission.student_id}/{path.stem}.log): {reason[:300]}"
        marks = {task.name: Marks(None, task.points, FAILED) for task in assignment.tasks}
        result = {"status": text, "remarks": [], "marks": {k: vars(v) for k, v in marks.items()}, "seconds": 0.0}
        write_text(path, json.dumps(result, indent=2))


def grade_folder(sources: Path, submissions: Path, course: Path, workers: int | None, *, confined: bool) -> Path:
    """Grade a folder of submissions with progress, write the tables, and return the path of `grades.csv`.

    An interruption leaves the tables of what is graded; the same call goes on from there. For arguments and errors see
    `Batch`.
    """
    if not submissions.is_dir():
        raise SubmissionError(f"there is no folder {submissions}")
    batch = Batch(sources, submissions, course, Limits(), confined=confined)
    for remark in batch.remarks:
        print(remark, file=sys.stderr)
    if not confined:
        print("students' code runs with your own rights on this machine and its files", file=sys.stderr)
    there = len(batch.submissions) - len(batch.waiting())
    # Whoever ends this process ends the students' code with it.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tqdm(total=len(batch.submissions), initial=there, unit="submission", desc="grading") as bar:
            for submission in batch.run(workers):
                bar.set_postfix_str(f"{submission.student} {submission.assignment}")
                bar.update()
    finally:
        signal.signal(signal.SIGTERM, before)
        path = write_grades(batch.done(), batch.course)
    return path


def _end_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


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
    for each in graded:
        submission, result = each.submission, each.result
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
