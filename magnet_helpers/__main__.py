"""The command line: `python -m magnet_helpers` and a command; `--help` lists them."""

import argparse
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from magnet_helpers.data import DataError, load_images
from magnet_helpers.device import Precision, choose_device, reduced_precision
from magnet_helpers.fast.loops import are_there
from magnet_helpers.fast.switch import is_allowed, sooner
from magnet_helpers.files import print_anything
from magnet_helpers.jacobian import codes_and_frobenius_squared
from magnet_helpers.lab.budget import BUDGETS, PAPER, get_budget
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.scheduler import Crew
from magnet_helpers.models import IMAGE_SHAPE, ContractiveAutoencoder, ConvAutoencoder, ConvClassifier
from magnet_helpers.seeds import read_seed
from magnet_helpers.study.plan import PARTS
from magnet_helpers.workspace import workspace

if TYPE_CHECKING:
    from magnet_helpers.study.run import Measurement


def _compile_loops() -> None:
    """Use every compiled loop once: numba keeps what it has compiled on disk."""
    images = torch.zeros(2, *IMAGE_SHAPE, requires_grad=True)
    both: tuple[Precision, ...] = ("float32", "auto")
    for precision in both:  # attacks and evaluations, and trainings
        for model in (ConvClassifier(), ConvAutoencoder(), contractive := ContractiveAutoencoder()):
            with sooner(model):
                with reduced_precision(images.device, precision):
                    if model is contractive:
                        output = codes_and_frobenius_squared(contractive.encode, images)[1]
                    else:
                        output = model(images)
                output.sum().backward()


def run(options: argparse.Namespace) -> int:
    """Carry out one of the two studies and return the exit status."""
    from magnet_helpers.study.plan import attack_study, protocol
    from magnet_helpers.study.reports import check_report, write_attack_report, write_protocol_report
    from magnet_helpers.study.run import check_seeds, run_study

    is_protocol = options.command == "reproduce"
    name = f"{options.budget}.csv" if is_protocol else f"{options.budget}_attacks.csv"
    path = options.results or workspace() / "build" / "results" / name
    try:
        choose_device()  # what the environment says is refused before anything is loaded
        is_allowed()
        check_seeds(options.seeds)
        check_report(path.with_suffix(".md"))
        lab = Lab(get_budget(options.budget), load_images(options.dataset))
        steps: Sequence[Sequence[Measurement]]
        if is_protocol:
            steps = protocol(lab.budget, options.seeds, options.parts, len(lab.test), lab.data.n_classes)
        else:
            images = min(lab.budget.trial_images, len(lab.data.test))
            steps = [attack_study(lab.budget, seed, images, lab.data.n_classes) for seed in options.seeds]
        with ExitStack() as stack:
            crew = stack.enter_context(_cluster(options.dask, lab, stack)) if options.dask else None
            results = run_study(lab, steps, path, crew)
        (write_protocol_report if is_protocol else write_attack_report)(path.with_suffix(".md"), results)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on where this one was", file=sys.stderr)
        return 130
    except (DataError, ValueError, OSError, RuntimeError) as error:  # no scheduler at that address, no room on the disk
        print(f"\n{error}", file=sys.stderr)
        return 2
    print(f"{len(results.rows)} rows in {path}, in words in {path.with_suffix('.md')}")
    return 0


def _seed(text: str) -> int:
    try:
        return read_seed(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}") from error


def _results_file(text: str) -> Path:
    """Return the path of a results file: the report beside it has the same name and ends with .md."""
    if not text.endswith(".csv"):
        raise argparse.ArgumentTypeError(f"expected a file whose name ends with .csv, got {text}")
    return Path(text)


def _cluster(address: str, lab: Lab, stack: ExitStack) -> Crew:
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError("--dask needs the extra `cluster`: pip install '.[cluster]'") from error
    from magnet_helpers.lab.cluster import Cluster

    return Cluster(stack.enter_context(Client(address)), lab.data, lab.store)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    print_anything()
    parser = argparse.ArgumentParser(prog="magnet_helpers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    again = commands.add_parser("reproduce", help="run the paper's protocol for several seeds and write a results file")
    again.add_argument("--parts", choices=PARTS, nargs="+", default=["grid"], help="default: grid (Tables 2 to 4)")
    attack = commands.add_parser("attack", help="put every defence under every attack of lesson 09 and write a file")
    for command, name in {again: "BUDGET.csv", attack: "BUDGET_attacks.csv"}.items():
        text = f"default: build/results/{name}; rows are added to it"
        command.add_argument("--results", type=_results_file, metavar="FILE.csv", help=text)
        command.add_argument("--dask", metavar="ADDRESS", help="of a Dask scheduler, for example tcp://127.0.0.1:8786")
        command.add_argument("--seeds", type=_seed, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
        command.add_argument("--budget", choices=BUDGETS, default=PAPER.name, help="default: paper: hours a seed")
        command.add_argument(
            "--dataset", default="mnist", metavar="NAME", help="mnist (default), digits, or a folder of IDX files"
        )
    commands.add_parser("compile", help="compile the fast loops now and not in the first lesson (half a minute, once)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who ends this process may go on later, too
    if options.command == "compile":
        try:
            _compile_loops()
        except ValueError as error:
            print(f"\n{error}", file=sys.stderr)
            return 2
        if not is_allowed() or not are_there():  # PyTorch's own layers do as well: no reason to stop an installation
            print("nothing is compiled: there is no numba that works, or it is switched off", file=sys.stderr)
        return 0
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
