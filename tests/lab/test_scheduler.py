import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from joblib.externals.loky.backend import context

from magnet_helpers.data import load_images
from magnet_helpers.defenses import VANILLA, denoising, stacked
from magnet_helpers.lab import measurements, trainings
from magnet_helpers.lab.budget import SMOKE
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.scheduler import (
    Crew,
    Processes,
    Streams,
    carry_out,
    in_stream,
    is_made,
    make,
    missing,
    usable_cores,
)
from magnet_helpers.lab.store import Artifact, Store
from magnet_helpers.lab.tasks import Task
from magnet_helpers.lab.trainings import TrainingSpecs

TINY = dataclasses.replace(
    SMOKE, classifier_images=32, autoencoder_images=32, validation_images=8, test_images=20, processes=2
)


@dataclasses.dataclass(frozen=True)
class Number(Task):
    """A task that needs others: it writes down who does it, and returns the sum of what they returned, and one."""

    name: str
    parents: tuple["Number", ...] = ()
    does: str = ""
    plural: ClassVar[str] = "numbers"

    @property
    def needs(self):
        return self.parents

    @property
    def work(self):
        return 1.0

    def settings(self, fingerprint):
        return {"kind": "number", "name": self.name, "data": fingerprint}

    def run(self, inputs, data, device, checkpoint=None):
        if self.does == "fail":
            raise ValueError(f"cannot do {self.name}")
        if self.does == "sleep":
            Path(self.name).write_text(str(os.getpid()))
            time.sleep(60)
        total = 1 + sum(inputs[parent.key].tensors["value"] for parent in self.parents)
        record = {"process": os.getpid(), "threads": torch.get_num_threads()}
        return Artifact({"value": torch.tensor(total)}, record)


ONE, OTHER = Number("one"), Number("other")
SUM = Number("sum", (ONE, OTHER))
ALL = Number("all", (SUM, ONE))


@pytest.fixture(scope="module")
def data():
    return load_images("digits")


def test_what_a_task_needs_is_made_first_and_nothing_twice(data, tmp_path, monkeypatch):
    store = Store(tmp_path)
    made = make(ALL, data, store, torch.device("cpu"))
    assert made.tensors["value"] == 1 + 3 + 1
    assert len(list(tmp_path.glob("number/*/record.json"))) == 4
    monkeypatch.setattr(Number, "run", None)
    assert make(ALL, data, store, torch.device("cpu")).record == made.record


def test_what_is_missing_is_listed_once_with_what_it_needs(data, tmp_path):
    store = Store(tmp_path)
    assert {task.name for task in missing([ALL, SUM], data, store)} == {"one", "other", "sum", "all"}
    order = [task.name for task in missing([ALL], data, store)]
    assert order.index("sum") > max(order.index("one"), order.index("other"))
    make(SUM, data, store, torch.device("cpu"))
    assert [task.name for task in missing([ALL, SUM], data, store)] == ["all"]


