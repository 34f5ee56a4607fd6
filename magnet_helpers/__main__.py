"""The command line: `python -m magnet_helpers` and a command; `--help` lists them."""

import argparse
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch

from magnet_helpers.attack_results import run_study
from magnet_helpers.budget import BUDGETS, FAST, PAPER, get_budget
from magnet_helpers.cells import Cell
from magnet_helpers.data import DataError, load_images
from magnet_helpers.device import Precision, reduced_precision
from magnet_helpers.lab import Lab
from magnet_helpers.models import IMAGE_SHAPE, ContractiveAutoencoder, ConvAutoencoder, ConvClassifier
from magnet_helpers.reproduce import PARTS, reproduce
from magnet_helpers.workspace import workspace


def compile_loops() -> None:
    """Use every loop of `kernels` once: numba keeps what it has compiled on disk."""
    images = torch.zeros(2, *IMAGE_SHAPE, requires_grad=True)
    both: tuple[Precision, ...] = ("float32", "auto")
    for precision in both:  # attacks and evaluations, and trainings
        with reduced_precision(images.device, precision):
            outputs = [model(images) for model in (ConvClassifier(), ConvAutoencoder())]
            outputs.append(ContractiveAutoencoder().encode_along(images, images)[1])
        for each in outputs:
            each.sum().backward()


def run_reproduction(options: argparse.Namespace) -> int:
    """Carry out `reproduce` and return the exit status."""
    path = options.results or workspace() / "build" / "results" / f"{options.budget}.csv"
    try:
        lab = Lab(get_budget(options.budget), load_images(options.dataset))
        with ExitStack() as stack:
            make: Callable[[Iterable[Cell]], None] = lab.make
            if options.dask:
                try:
                    from distributed import Client
                except ImportError as error:
                    raise ValueError("--dask needs the extra `cluster`: pip install '.[cluster]'") from error

                from magnet_helpers.cluster import make_on_cluster

                make = partial(make_on_cluster, lab, client=stack.enter_context(Client(options.dask)))
            rows = reproduce(lab, options.seeds, options.parts, path, make)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on where this one was", file=sys.stderr)
        return 130
    except (DataError, ValueError, OSError) as error:  # the last: no scheduler at that address, or no room on the disk
        print(f"\n{error}", file=sys.stderr)
        return 2
    from magnet_helpers.summary import write_summary

    write_summary(path.with_suffix(".md"), rows)
    print(f"{len(rows)} rows in {path}, in words in {path.with_suffix('.md')}")
    return 0


