"""A folder of submissions graded: a few at a time, each in its own process; where it was stopped it goes on.

Whatever happens in one submission stays there. What it leaves is an nbgrader course folder, so that `nbgrader
formgrader` opens it for the tasks that a person reads, and the tables `grades.csv` and `tasks.csv`.
"""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

import nbformat
from tqdm import tqdm

from magnet_helpers.lab.scheduler import usable_cores
from tools.checkout import CHECKOUT
from tools.coursework.assignments import Assignment, read_assignments
from tools.coursework.confinement import Limits, find_confinement
from tools.coursework.execution import SECONDS_TO_START
from tools.coursework.gradebook import LOOK_AGAIN, prepare, read_marks, write_feedback
from tools.coursework.grades_table import Graded, write_grades
from tools.coursework.job import Job, Marks, Result
from tools.coursework.submissions import Submission, SubmissionError, find_submissions

SECONDS_BESIDE_CELLS = SECONDS_TO_START + 180  # for starting, mending, marks and feedback
FAILED = "the grader failed"


def _digest(*texts: str | bytes) -> str:
    parts = [text if isinstance(text, bytes) else text.encode() for text in texts]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def grader_code(folder: Path = Path(__file__).parent) -> str:
    """Return a hash of the files that grade: what other code gave is graded anew.

    All of them lie in this folder. What assignments take from elsewhere stands in their notebooks, which count too.
    """
    return _digest(*(path.read_bytes() for path in sorted(folder.glob("*.py"))))


def _version(assignment: Assignment) -> str:
    return _digest(nbformat.writes(assignment.notebook))


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
        versions = {name: _version(assignment) for name, assignment in self.assignments.items()}
        prepare(list(self.assignments.values()), versions, self.course)
        self._grader = grader_code()
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
            result = Result.read(path)
            if result.status == "graded":
                assignment = self.assignments[submission.assignment]
                reasons = {k: marks.reason for k, marks in result.marks.items() if marks.reason not in ("", LOOK_AGAIN)}
                marks = read_marks(self.course, assignment, submission.student_id, reasons)
                if marks != result.marks:
                    write_feedback(self.course, submission.assignment, submission.student_id)
                    result = replace(result, marks=marks)
                    result.write(path)
            graded.append(Graded(submission, result))
        return graded

    def waiting(self) -> list[Submission]:
        """Return what is not graded yet, and what the grader failed at: that is tried again."""
        graded = {work.submission for work in self.done() if not work.result.status.startswith(FAILED)}
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
        Result(text, (), marks, 0.0).write(path)


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
