"""Tasks: what can be made from settings and from what other tasks made, and is kept under a key.

A task says what it needs, and does its work from that alone: it reads and keeps no file, so that it can be done in this
process, in another one, or on another machine (`scheduler`).
"""

import platform
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import torch

from magnet_helpers.data import ImageData
from magnet_helpers.lab.code_version import code_version
from magnet_helpers.lab.store import Artifact, Settings
from magnet_helpers.training import Checkpoint

TaskT = TypeVar("TaskT", bound="Task")
Inputs = Mapping[str, Artifact]  # by the key of what was needed
# What decides about settings, and about nothing else: all that it decides is in the key beside the code.
_APART = (
    *("defenses:Defense", "defenses:NO_REFORMER", "defenses:denoising"),
    *("lab.budget:Budget", "lab.trainings:TrainingSpecs"),
)


class Task(ABC):
    """Something to be made: a value, with all that its outcome follows from but for the data.

    Attributes:
        plural: what progress bars call several of its kind.
    """

    plural: ClassVar[str]

    @property
    def needs(self) -> "tuple[Task, ...]":
        """The tasks whose outcomes it starts from."""
        return ()

    @property
    def work(self) -> float:
        """Roughly how long it takes; it decides about the order of work only. See `trainings` for the unit."""
        return 0.0

    @property
    def entries(self) -> tuple[object, ...]:
        """Where the code that makes it begins: its own class, and those that it is given without naming them."""
        return (type(self),)

    @property
    def code(self) -> str:
        """The version of all code that its outcome passes through (`code_version`)."""
        return code_version(*self.entries, apart=_APART)

    @abstractmethod
    def settings(self, fingerprint: str) -> Settings:
        """Return what the key of its outcome is made from, among it `kind`, `name` and the code.

        Args:
            fingerprint: of the data (`ImageData.fingerprint`).
        """

    @abstractmethod
    def run(
        self, inputs: Inputs, data: ImageData, device: torch.device, checkpoint: Checkpoint | None = None
    ) -> Artifact:
        """Do the work and return tensors and a record that JSON can hold.

        Args:
            inputs: the outcome of each of `needs`.
            data: training, validation and test images.
            device: where it is computed.
            checkpoint: where a task that takes long may keep its state meanwhile.
        """

    def announcement(self, made: Artifact) -> str:
        """Return what to tell the one who waits when this task was made here; empty: nothing."""
        return ""

    @cached_property
    def key(self) -> str:
        """Equal for tasks that have the same outcome from the same data."""
        return repr(self.settings(""))


def provenance(device: torch.device) -> dict[str, Any]:
    """Return what every record says of where its numbers come from: device and versions."""
    return {"device": str(device), "versions": {"python": platform.python_version(), "torch": torch.__version__}}


def with_needs(tasks: Iterable[Task]) -> list[Task]:
    """Return the tasks and all that they need, each once, what is needed first."""
    ordered: dict[str, Task] = {}

    def add(task: Task) -> None:
        if task.key not in ordered:
            for need in task.needs:
                add(need)
            ordered[task.key] = task

    for task in tasks:
        add(task)
    return list(ordered.values())


def longest_first(tasks: Sequence[TaskT]) -> list[TaskT]:
    """Return the tasks in the order in which several workers should take them.

    First comes what the longest chain of tasks waits for (the upward rank of Topcuoglu et al. 2002), so what is needed
    comes before what needs it.
    """
    ranks = {task.key: task.work for task in tasks}
    for task in reversed(with_needs(tasks)):  # what needs comes before what is needed
        for need in task.needs:
            if task.key in ranks and need.key in ranks:
                ranks[need.key] = max(ranks[need.key], need.work + ranks[task.key])
    return sorted(tasks, key=lambda task: -ranks[task.key])