def test_every_task_is_done_elsewhere_with_one_thread(data, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # what a process would take if nobody told it otherwise
    store = Store(tmp_path)
    with Processes(2, data, store) as crew:
        carry_out(missing([ALL], data, store), crew)
    records = [store.load(task.settings(data.fingerprint)).record for task in (ONE, OTHER, SUM, ALL)]
    assert {record["threads"] for record in records} == {1}
    assert os.getpid() not in {record["process"] for record in records}
    assert make(ALL, data, store, torch.device("cpu")).tensors["value"] == 5


def test_the_first_failure_is_raised_and_what_was_made_is_kept(data, tmp_path):
    store = Store(tmp_path)
    bad = Number("bad", (ONE,), does="fail")
    with Processes(1, data, store) as crew, pytest.raises(ValueError, match="cannot do bad"):
        carry_out(missing([Number("after", (bad,)), bad], data, store), crew)
    assert is_made(ONE, data, store)
    assert not is_made(bad, data, store)


class Here(Crew):
    """Does each task at once, and remembers how many were ready together."""

    def __init__(self, size, data, store):
        self.size, self.data, self.store, self.order, self.closed = size, data, store, [], False

    def submit(self, task):
        self.order.append(task.name)
        assert all(is_made(need, self.data, self.store) for need in task.needs), "what it needs is there"
        future = Future()
        future.set_result(make(task, self.data, self.store, torch.device("cpu")))
        return future

    def close(self):
        self.closed = True


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_task_begins_when_what_it_needs_is_done(data, tmp_path, size):
    store = Store(tmp_path)
    with Here(size, data, store) as crew:
        carry_out(missing([ALL], data, store), crew)
    assert sorted(crew.order[:2]) == ["one", "other"]
    assert crew.order[2:] == ["sum", "all"]
    assert crew.closed


class ImitatedStream:
    """A CUDA stream that remembers who used it."""

    made: ClassVar[list["ImitatedStream"]] = []

    def __init__(self):
        self.owner, self.used_by, self.waited_for = threading.get_ident(), [], 0
        ImitatedStream.made.append(self)

    def synchronize(self):
        self.waited_for += 1


@pytest.fixture
def streams(monkeypatch) -> list[ImitatedStream]:
    """Imitate CUDA streams and return them as they are made."""

    @contextmanager
    def stream(its):
        its.used_by.append(threading.get_ident())
        yield

    monkeypatch.setattr(ImitatedStream, "made", [])
    monkeypatch.setattr(torch.cuda, "Stream", ImitatedStream)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    return ImitatedStream.made


def test_every_task_has_a_stream_of_its_own_and_waits_for_it(streams):
    together = threading.Barrier(3, timeout=60)  # passed only if three tasks run at once
    with ThreadPoolExecutor(3) as threads:
        futures = [threads.submit(in_stream, lambda number=number: (together.wait(), number)) for number in range(3)]
        assert sorted(future.result()[1] for future in futures) == [0, 1, 2]
    assert len(streams) == 3
    assert all(stream.used_by == [stream.owner] and stream.waited_for == 1 for stream in streams)


def test_a_gpu_trains_in_streams_and_leaves_the_rest(streams, data, tmp_path):
    store = Store(tmp_path)
    specs = TrainingSpecs(TINY, 0)
    crew = Streams(data, store, torch.device("cpu"))
    assert crew.takes(specs.classifier())
    assert not crew.takes(ONE)
    with crew:
        carry_out(missing([specs.classifier(), specs.reformer(VANILLA), ONE], data, store), crew)
    assert is_made(specs.classifier(), data, store)
    assert is_made(specs.reformer(VANILLA), data, store)
    assert not is_made(ONE, data, store)
    assert len(streams) == 2


def test_usable_cores():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_a_containers_share_of_its_machine_counts(monkeypatch):
    """Docker and Kubernetes limit a container to a share of the time of all cores."""
    monkeypatch.setattr(context, "_cpu_count_cgroup", lambda cores: 1)
    assert usable_cores() == 1


STOPPED = """
import signal
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_scheduler import Number
from magnet_helpers.data import load_images
from magnet_helpers.lab.scheduler import Processes, carry_out
from magnet_helpers.lab.store import Artifact, Store
from magnet_helpers.lab.tasks import Task
from magnet_helpers.lab.trainings import TrainingSpecs
if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT):  # what runs in the background ignores the latter otherwise
        signal.signal(number, signal.default_int_handler)
    with Processes(1, load_images("digits"), Store(Path(sys.argv[1] + "-store"))) as crew:
        carry_out([Number(sys.argv[1], does="sleep")], crew)
"""


def is_running(process: int) -> bool:
    """Whether the process exists and is no zombie that waits for somebody to take notice."""
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False)
    return said.stdout.strip() not in ("", "Z", "Z+")


@pytest.fixture
def parent_and_worker(tmp_path):
    script, pid_file = tmp_path / "script.py", tmp_path / "pid"
    script.write_text(STOPPED)
    here = Path(__file__).parent
    command = [sys.executable, str(script), str(pid_file), str(here), str(here.parent)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as parent:
        deadline = time.monotonic() + 60
        while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
            time.sleep(0.1)
        yield parent, int(pid_file.read_text())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_leave_with_a_parent_that_was_told_to_stop(parent_and_worker, number):
    parent, worker = parent_and_worker
    parent.send_signal(number)
    parent.wait(30)
    deadline = time.monotonic() + 20
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(worker)


def test_a_worker_that_was_killed_is_said(parent_and_worker):
    parent, worker = parent_and_worker
    os.kill(worker, signal.SIGKILL)
    _, said = parent.communicate(timeout=30)
    assert parent.returncode == 1
    *_, last = said.strip().splitlines()
    assert last.startswith("magnet_helpers.lab.scheduler.WorkerLostError: a worker process was ended from outside")
    assert "goes on from there" in last


def test_prepared_networks_are_those_that_come_one_after_the_other(tmp_path, monkeypatch):
    data = load_images("digits")
    defenses = [denoising(0.3), stacked(2, 0.3)]
    at_once = Lab(TINY, data, seed=1, store=Store(tmp_path / "at once"), device=torch.device("cpu"))
    at_once.prepare(defenses)
    one_by_one = dataclasses.replace(at_once, store=Store(tmp_path / "one by one"))
    expected = [(one_by_one.report(each), one_by_one.reformer(each).state_dict()) for each in defenses]
    monkeypatch.setattr(trainings, "fit", None)  # nothing may be trained from here on
    monkeypatch.setattr(measurements, "evaluate_defense", None)
    for defense, (report, weights) in zip(defenses, expected, strict=True):
        assert at_once.report(defense).facts() == report.facts()
        ours = at_once.reformer(defense).state_dict()
        assert all(torch.equal(ours[name], weights[name]) for name in weights)
    at_once.prepare(defenses)  # there already
