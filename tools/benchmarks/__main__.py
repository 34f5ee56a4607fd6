"""`python -m tools.benchmarks`: measure, print the tables, and write them to build/benchmarks/."""

import argparse
import os
import platform
import sys
from pathlib import Path

import torch

from magnet_helpers.device import precision_on
from magnet_helpers.files import print_anything, write_json, write_text
from magnet_helpers.lab.budget import BUDGETS, FAST
from magnet_helpers.lab.scheduler import usable_cores
from magnet_helpers.workspace import workspace
from tools.benchmarks import attacks, growth, penalty, precision, protocol, training

BENCHMARKS = ("training", "penalty", "attacks", "growth", "protocol")


def processor() -> str:
    """Return the processor's name and which vector instructions PyTorch found there."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {torch.backends.cpu.get_cpu_capability()}"


def table(rows: list[dict[str, object]]) -> str:
    """Return rows as a Markdown table, a column for each key."""
    keys = [key for key in max(rows, key=len) if key != "rounds"]
    lines = ["| " + " | ".join(key.replace("_", " ") for key in keys) + " |", "|" + "---|" * len(keys)]
    for row in rows:
        cells = (row.get(key, "") for key in keys)
        lines.append("| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def say(text: str) -> None:
    """Tell the one who waits what is being measured."""
    print(text, file=sys.stderr, flush=True)


def _device(text: str) -> torch.device:
    try:
        device = torch.device(text)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter: PyTorch was built without CUDA
        raise argparse.ArgumentTypeError(f"{text!r} is not here: {str(error).splitlines()[0]}") from error
    return device


def main() -> None:
    """Run the benchmarks."""
    print_anything()
    parser = argparse.ArgumentParser(prog="tools.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each thing is measured (default 5)")
    parser.add_argument("--images", type=int, help="training images of a measured epoch (default 1536, on CUDA 12800)")
    parser.add_argument(
        "--only", choices=(*BENCHMARKS, "precision"), nargs="+", default=BENCHMARKS, help="default: all but the last"
    )
    parser.add_argument("--device", type=_device, default=torch.device("cpu"), help="cpu (default), cuda or mps")
    parser.add_argument("--budget", choices=BUDGETS, default=FAST.name, help="of the precision part (default fast)")
    parser.add_argument("--full", action="store_true", help="really run the paper's protocol: hours on a CPU")
    options = parser.parse_args()
    device = options.device
    count = options.images or (12_800 if device.type == "cuda" else 1536)
    machine = {
        "processor": processor(),
        "cores": usable_cores(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "threads": torch.get_num_threads(),
        "precision": precision_on(device, "auto"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", ""),
    }
    wanted = set(options.only) | ({"training", "attacks"} if "protocol" in options.only else set())
    parts: dict[str, list[dict[str, object]]] = {}
    if "training" in wanted:
        parts["training, images per second"] = training.measure(options.rounds, count, device, say)
    if "penalty" in wanted:
        parts["the Jacobian penalty"] = penalty.measure(options.rounds, device, say)
    if "attacks" in wanted:
        parts["attacks, white box"] = attacks.measure(options.rounds, count, device, say)
    if "growth" in wanted:
        parts["cost as the work grows"] = growth.measure(options.rounds, count, device, say)
    if "precision" in wanted:
        parts["accuracy in both precisions, %"] = precision.measure(options.budget, device, say)
    if "protocol" in wanted:
        trained, attacked = parts["training, images per second"], parts["attacks, white box"]
        rates = {str(row["case"]): float(str(row["ours_several_at_once"])) for row in trained}
        minutes = protocol.project(rates, float(str(attacked[0]["images_per_second"])))
        parts["the paper's protocol for one seed, minutes projected from these rates"] = [
            {"part": part, "minutes": round(value, 1)} for part, value in minutes.items()
        ]
    text = "\n".join(f"## {name[0].upper()}{name[1:]}\n\n{table(rows)}" for name, rows in parts.items())
    note = f"Medians of {options.rounds} interleaved rounds. Training: {count:,} images, batch {training.BATCH_SIZE}. "
    note += (
        ", ".join(str(machine[key]) for key in ("processor", "device", "precision"))
        + f", {machine['cores']} cores, torch {machine['torch']}."
    )
    folder = workspace() / "build" / "benchmarks"
    settings = {"machine": machine, "rounds": options.rounds, "images": count, "batch_size": training.BATCH_SIZE}
    write_json(folder / "benchmarks.json", {**settings, **parts})
    write_text(folder / "benchmarks.md", f"{text}\n{note}\n")
    print(f"{text}\n{note}\n\n{folder}/benchmarks.md and .json")
    if options.full:
        say("protocol: the paper's, one seed")
        result = protocol.run(0, device)
        write_json(folder / "protocol.json", result)
        print(f"the paper's protocol, one seed: {result['seconds']} s, see {folder}/protocol.json")


if __name__ == "__main__":
    main()
