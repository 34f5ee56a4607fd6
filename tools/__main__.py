"""The workshop's command line: `python -m tools` and a command; `--help` lists them."""

import argparse
import signal
import sys
from pathlib import Path

from magnet_helpers.data import DataError
from magnet_helpers.device import choose_device
from magnet_helpers.fast.switch import is_allowed
from magnet_helpers.files import exclusively, print_anything
from magnet_helpers.lab.budget import BUDGETS, FAST, get_budget
from magnet_helpers.lab.lab import get_seed
from magnet_helpers.lab.scheduler import WorkerLostError
from magnet_helpers.seeds import read_seed
from magnet_helpers.workspace import workspace
from tools.checkout import CHECKOUT


def run_coursework(options: argparse.Namespace, checkout: Path) -> int:
    """Carry out `student` or `grade` and return the exit status."""
    sources = checkout / "notebooks" / "assignments" / "source"
    try:
        from tools.coursework.assignments import read_assignments
        from tools.coursework.confinement import ConfinementError
        from tools.coursework.gradebook import GradingError
        from tools.coursework.grading import grade_folder
        from tools.coursework.students import zip_student_copies
        from tools.coursework.submissions import SubmissionError
    except ImportError as error:
        print(f"{error}; coursework needs the extra `coursework`: pip install '.[coursework]'", file=sys.stderr)
        return 2
    try:
        if options.command == "student":
            assignments = read_assignments(sources)
            path = zip_student_copies(assignments, workspace() / "build" / "student" / "assignments.zip")
            print(f"{len(assignments)} assignments in {path}")
            return 0
        path = grade_folder(sources, options.submissions, options.grades, options.workers, confined=options.confined)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on where this one was", file=sys.stderr)
        return 130
    except (ConfinementError, GradingError, SubmissionError, OSError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    print(f"marks {path}\nfeedback {path.parent / 'feedback'}\nfor the tasks that a person reads: {path.parent}")
    return 0


def run_stamp(paths: list[Path]) -> int:
    """Carry out `stamp` and return the exit status."""
    from tools.stamp import stamp

    for path in paths:
        try:
            changed, count = stamp(path)
        except KeyboardInterrupt:
            print("\ninterrupted: no file is half stamped", file=sys.stderr)
            return 130
        except (ValueError, OSError) as error:  # another kind of file, or none
            print(f"\n{error}", file=sys.stderr)
            return 2
        print(f"{path}: {changed} of {count} rows got another key")
    return 0


def update_address(checkout: Path) -> int:
    """Carry out `address` and return the exit status."""
    from tools.coursework.assignments import read_assignments
    from tools.coursework.students import write_student_copies
    from tools.site.course import write_address

    folder = checkout / "notebooks" / "assignments"
    try:
        write_address(checkout)
        write_student_copies(read_assignments(folder / "source"), folder)
    except (ValueError, OSError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    return 0


def _seed(text: str) -> int:
    try:
        return read_seed(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}") from error


def _workers(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more, got {text!r}")
    return int(text)


def main(arguments: list[str] | None = None, checkout: Path = CHECKOUT) -> int:
    """Run one command on a checkout and return the exit status."""
    print_anything()
    parser = argparse.ArgumentParser(prog="tools", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    course = commands.add_parser("course", help="run every lesson into build/ and print the comparison table")
    course.add_argument("--budget", choices=BUDGETS, help=f"default: MAGNET_BUDGET, else {FAST.name}")
    course.add_argument("--dataset", help="auto, mnist, digits or a folder; default: MAGNET_DATASET, else auto")
    course.add_argument("--seed", type=_seed, help="default: MAGNET_SEED, else 0")
    commands.add_parser(
        "notebooks", help="build notebooks/*.ipynb from their sources and execute them (fast budget, MNIST, seed 0)"
    )
    commands.add_parser(
        "address",
        help="write the repository's address (pyproject.toml) into the README and notebooks/*.ipynb, and the students' "
        "copies of the assignments",
    )
    commands.add_parser("student", help="write the assignments without solutions: build/student/assignments.zip")
    grade = commands.add_parser("grade", help="grade a folder of submissions and write grades.csv and feedback")
    grade.add_argument("submissions", type=Path, help="a folder with one folder or zip file for each student")
    grade.add_argument("--grades", type=Path, default=workspace() / "build" / "grading", help="default: build/grading")
    grade.add_argument("--workers", type=_workers, help="submissions at once; default: one on each core")
    grade.add_argument(
        "--unconfined", dest="confined", action="store_false", help="run students' code with your own rights"
    )
    again = commands.add_parser("stamp", help="give kept rows today's key, after a change proven to change no number")
    again.add_argument("results", type=Path, nargs="+", help="results files, for example data/results/paper.csv")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who ends this process may go on later, too
    if options.command == "stamp":
        return run_stamp(options.results)
    if options.command in ("student", "grade"):
        return run_coursework(options, checkout)
    # What executes notebooks is an optional extra, which the lessons themselves do without.
    try:
        from tools.site.course import Course, run_course
        from tools.site.notebooks import LessonFailedError
    except ImportError as error:
        print(f"{error}; lessons need the extra `course`: pip install '.[course]'", file=sys.stderr)
        return 2
    try:
        if options.command == "course":  # what the environment says is refused before anything is loaded
            choose_device()
            is_allowed()
            options.budget = get_budget(options.budget).name
            options.seed = get_seed() if options.seed is None else options.seed
    except ValueError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    lock = workspace() / "build" / ".course.lock"  # two courses with other settings would mix what they write
    try:
        with exclusively(lock, f"another process runs the lessons into {lock.parent}: waiting for it"):
            if options.command == "course":
                run_course(checkout, budget=options.budget, dataset=options.dataset, seed=options.seed)
            else:
                if options.command == "notebooks":
                    Course(checkout, FAST.name, "mnist", 0).run(checkout / "notebooks")
                return update_address(checkout)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on where this one was", file=sys.stderr)
        return 130
    except LessonFailedError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except (DataError, OSError, WorkerLostError) as error:  # no room on the disk, for example
        print(f"\n{error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
