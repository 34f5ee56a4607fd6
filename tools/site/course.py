"""The whole course in one go: every lesson executed in order, then the site, the figures and the table.

A lesson whose executed notebook is there already, made from the same source, code and settings, is not run again.
"""

import base64
import html
import json
import os
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode

import magnet_helpers
from magnet_helpers.data import load_images
from magnet_helpers.files import write_bytes, write_text
from magnet_helpers.lab import lessons
from magnet_helpers.lab.budget import get_budget
from magnet_helpers.lab.code_version import code_version
from magnet_helpers.lab.lab import Lab, get_seed
from magnet_helpers.lab.lessons import LESSONS, Lesson
from magnet_helpers.study.grid import GRID
from magnet_helpers.study.reports import write_comparison
from magnet_helpers.workspace import expanded, workspace
from tools.site.address import repository, with_badges
from tools.site.notebooks import Kernel, LessonFailedError, build_notebook, execute, renew, sources_digest

STAMP = "magnet_lab"
SECONDS_BETWEEN_LINES = 15.0


def lesson_modules() -> list[str]:
    """Return the names of all modules that a lesson may call: those in folders too."""
    root = Path(magnet_helpers.__file__).parent
    paths = [path.relative_to(root).with_suffix("") for path in root.rglob("*.py")]
    names = {".".join(part for part in path.parts if part != "__init__") for path in paths}
    return sorted(name for name in names if name and not name.startswith("__"))


def _package_version() -> str:
    return code_version(*lesson_modules())


class Progress:
    """One line that says where the course is and how long it may still take.

    On a terminal the line is written over; in a log a new one appears every few seconds.
    """

    def __init__(self, todo: list[Lesson], budget: str) -> None:
        self.todo, self.budget = todo, budget
        self.started = self.last = time.monotonic()
        self.finished: list[Lesson] = []

    def _minutes(self, counted: list[Lesson]) -> float:
        return sum(lesson.minutes[self.budget] for lesson in counted)

    def remaining_minutes(self, current: Lesson, share: float) -> float:
        """Return the expected minutes, corrected by how fast the machine has been so far."""
        elapsed = (time.monotonic() - self.started) / 60
        inside = current.minutes[self.budget]
        done = self._minutes(self.finished) + share * inside
        left = self._minutes(self.todo) - done
        pace = elapsed / done if done > inside / 2 else 1.0
        return left * max(pace, 0.1)

    def show(self, lesson: Lesson, cell: int, cells: int, text: str) -> None:
        """Write the line, unless one was written a moment ago."""
        now = time.monotonic()
        is_terminal = sys.stderr.isatty()
        if now - self.last < (0.2 if is_terminal else SECONDS_BETWEEN_LINES) and cell > 0:
            return
        self.last = now
        number = self.todo.index(lesson) + 1
        left = self.remaining_minutes(lesson, cell / max(cells, 1))
        line = f"[{number}/{len(self.todo)}] {lesson.name} cell {cell + 1}/{cells}, about {left:.1f} min left | {text}"
        sys.stderr.write(f"\r\033[K{line[:118]}" if is_terminal else f"{line}\n")
        sys.stderr.flush()

    def done(self, lesson: Lesson, seconds: float) -> None:
        """Write that a lesson is finished."""
        self.finished.append(lesson)
        end = "\r\033[K" if sys.stderr.isatty() else ""
        sys.stderr.write(f"{end}{lesson.name}: {seconds:.0f} s\n")


@dataclass(frozen=True)
class Course:
    """Where the lessons come from, where the results go, and what they are made with."""

    root: Path
    budget: str
    dataset: str
    seed: int

    @property
    def sources(self) -> Path:
        """The folder of the lesson sources."""
        return self.root / "notebooks" / "source"

    def environment(self) -> dict[str, str]:
        """Return the variables that tell a lesson what to run with."""
        variables = {
            "MAGNET_BUDGET": self.budget,
            "MAGNET_DATASET": self.dataset,
            "MAGNET_SEED": str(self.seed),
            "MAGNET_HOME": str(workspace()),
            # Else waiting threads spin: beside a busy neighbour, a training with two threads then fell to a third of
            # its speed, not to a half (2 cores).
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive"),
        }
        # A lesson runs in another folder than this command: a relative path would mean another place there.
        if os.environ.get("MAGNET_DATA"):
            variables["MAGNET_DATA"] = str(expanded(os.environ["MAGNET_DATA"]).resolve())
        return variables

    def stamp(self, notebook: NotebookNode) -> dict[str, object]:
        """Return what an executed notebook's outputs follow from."""
        return {
            "budget": self.budget,
            "dataset": self.dataset,
            "seed": self.seed,
            "cells": sources_digest(notebook),
            "code": _package_version(),
        }

    def run(self, folder: Path) -> list[Path]:
        """Execute every lesson that is not there already and return the paths of all."""
        built = {lesson: build_notebook(self.sources / f"{lesson.name}.py") for lesson in LESSONS}
        todo = [lesson for lesson in LESSONS if not self._is_there(folder / f"{lesson.name}.ipynb", built[lesson])]
        for lesson in LESSONS:
            if lesson not in todo:
                sys.stderr.write(f"{lesson.name}: there already\n")
        progress = Progress(todo, self.budget)
        kernels = self._kernels(len(todo))
        try:
            for lesson, kernel in zip(todo, kernels, strict=True):
                self._run_lesson(lesson, built[lesson], kernel, progress, folder)
        finally:
            kernels.close()
        return [folder / f"{lesson.name}.ipynb" for lesson in LESSONS]

    def _kernels(self, count: int) -> Generator[Kernel, None, None]:
        """Give one kernel after the other; each starts when the one before it is taken, and all end in the end."""
        present = following = None
        try:
            for number in range(count):
                present = following or self._kernel()
                following = self._kernel() if number + 1 < count else None
                yield present
        finally:
            for kernel in (present, following):
                if kernel is not None:
                    kernel.stop()

    def _kernel(self) -> Kernel:
        return Kernel(self.sources.parent, self.environment())

    def _run_lesson(
        self, lesson: Lesson, notebook: NotebookNode, kernel: Kernel, progress: Progress, folder: Path
    ) -> None:
        stamp = self.stamp(notebook)

        def report(cell: int, cells: int, text: str) -> None:
            progress.show(lesson, cell, cells, text)

        try:
            seconds = execute(notebook, kernel, report)
        except LessonFailedError as error:
            raise LessonFailedError(f"{lesson.name} failed in {error}") from error
        notebook.metadata[STAMP] = {**stamp, "seconds": round(seconds)}
        write_text(folder / f"{lesson.name}.ipynb", nbformat.writes(notebook) + "\n")
        progress.done(lesson, seconds)

    def _is_there(self, path: Path, notebook: NotebookNode) -> bool:
        if not path.exists():
            return False
        try:
            made = dict(nbformat.read(path, as_version=4).metadata.get(STAMP, {}))
        except (ValueError, AttributeError, KeyError, TypeError):  # not a notebook: it is made again
            return False
        made.pop("seconds", None)
        return made == self.stamp(notebook)


