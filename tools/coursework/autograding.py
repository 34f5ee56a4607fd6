"""One submission graded by nbgrader, in a process of its own: `python -m tools.coursework.autograding JOB`.

The process mends the submission, has its cells run in a confined kernel, lets nbgrader give the marks and write the
feedback, and leaves a result file. Whatever a submission does costs it its own marks: each task without marks has a
reason.
"""

import asyncio
import html
import json
import logging
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
from jupyter_core.utils import ensure_async, run_sync
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import (
    CheckCellMetadata,
    DeduplicateIds,
    Execute,
    IgnorePattern,
    LimitOutput,
    OverwriteCells,
    OverwriteKernelspec,
    SaveAutoGrades,
)
from traitlets.config import Config

from magnet_helpers.files import write_json, write_text
from tools.coursework.assignments import Assignment, part_of, read_assignment, runs_when_graded, task_of
from tools.coursework.confinement import (
    ConfinedKernelManager,
    Limits,
    Watch,
    find_confinement,
    limit_this_process,
)
from tools.coursework.students import student_copy
from tools.coursework.submissions import SubmissionError, read_submission, restore

GRADER_MEMORY_MB = 4000
SECONDS_TO_START = 300  # importing the package on a busy machine: that is not the student's time
SECONDS_TO_ANSWER = 10  # for a kernel whose cell was interrupted
LONGEST_REASON = 300
FLOOD = 100_000_000  # characters that a cell goes on to print after it was interrupted


@dataclass(frozen=True)
class Job:
    """What one process has to do.

    Attributes:
        student: as in the submissions' folder.
        student_id: as in the gradebook.
        assignment: its name.
        submission: the student's file.
        source: of the assignment.
        course: nbgrader's course folder.
        result: where the result goes.
        limits: for the student's code.
        confined: whether it runs in a room of its own.
    """

    student: str
    student_id: str
    assignment: str
    submission: Path
    source: Path
    course: Path
    result: Path
    limits: Limits = field(default_factory=Limits)
    confined: bool = True

    @staticmethod
    def read(path: Path) -> "Job":
        """Return the job in a file."""
        said = json.loads(path.read_text(encoding="utf-8"))
        places = {name: Path(said[name]) for name in ("submission", "source", "course", "result")}
        return Job(**{**said, **places, "limits": Limits(**said["limits"])})

    def write(self, path: Path) -> None:
        """Write the job to a file."""
        write_json(path, json.loads(json.dumps(asdict(self), default=str)))


@dataclass(frozen=True)
class Marks:
    """What one task got.

    Attributes:
        points: given; None as long as a person has to give them.
        of: at most.
        reason: why points are missing, for the student.
    """

    points: float | None
    of: int
    reason: str = ""


@dataclass(frozen=True)
class Result:
    """What one submission got.

    Attributes:
        status: `"graded"`, or why it could not be.
        remarks: what had to be mended, or stopped.
        marks: task → marks.
        seconds: that it took.
    """

    status: str
    remarks: tuple[str, ...]
    marks: Mapping[str, Marks]
    seconds: float


def _error(name: str, message: str) -> NotebookNode:
    output: NotebookNode = nbformat.v4.new_output("error", ename=name, evalue=message, traceback=[f"{name}: {message}"])
    return output


def _size(output: NotebookNode) -> int:
    return len(str(output.get("text", ""))) + sum(len(str(value)) for value in output.get("data", {}).values())


