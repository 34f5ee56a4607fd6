"""`python -m benchmarks`: measure, print the tables, and write them to build/benchmarks/."""

import argparse
import os
import platform
import sys
from pathlib import Path

import torch

from benchmarks import training
from magnet_helpers.artifacts import write_json, write_text
from magnet_helpers.parallel import usable_cores
from magnet_helpers.workspace import workspace


def processor() -> str:
    """Return the processor's name and which vector instructions PyTorch found there."""
    path = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in path.read_text().splitlines() if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {torch.backends.cpu.get_cpu_capability()}"


def training_table(rows: list[dict[str, object]]) -> str:
    """Return the rows as a Markdown table, images per second."""
    head = "| images per second | textbook loop | ours | ratio | ours, one on each core | ratio | floor |\n"
    lines = [
        f"| {row['case']} | {row['textbook']:,} | {row['ours']:,} | {row['ratio']} "
        f"| {row['ours_on_each_core']:,} | {row['ratio_on_each_core']} | {row['floor']:,} |"
        for row in rows
    ]
    return head + "|---|---|---|---|---|---|---|\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each thing is measured (default 5)")
    parser.add_argument("--images", type=int, default=1536, help="training images of a measured epoch (default 1536)")
    options = parser.parse_args()
    machine = {
        "processor": processor(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", ""),
    }
    rows = training.measure(options.rounds, options.images, lambda text: print(text, file=sys.stderr))
    note = (
        f"Medians of {options.rounds} interleaved rounds, {options.images:,} images each, batch "
        f"{training.BATCH_SIZE}. {machine['processor']}, {machine['cores']} cores, torch {machine['torch']}."
    )
    folder = workspace() / "build" / "benchmarks"
    write_json(folder / "benchmarks.json", {"machine": machine, "training": rows})
    write_text(folder / "benchmarks.md", f"{training_table(rows)}\n{note}\n")
    print(f"{training_table(rows)}\n{note}\n\n{folder}/benchmarks.md and .json")


if __name__ == "__main__":
    main()
