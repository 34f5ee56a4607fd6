"""What one process of the grader has to do, and what it leaves: a job, the marks of each task, a result."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from magnet_helpers.files import write_json
from tools.coursework.confinement import Limits


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
        fields = json.loads(path.read_text(encoding="utf-8"))
        places = {name: Path(fields[name]) for name in ("submission", "source", "course", "result")}
        return Job(**{**fields, **places, "limits": Limits(**fields["limits"])})

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

    @staticmethod
    def read(path: Path) -> "Result":
        """Return the result in a file."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        marks = {task: Marks(**given) for task, given in fields["marks"].items()}
        return Result(fields["status"], tuple(fields["remarks"]), marks, fields["seconds"])

    def write(self, path: Path) -> None:
        """Write the result to a file."""
        write_json(path, asdict(self))
