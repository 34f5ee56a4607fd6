"""The command line: `python -m magnet_helpers course`, `notebooks` or `compile`."""

import argparse
import sys
from pathlib import Path

import torch

from magnet_helpers.budget import BUDGETS, FAST
from magnet_helpers.data import DataError
from magnet_helpers.models import IMAGE_SHAPE, ContractiveAutoencoder, ConvAutoencoder, ConvClassifier


def compile_loops() -> None:
    """Use every loop of `kernels` once: numba keeps what it has compiled on disk."""
    images = torch.zeros(2, *IMAGE_SHAPE, requires_grad=True)
    for model in (ConvClassifier(), ConvAutoencoder()):
        model(images).sum().backward()
    _, products = ContractiveAutoencoder().encode_along(images, images)
    products.sum().backward()


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
    commands.add_parser("compile", help="compile the fast loops now and not in the first lesson (half a minute, once)")
    options = parser.parse_args(arguments)
    if options.command == "compile":
        compile_loops()
        return 0
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
