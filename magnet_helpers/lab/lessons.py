"""The lessons: their order, their titles, how long they take, and the call that each of them begins with."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from magnet_helpers.lab.hosts import gpu_hint
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.scheduler import usable_cores


@dataclass(frozen=True)
class Lesson:
    """One notebook.

    Attributes:
        name: file name without ending.
        title: as in its first line.
        minutes: what its own work takes on 2 CPU cores with each budget, run in order: rounded from a few runs on a
            shared machine; for the paper's budget projected from images per second, and never run.
        gpu: the graphics processor that Colab starts it with; empty for a lesson that trains no network. Each of ours
            trains at least the classifier where no other lesson has run before, and on Colab none has.
    """

    name: str
    title: str
    minutes: Mapping[str, float] = field(hash=False)
    gpu: str = "T4"

    @property
    def duration(self) -> str:
        """The line in its first cell that says how long it takes."""
        texts = [f"{_in_words(minutes)} with the `{budget}` budget" for budget, minutes in self.minutes.items()]
        return f"**Time** on 2 CPU cores, if the lessons before it have run: {', '.join(texts)}."


LESSONS = (
    Lesson("00_start_here", "Start here", {"smoke": 0.3, "fast": 3.5, "paper": 60}),
    Lesson("01_classifier", "The classifier", {"smoke": 0.2, "fast": 0.2, "paper": 0.5}),
    Lesson("02_vanilla_autoencoder", "The vanilla autoencoder", {"smoke": 0.2, "fast": 0.4, "paper": 1}),
    Lesson("03_denoising_autoencoder", "The denoising autoencoder", {"smoke": 0.2, "fast": 0.6, "paper": 3}),
    Lesson(
        "04_stacked_denoising_autoencoder", "Stacked denoising autoencoders", {"smoke": 0.3, "fast": 1.7, "paper": 40}
    ),
    Lesson("05_contractive_autoencoder", "The contractive autoencoder", {"smoke": 0.4, "fast": 2.5, "paper": 75}),
    Lesson("06_attacks", "Attacks", {"smoke": 0.3, "fast": 1.5, "paper": 30}),
    Lesson("07_comparison", "The comparison", {"smoke": 0.3, "fast": 2, "paper": 60}),
    Lesson("08_magnet_detectors", "The whole MagNet: detectors", {"smoke": 0.3, "fast": 2, "paper": 20}),
    Lesson("09_breaking_magnet", "Breaking MagNet", {"smoke": 0.4, "fast": 3.5, "paper": 180}),
)


def _in_words(minutes: float) -> str:
    if minutes < 1:
        return "under a minute"
    if minutes < 90:
        return f"about {minutes:.0f} minute{'s' * (round(minutes) != 1)}"
    return f"about {minutes / 60:.0f} hours"


def get_lesson(name: str) -> Lesson:
    """Return the lesson of that name, or of that number: `"01"`.

    Raises:
        ValueError: if there is none.
    """
    for lesson in LESSONS:
        if name in (lesson.name, lesson.name[:2]):
            return lesson
    raise ValueError(f"there is no lesson {name!r}; there are {', '.join(lesson.name for lesson in LESSONS)}")


def start_lesson(name: str) -> Lab:
    """Say what this lesson will run with, how long it may take, and whether a GPU lies idle, and return its `Lab`.

    The environment variables `MAGNET_BUDGET`, `MAGNET_DATASET`, `MAGNET_SEED` and `MAGNET_DEVICE` choose.
    """
    lesson = get_lesson(name)
    lab = Lab()
    print(f"dataset: {lab.data.title}, {len(lab.data.train):,} training images")
    print(
        f"budget:  {lab.budget.name}"
        + ("" if lab.budget.is_papers else ", smaller than the paper's: so are its results")
    )
    print(f"seed:    {lab.seed}")
    print(f"device:  {lab.device}, {usable_cores()} CPU cores")
    print(
        f"time:    {_in_words(lesson.minutes[lab.budget.name])} on 2 CPU cores, if the lessons before it have run; "
        "else their networks are trained too"
    )
    hint = gpu_hint(lab.device, os.environ) if lesson.gpu else ""
    if hint:
        print(f"hint:    {hint}")
    return lab
