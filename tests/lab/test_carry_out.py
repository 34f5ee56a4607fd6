"""What a crew's work ends with, and what it asks the tasks, on tasks that are done as soon as they are handed over."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import ClassVar

import pytest

from magnet_helpers.lab.scheduler import Crew, carry_out
from magnet_helpers.lab.tasks import Task


@dataclass(frozen=True)
class Named(Task):
    name: str
    parents: tuple["Named", ...] = ()
    plural: ClassVar[str] = "names"
    asked: ClassVar[list[str]] = []

    @property
    def needs(self):
        self.asked.append(self.name)
        return self.parents

    def settings(self, fingerprint):
        return {"kind": "named", "name": self.name}

    def run(self, inputs, data, device, checkpoint=None):
        raise NotImplementedError


class Keeping(Crew):
    """All is done when it begins, the seventh with an error if there is one; the first keeping may be interrupted."""

    def __init__(self, size, error=None, interrupted=False):
        self.size, self.error, self.interrupted, self.kept = size, error, interrupted, []

    def submit(self, task):
        future = Future()
        if self.error and task.name == "7":
            future.set_exception(self.error)
        else:
            future.set_result(task.name)
        return future

    def keep(self, task, outcome):
        if self.interrupted:
            self.interrupted = False
            raise KeyboardInterrupt
        self.kept.append(outcome)

    def close(self):
        pass


@pytest.mark.parametrize(
    ("crew", "kept"),
    [(Keeping(30, ValueError("no")), 29), (Keeping(30, interrupted=True), 30)],
    ids=["failure", "Ctrl-C"],
)
def test_what_is_done_is_kept_whatever_ends_the_work(crew, kept):
    with pytest.raises((ValueError, KeyboardInterrupt)):
        carry_out([Named(f"{number}") for number in range(30)], crew)
    assert len(set(crew.kept)) == len(crew.kept) == kept


def test_what_a_task_needs_is_asked_for_once(monkeypatch):
    monkeypatch.setattr(Named, "asked", [])
    one, other = Named("one"), Named("other")
    both = Named("both", (one, other))
    crew = Keeping(1)
    carry_out([one, other, both, Named("all", (both, one))], crew)
    assert crew.kept == ["one", "other", "both", "all"]
    assert sorted(Named.asked) == ["all", "both", "one", "other"]
