"""The command line: `python -m magnet_helpers course` and `python -m magnet_helpers notebooks`."""

import argparse
import sys
from pathlib import Path

from magnet_helpers.budget import BUDGETS, FAST
from magnet_helpers.data import DataError


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
    options = parser.parse_args(arguments)
    # What executes notebooks is an optional extra, which the lessons themselves do without.
    from magnet_helpers.course import Course, run_course
    from magnet_helpers.notebooks import LessonFailedError

    checkout = Path(__file__).resolve().parents[1]
    if not (checkout / "notebooks" / "source").is_dir():
        parser.error(
            f"there are no lesson sources in {checkout / 'notebooks'}: install the package from a checkout (-e)"
        )
    try:
        if options.command == "course":
            run_course(checkout, budget=options.budget, dataset=options.dataset, seed=options.seed)
        else:
            Course(checkout, FAST.name, "mnist", 0).run(checkout / "notebooks")
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