def run_attack_study(options: argparse.Namespace) -> int:
    """Carry out `attack` and return the exit status."""
    path = options.results or workspace() / "build" / "results" / f"{options.budget}_attacks.csv"
    try:
        results = run_study(Lab(get_budget(options.budget), load_images(options.dataset)), options.seeds, path)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on where this one was", file=sys.stderr)
        return 130
    except (DataError, ValueError, OSError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    from magnet_helpers.attack_tables import write_attack_summary

    write_attack_summary(path.with_suffix(".md"), results)
    print(f"{len(results.rows)} rows in {path}, in words in {path.with_suffix('.md')}")
    return 0


def run_coursework(options: argparse.Namespace, checkout: Path) -> int:
    """Carry out `student` or `grade` and return the exit status."""
    sources = checkout / "notebooks" / "assignments" / "source"
    try:
        from magnet_helpers.coursework.assignments import read_assignments
        from magnet_helpers.coursework.confinement import ConfinementError
        from magnet_helpers.coursework.grading import GradingError, grade_folder
        from magnet_helpers.coursework.students import zip_student_copies
        from magnet_helpers.coursework.submissions import SubmissionError
    except ImportError as error:
        print(f"{error}; coursework needs the extra `coursework`: pip install '.[coursework]'", file=sys.stderr)
        return 2
    if options.command == "student":
        assignments = read_assignments(sources)
        path = zip_student_copies(assignments, workspace() / "build" / "student" / "assignments.zip")
        print(f"{len(assignments)} assignments in {path}")
        return 0
    try:
        path = grade_folder(sources, options.submissions, options.grades, options.workers, confined=options.confined)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on where this one was", file=sys.stderr)
        return 130
    except (ConfinementError, GradingError, SubmissionError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    print(f"marks {path}\nfeedback {path.parent / 'feedback'}\nfor the tasks that a person reads: {path.parent}")
    return 0


def update_address(checkout: Path) -> int:
    """Carry out `address` and return the exit status."""
    from magnet_helpers.course import write_address
    from magnet_helpers.coursework.assignments import read_assignments
    from magnet_helpers.coursework.students import write_student_copies

    folder = checkout / "notebooks" / "assignments"
    try:
        write_address(checkout)
        write_student_copies(read_assignments(folder / "source"), folder)
    except ValueError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = argparse.ArgumentParser(prog="magnet_helpers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    course = commands.add_parser("course", help="run every lesson into build/ and print the comparison table")
    course.add_argument("--budget", choices=BUDGETS, help=f"default: MAGNET_BUDGET, else {FAST.name}")
    course.add_argument("--dataset", choices=("auto", "mnist", "digits"), help="default: MAGNET_DATASET, else auto")
    course.add_argument("--seed", type=int, help="default: MAGNET_SEED, else 0")
    commands.add_parser(
        "notebooks", help="build notebooks/*.ipynb from their sources and execute them (fast budget, MNIST, seed 0)"
    )
    commands.add_parser(
        "address", help="write the repository's address (pyproject.toml) into the README and notebooks/*.ipynb"
    )
    again = commands.add_parser("reproduce", help="run the paper's protocol for several seeds and write a results file")
    again.add_argument("--parts", choices=PARTS, nargs="+", default=["grid"], help="default: grid (Tables 2 to 4)")
    again.add_argument("--results", type=Path, help="default: build/results/BUDGET.csv; rows are added to it")
    again.add_argument("--dask", metavar="ADDRESS", help="of a Dask scheduler, for example tcp://127.0.0.1:8786")
    attack = commands.add_parser("attack", help="put every defence under every attack of lesson 09 and write a file")
    for each in (again, attack):
        each.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
        each.add_argument("--budget", choices=BUDGETS, default=PAPER.name, help="default: paper (hours for each seed)")
        each.add_argument("--dataset", choices=("mnist", "digits"), default="mnist", help="default: mnist")
    attack.add_argument("--results", type=Path, help="default: build/results/BUDGET_attacks.csv; rows are added to it")
    commands.add_parser("compile", help="compile the fast loops now and not in the first lesson (half a minute, once)")
    commands.add_parser("student", help="write the assignments without solutions: build/student/assignments.zip")
    grade = commands.add_parser("grade", help="grade a folder of submissions and write grades.csv and feedback")
    grade.add_argument("submissions", type=Path, help="a folder with one folder or zip file for each student")
    grade.add_argument("--grades", type=Path, default=workspace() / "build" / "grading", help="default: build/grading")
    grade.add_argument("--workers", type=int, help="submissions at once; default: one on each core")
    grade.add_argument(
        "--unconfined", dest="confined", action="store_false", help="run students' code with your own rights"
    )
    options = parser.parse_args(arguments)
    if options.command == "compile":
        compile_loops()
        return 0
    if options.command == "reproduce":
        return run_reproduction(options)
    if options.command == "attack":
        return run_attack_study(options)
    checkout = Path(__file__).resolve().parents[1]
    if not (checkout / "notebooks" / "source").is_dir():
        parser.error(
            f"there are no lesson sources in {checkout / 'notebooks'}: install the package from a checkout (-e)"
        )
    if options.command in ("student", "grade"):
        return run_coursework(options, checkout)
    # What executes notebooks is an optional extra, which the lessons themselves do without.
    from magnet_helpers.course import Course, run_course
    from magnet_helpers.notebooks import LessonFailedError

    try:
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
    except DataError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
