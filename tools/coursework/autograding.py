"""One submission graded by nbgrader, in a process of its own: `python -m tools.coursework.autograding JOB`.

The process mends the submission, has its cells run in a confined kernel, lets nbgrader give the marks and write the
feedback, and leaves a result file. Whatever a submission does costs it its own marks: each task without marks has a
reason.
"""

import html
import logging
import shutil
import sys
import time
import traceback
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbformat import NotebookNode
from nbgrader.converters import Autograde
from nbgrader.preprocessors import (
    CheckCellMetadata,
    DeduplicateIds,
    IgnorePattern,
    LimitOutput,
    OverwriteCells,
    OverwriteKernelspec,
    SaveAutoGrades,
)

from magnet_helpers.files import write_text
from tools.coursework.assignments import Assignment, part_of, read_assignment, task_of
from tools.coursework.confinement import find_confinement, limit_this_process
from tools.coursework.execution import ConfinedExecute
from tools.coursework.gradebook import configuration, find_nbgraders_tools, read_marks, write_feedback
from tools.coursework.job import Job, Marks, Result
from tools.coursework.restoring import restore
from tools.coursework.students import student_copy
from tools.coursework.submissions import SubmissionError, read_submission

GRADER_MEMORY_MB = 4000
LONGEST_REASON = 300


def _run_nbgrader(job: Job, execute: ConfinedExecute) -> NotebookNode:
    """Let nbgrader grade what stands in its folder `submitted`, and return the executed notebook."""
    directory, config = configuration(job.course, job.assignment, job.student_id)
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
    result.write(job.result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
