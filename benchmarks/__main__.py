"""`python -m benchmarks`: measure, print the tables, and write them to build/benchmarks/."""

import argparse
import os
import platform
import sys
from pathlib import Path

import torch

from benchmarks import attacks, growth, penalty, protocol, training
from magnet_helpers.artifacts import write_json, write_text
from magnet_helpers.device import choose_device
from magnet_helpers.parallel import usable_cores
from magnet_helpers.workspace import workspace

PARTS = ("training", "penalty", "attacks", "growth", "protocol")


def processor() -> str:
    """Return the processor's name and which vector instructions PyTorch found there."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
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


def main() -> None:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each thing is measured (default 5)")
    parser.add_argument("--images", type=int, default=1536, help="training images of a measured epoch (default 1536)")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="default: everything")
    parser.add_argument("--full", action="store_true", help="really run the paper's protocol, for hours")
    options = parser.parse_args()
    results: dict[str, object] = {
        "machine": {
            "processor": processor(),
            "cores": usable_cores(),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", ""),
        },
        "rounds": options.rounds,
        "images": options.images,
        "batch_size": training.BATCH_SIZE,
    }
    wanted = set(options.only) | ({"training", "attacks"} if "protocol" in options.only else set())
    parts: dict[str, list[dict[str, object]]] = {}
    if "training" in wanted:
        parts["training, images per second"] = training.measure(options.rounds, options.images, say)
    if "penalty" in wanted:
        parts["the Jacobian penalty"] = penalty.measure(options.rounds, say)
    if "attacks" in wanted:
        parts["attacks, white box"] = attacks.measure(options.rounds, options.images, say)
    if "growth" in wanted:
        parts["cost as the work grows"] = growth.measure(options.rounds, options.images, say)
    if "protocol" in wanted:
        trained, attacked = parts["training, images per second"], parts["attacks, white box"]
        rates = {
            str(row["case"]): float(str(row["ours" if row["case"] == "classifier" else "ours_on_each_core"]))
            for row in trained
        }
        minutes = protocol.project(rates, float(str(attacked[0]["images_per_second"])))
        parts["the paper's protocol for one seed, minutes projected from these rates"] = [
            {"part": part, "minutes": round(value, 1)} for part, value in minutes.items()
        ]
    text = "\n".join(f"## {name[0].upper()}{name[1:]}\n\n{table(rows)}" for name, rows in parts.items())
    machine = f"{processor()}, {usable_cores()} cores, torch {torch.__version__}"
    note = f"Medians of {options.rounds} interleaved rounds. Training: {options.images:,} images, batch "
    note += f"{training.BATCH_SIZE}. {machine}."
    folder = workspace() / "build" / "benchmarks"
    write_json(folder / "benchmarks.json", {**results, **parts})
    write_text(folder / "benchmarks.md", f"{text}\n{note}\n")
    print(f"{text}\n{note}\n\n{folder}/benchmarks.md and .json")
    if options.full:
        write_json(folder / "protocol.json", protocol.run(0, choose_device()))
        print(f"{folder}/protocol.json")


if __name__ == "__main__":
    main()