class ConfinedExecute(Execute):  # type: ignore[misc]
    """Runs the cells of part A in a confined kernel. What takes too long, prints too much or ends the kernel is told.

    Args:
        limits: what the kernel may use.
        bubblewrap: path of the program, or None.

    Attributes:
        remarks: what had to be stopped.
    """

    def __init__(self, limits: Limits, bubblewrap: str | None) -> None:
        super().__init__()
        self.limits, self.bubblewrap = limits, bubblewrap
        self.iopub_timeout = 15  # seconds in which a finished cell's outputs arrive, on a busy machine
        self.remarks: list[str] = []
        self._ended = ""
        self._printed = 0

    def preprocess(self, nb: NotebookNode, resources: Any = None, km: Any = None) -> tuple[NotebookNode, Any]:
        """Run the cells in place and return the notebook."""
        self._runs = {id(cell) for cell, runs in runs_when_graded(nb) if runs}
        self._started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="mg", dir="/tmp") as name:
            self._folder = Path(name)
            try:
                done: tuple[NotebookNode, Any] = super().preprocess(nb, resources)
            finally:
                self._watch.stop()
        return done

    def create_kernel_manager(self) -> ConfinedKernelManager:
        """Return the manager of a kernel that has not started."""
        self.km = ConfinedKernelManager(self._folder, self.limits, self.bubblewrap)
        return self.km

    def start_new_kernel_client(self) -> Any:
        """Begin to watch the kernel, and talk to it."""
        process = self._process()
        assert process is not None
        self._watch = Watch(process.pid, self.limits)
        self._watch.start()
        return super().start_new_kernel_client()

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[NotebookNode, Any]:
        """Run a cell, if it is to be run and the kernel still lives."""
        if id(cell) not in self._runs:
            return cell, resources
        is_start = part_of(cell) == "start"
        left = SECONDS_TO_START if is_start else self.limits.total_seconds - (time.monotonic() - self._started)
        if not self._ended and left <= 0:
            self._end(f"all cells together took longer than {self.limits.total_seconds} seconds")
        if self._ended:
            cell.outputs = [_error("NotRun", self._ended)]
            return cell, resources
        self.timeout = max(1, round(left if is_start else min(self.limits.cell_seconds, left)))
        sentence = f"this cell took longer than {self.timeout} seconds"
        self.error_on_timeout = {"ename": "TooLong", "evalue": sentence, "traceback": [f"TooLong: {sentence}"]}
        self._printed = 0
        try:
            super().preprocess_cell(cell, resources, index)
        except DeadKernelError:
            self._end(self._watch.reason or "the code ended Python itself")
            cell.outputs.append(_error("PythonEnded", self._ended.removeprefix("not run: ")))
        except CellTimeoutError:  # the cell's end was reported, its last outputs never came
            cell.outputs.append(_error("TooLong", sentence))
        if is_start:
            self._started = time.monotonic()
        if self._printed > 1000 * self.limits.output_kb:
            cell.outputs.append(_error("TooMuchOutput", self._too_much()))
        stopped = [output for output in cell.outputs if output.get("ename") in ("TooLong", "TooMuchOutput")]
        if stopped and not self._ended:
            self.remarks.append(str(stopped[0].evalue))
            self._see_whether_it_answers()
        if part_of(cell) == "tests":
            _leave_only_errors(cell)
        return cell, resources

    def _too_much(self) -> str:
        return f"this cell printed or showed more than {self.limits.output_kb} kB"

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        """Keep an output, as long as the cell has not put out too much; then interrupt it."""
        before = self._printed
        if msg["msg_type"] in ("stream", "display_data", "execute_result", "update_display_data"):
            self._printed += _size(NotebookNode(msg["content"]))
        most = 1000 * self.limits.output_kb
        if self._printed <= most:
            return super().process_message(msg, cell, cell_index)
        if before <= most:
            self._interruption = asyncio.ensure_future(self.km.interrupt_kernel())
        if self._printed > FLOOD:
            self._end(self._too_much())
        if msg["msg_type"] in ("status", "error"):
            return super().process_message(msg, cell, cell_index)
        return None

    def _see_whether_it_answers(self) -> None:
        """End a kernel that goes on with the cell that was interrupted."""
        if not self._ended and not run_sync(self._answers)():
            self._end(self._watch.reason or "an earlier cell could not be interrupted")

    async def _answers(self) -> bool:
        """Return whether the kernel answers a question, which it does between cells only."""
        question = self.kc.kernel_info()
        latest = time.monotonic() + SECONDS_TO_ANSWER
        while (left := latest - time.monotonic()) > 0:
            try:
                answer = await ensure_async(self.kc.shell_channel.get_msg(timeout=left))
            except Empty:
                return False
            if answer["parent_header"].get("msg_id") == question:
                return True
        return False

    def _end(self, reason: str) -> None:
        """Let no further cell run. The first reason stays: what comes later follows from it."""
        if not self._ended:
            self._ended = f"not run: {reason}"
            self.remarks.append(reason)
        process = self._process()
        if process is not None and process.poll() is None:
            process.kill()

    def _process(self) -> Any:
        """Return the kernel's process, or None before it started and after it was cleaned up."""
        return getattr(getattr(self.km, "provisioner", None), "process", None)


def _leave_only_errors(cell: NotebookNode) -> None:
    """Take out what a student's code printed or warned while the tests ran: nbgrader reads marks from it."""
    cell.outputs = [output for output in cell.outputs if output.output_type == "error"]


def _course(course: Path, assignment: str, student_id: str) -> tuple[CourseDirectory, Config]:
    config = Config()
    config.CourseDirectory.root = str(course)
    config.CourseDirectory.db_url = database(course)
    config.CourseDirectory.assignment_id = assignment
    config.CourseDirectory.student_id = student_id
    config.HTMLExporter.sanitize_html = True  # a feedback page must not run what a student wrote into an output
    return CourseDirectory(config=config), config