def write_address(checkout: Path) -> None:
    """Write the repository's address, as `pyproject.toml` has it, into the README and the executed notebooks.

    Raises:
        ValueError: if a notebook differs from its source in more than that.
    """
    readme = checkout / "README.md"
    write_text(readme, with_badges(readme.read_text(encoding="utf-8"), repository()))
    for lesson in LESSONS:
        path = checkout / "notebooks" / f"{lesson.name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        try:
            renew(notebook, build_notebook(checkout / "notebooks" / "source" / f"{lesson.name}.py"))
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error
        notebook.metadata[STAMP]["cells"] = sources_digest(notebook)
        write_text(path, nbformat.writes(notebook) + "\n")


def write_figures(notebooks: list[Path], folder: Path) -> list[Path]:
    """Write every named figure of executed notebooks as a PNG file and return the paths."""
    paths = []
    for path in notebooks:
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                name = output.get("metadata", {}).get("image/png", {}).get("name")
                if name:
                    paths.append(folder / f"{path.stem[:2]}_{name}.png")
                    write_bytes(paths[-1], base64.b64decode(output.data["image/png"]))
    return paths


def write_site(notebooks: list[Path], folder: Path) -> Path:
    """Write one HTML page per executed lesson and an index, and return the index."""
    exporter = HTMLExporter(template_name="classic")
    items = []
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        page, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": path.stem}})
        write_text(folder / f"{path.stem}.html", page)
        title = html.escape(lessons.get_lesson(path.stem).title)
        items.append(f'<li><a href="{path.stem}.html">{path.stem[:2]} · {title}</a></li>')
    made = nbformat.read(notebooks[0], as_version=4).metadata[STAMP]
    text = html.escape(f"{made['budget']} budget, dataset {made['dataset']}, seed {made['seed']}")
    index = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>MagNet Lab</title>'
        "<style>body{font-family:sans-serif;max-width:40em;margin:3em auto;line-height:1.6}</style></head>"
        f"<body><h1>MagNet Lab</h1><p>The lessons, executed with the {text}.</p><ul>{''.join(items)}</ul></body></html>"
    )
    write_text(folder / "index.html", index)
    return folder / "index.html"


def run_course(
    checkout: Path, *, budget: str | None = None, dataset: str | None = None, seed: int | None = None
) -> None:
    """Run the lessons of a checkout, write `build/` in the workspace, and print the comparison table."""
    wanted = dataset or os.environ.get("MAGNET_DATASET") or "auto"
    found = load_images(wanted).source  # decided, and downloaded, once and before any lesson
    course = Course(checkout, get_budget(budget).name, found, get_seed() if seed is None else seed)
    build = workspace() / "build"
    notebooks = course.run(build / "notebooks")
    figures = write_figures(notebooks, build / "figures")
    index = write_site(notebooks, build / "site")
    # Lesson 07 wrote it, but meanwhile it may be gone, or another run's.
    results = write_comparison(Lab(get_budget(course.budget), load_images(found), course.seed), GRID)
    print_comparison(results)
    print(f"\nlessons {index}\nfigures {build / 'figures'} ({len(figures)})\nresults {results} and .csv")


def print_comparison(path: Path) -> None:
    """Print the table of `comparison.json`, accuracies in percent."""
    record = json.loads(path.read_text(encoding="utf-8"))
    print(f"\nAccuracy in % · {record['dataset']} · {record['budget']} budget · seed {record['seed']}")
    print(f"{'defence':<18}{'stacks':>7}{'noise':>7}{'λ':>8}{'clean':>9}{'grey box':>10}{'white box':>11}")
    for row in record["rows"]:
        numbers = [100 * row[key]["correct"] / row[key]["total"] for key in ("clean", "grey box", "white box")]
        noise, weight = (row.get(key, "") for key in ("noise_std", "penalty_weight"))
        print(
            f"{row['family']:<18}{row['n_stacks']:>7}{noise:>7}{weight:>8}"
            f"{numbers[0]:>9.1f}{numbers[1]:>10.1f}{numbers[2]:>11.1f}"
        )
