import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from joblib.externals.loky.backend import context

from magnet_helpers.data import load_images
from magnet_helpers.defenses import denoising, stacked
from magnet_helpers.lab import work
from magnet_helpers.lab.budget import SMOKE
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.parallel import for_each, for_each_in_streams, usable_cores
from magnet_helpers.lab.store import Store

TINY = dataclasses.replace(
    SMOKE, classifier_images=32, autoencoder_images=32, validation_images=8, test_images=20, processes=2
)


def write(path: Path) -> None:
    path.write_text(f"{os.getpid()} {torch.get_num_threads()}")


def fail(path: Path) -> None:
    raise ValueError(f"cannot do {path.name}")


def sleep_long(path: Path) -> None:
    path.write_text(str(os.getpid()))
    time.sleep(60)


def test_every_task_is_done_elsewhere_with_one_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # what a process would take if nobody told it otherwise
    paths = [tmp_path / str(number) for number in range(3)]
    for_each(write, paths, "writing", 2)
    written = [path.read_text().split() for path in paths]
    assert {threads for _, threads in written} == {"1"}
    assert str(os.getpid()) not in {process for process, _ in written}


def test_the_first_failure_is_raised(tmp_path):
    with pytest.raises(ValueError, match="cannot do x"):
        for_each(fail, [tmp_path / "x"], "failing", 1)


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
    done = []

    def work(task):
        together.wait()
        done.append(task)

    for_each_in_streams(work, [1, 2, 3], "working")
    assert sorted(done) == [1, 2, 3]
    assert len(streams) == 3
    assert all(each.used_by == [each.owner] and each.waited_for == 1 for each in streams)


def test_the_first_failure_in_a_stream_is_raised(streams):
    with pytest.raises(ValueError, match=r"cannot do [xy]"):  # both run at once
        for_each_in_streams(fail, [Path("x"), Path("y")], "failing")
    for_each_in_streams(fail, [], "nothing")


def test_usable_cores():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_a_containers_share_of_its_machine_counts(monkeypatch):
    """Docker and Kubernetes limit a container to a share of the time of all cores."""
    monkeypatch.setattr(context, "_cpu_count_cgroup", lambda cores: 1)
    assert usable_cores() == 1


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_parallel import sleep_long
from magnet_helpers.lab.parallel import for_each
if __name__ == "__main__":
    for_each(sleep_long, [Path(sys.argv[1])], "sleeping", 1)
"""


def is_running(process: int) -> bool:
    """Whether the process exists and is no zombie that waits for somebody to take notice."""
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False)
    return said.stdout.strip() not in ("", "Z", "Z+")


def test_workers_leave_with_a_parent_that_was_killed(tmp_path):
    script, pid_file = tmp_path / "script.py", tmp_path / "pid"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(pid_file), str(Path(__file__).parent)]
    parent = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    worker = int(pid_file.read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(worker)


def test_prepared_networks_are_those_that_come_one_after_the_other(tmp_path, monkeypatch):
    data = load_images("digits")
    defenses = [denoising(0.3), stacked(2, 0.3)]
    at_once = Lab(TINY, data, seed=1, store=Store(tmp_path / "at once"), device=torch.device("cpu"))
    at_once.prepare(defenses)
    one_by_one = dataclasses.replace(at_once, store=Store(tmp_path / "one by one"))
    expected = [(one_by_one.report(each), one_by_one.reformer(each).state_dict()) for each in defenses]
    monkeypatch.setattr(work, "fit", None)  # nothing may be trained from here on
    monkeypatch.setattr(work, "evaluate_defense", None)
    for defense, (report, weights) in zip(defenses, expected, strict=True):
        assert at_once.report(defense).facts() == report.facts()
        ours = at_once.reformer(defense).state_dict()
        assert all(torch.equal(ours[name], weights[name]) for name in weights)
    at_once.prepare(defenses)  # there already