def write_feedback(course: Path, assignment: str, student_id: str) -> None:
    """Have nbgrader write a student's feedback, with the marks and comments that stand in the gradebook now."""
    directory, config = _course(course, assignment, student_id)
    feedback = GenerateFeedback(coursedir=directory, config=config)
    feedback.force = True
    feedback.start()


def find_nbgraders_tools() -> None:
    """Let nbgrader find `alembic`, which it starts by its bare name, also where no environment is activated."""
    folder = str(Path(sys.executable).parent)
    if folder not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join(filter(None, (folder, os.environ.get("PATH"))))


def database(course: Path) -> str:
    """Return the address of a course's gradebook, which waits a minute for another process to finish writing."""
    return f"sqlite:///{course / 'gradebook.db'}?timeout=60"


def _run_nbgrader(job: Job, execute: ConfinedExecute) -> NotebookNode:
    """Let nbgrader grade what stands in its folder `submitted`, and return the executed notebook."""
    directory, config = _course(job.course, job.assignment, job.student_id)
    grader = Autograde(coursedir=directory, config=config)
    grader.force = True
    grader.sanitize_preprocessors = [DeduplicateIds, OverwriteKernelspec, OverwriteCells, CheckCellMetadata]
    clear = ClearMetadataPreprocessor(preserve_cell_metadata_mask={"nbgrader", "magnet_lab"})
    grader.autograde_preprocessors = [execute, IgnorePattern, clear, LimitOutput, SaveAutoGrades, CheckCellMetadata]
    grader.start()
    write_feedback(job.course, job.assignment, job.student_id)
    executed: NotebookNode = nbformat.read(
        job.course / "autograded" / job.student_id / job.assignment / f"{job.assignment}.ipynb", as_version=4
    )
    return executed


def _reasons(executed: NotebookNode) -> dict[str, str]:
    """Return, for each task whose tests failed, the first error: in its solution's cell, else in its tests."""
    reasons: dict[str, str] = {}
    for cell in executed.cells:
        if cell.cell_type != "code" or part_of(cell) not in ("solution", "tests"):
            continue
        errors = [output for output in cell.outputs if output.output_type == "error"]
        # An interruption is what the limits did to a cell; why, the error behind it says.
        errors.sort(key=lambda error: error.ename == "KeyboardInterrupt")
        if errors and task_of(cell) not in reasons:
            text = f"{errors[0].ename}: {errors[0].evalue}" if errors[0].evalue else errors[0].ename
            reasons[task_of(cell)] = text[:LONGEST_REASON]
    return reasons


LOOK_AGAIN = "given by hand before this work was graded anew: look again"


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


def _nothing(assignment: Assignment, reason: str) -> dict[str, Marks]:
    return {task.name: Marks(0, task.points, reason) for task in assignment.tasks}


def _write_short_feedback(job: Job, reason: str) -> None:
    page = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Feedback</title></head><body>'
        f"<h1>{html.escape(job.assignment)}</h1><p>This submission got no marks: {html.escape(reason)}</p>"
        "</body></html>"
    )
    write_text(job.course / "feedback" / job.student_id / job.assignment / f"{job.assignment}.html", page)


def grade(job: Job) -> Result:
    """Grade one submission and return what it got; only a fault of the grader itself is raised."""
    started = time.monotonic()
    assignment = read_assignment(job.source)
    try:
        submitted = read_submission(job.submission, job.assignment)
    except SubmissionError as error:
        _write_short_feedback(job, str(error))
        return Result(str(error), (), _nothing(assignment, str(error)), time.monotonic() - started)
    notebook, remarks = restore(assignment, student_copy(assignment), submitted)
    folder = job.course / "submitted" / job.student_id / job.assignment
    shutil.rmtree(folder, ignore_errors=True)
    write_text(folder / f"{job.assignment}.ipynb", nbformat.writes(notebook))
    execute = ConfinedExecute(job.limits, find_confinement() if job.confined else None)
    executed = _run_nbgrader(job, execute)
    marks = read_marks(job.course, assignment, job.student_id, _reasons(executed))
    return Result("graded", (*remarks, *execute.remarks), marks, time.monotonic() - started)


def main(arguments: list[str]) -> int:
    """Carry out the job in a file and write its result."""
    job = Job.read(Path(arguments[0]))
    limit_this_process(GRADER_MEMORY_MB)
    find_nbgraders_tools()
    logging.basicConfig(level=logging.WARNING)
    try:
        result = grade(job)
    except Exception:
        traceback.print_exc()
        return 1
    write_json(job.result, asdict(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
