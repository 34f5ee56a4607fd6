"""The command line: `python -m magnet_helpers` and a command; `--help` lists them."""

import argparse
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch

from magnet_helpers.data import DataError, load_images
from magnet_helpers.device import Precision, reduced_precision
from magnet_helpers.lab.budget import BUDGETS, PAPER, get_budget
from magnet_helpers.lab.cells import Cell
from magnet_helpers.lab.lab import Lab
from magnet_helpers.models import IMAGE_SHAPE, ContractiveAutoencoder, ConvAutoencoder, ConvClassifier
from magnet_helpers.study.attack_results import run_study
from magnet_helpers.study.reproduce import PARTS, reproduce
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

                from magnet_helpers.study.cluster import make_on_cluster

                make = partial(make_on_cluster, lab, client=stack.enter_context(Client(options.dask)))
            rows = reproduce(lab, options.seeds, options.parts, path, make)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on where this one was", file=sys.stderr)
        return 130
    except (DataError, ValueError, OSError) as error:  # the last: no scheduler at that address, or no room on the disk
        print(f"\n{error}", file=sys.stderr)
        return 2
    from magnet_helpers.study.summary import write_summary

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
    from magnet_helpers.study.attack_tables import write_attack_summary

    write_attack_summary(path.with_suffix(".md"), results)
    print(f"{len(results.rows)} rows in {path}, in words in {path.with_suffix('.md')}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = argparse.ArgumentParser(prog="magnet_helpers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    again = commands.add_parser("reproduce", help="run the paper's protocol for several seeds and write a results file")
    again.add_argument("--parts", choices=PARTS, nargs="+", default=["grid"], help="default: grid (Tables 2 to 4)")
    again.add_argument("--results", type=Path, help="default: build/results/BUDGET.csv; rows are added to it")
    again.add_argument("--dask", metavar="ADDRESS", help="of a Dask scheduler, for example tcp://127.0.0.1:8786")
    attack = commands.add_parser("attack", help="put every defence under every attack of lesson 09 and write a file")
    for each in (again, attack):
        each.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
        each.add_argument("--budget", choices=BUDGETS, default=PAPER.name, help="default: paper (hours for each seed)")
        each.add_argument(
            "--dataset", default="mnist", metavar="NAME", help="mnist (default), digits, or a folder of IDX files"
        )
    attack.add_argument("--results", type=Path, help="default: build/results/BUDGET_attacks.csv; rows are added to it")
    commands.add_parser("compile", help="compile the fast loops now and not in the first lesson (half a minute, once)")
    options = parser.parse_args(arguments)
    if options.command == "compile":
        compile_loops()
        return 0
    return run_reproduction(options) if options.command == "reproduce" else run_attack_study(options)


if __name__ == "__main__":
    sys.exit(main())
