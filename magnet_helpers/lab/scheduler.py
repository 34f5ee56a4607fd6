"""Who makes tasks: this process, one process on each core, one CUDA stream for each training, or a cluster.

A step of these small networks keeps two threads waiting for each other much of the time. Two processes of one thread
each did 1.1 to 1.4 times the work of one process with two (2 cores, shared machine), and they lose far less when
something else runs there: two threads beside one busy process fell to a tenth of their speed. A GPU is far from full
with one such network.
"""

import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self, TypeVar

import joblib
import torch
from tqdm import tqdm

from magnet_helpers.data import ImageData, load_images
from magnet_helpers.lab.store import Artifact, Store
from magnet_helpers.lab.tasks import Task, longest_first
from magnet_helpers.training import warn_collapsed

ResultT = TypeVar("ResultT")
_SECONDS_BETWEEN_LOOKS = 1.0
STREAMS = 8


def usable_cores() -> int:
    """Return the number of cores that this process may use.

    A container shows all cores of its machine and may use only some; Binder's has little memory besides, and each
    training in a process of its own takes some.
    """
    return int(joblib.cpu_count())


def is_made(task: Task, data: ImageData, store: Store) -> bool:
    """Return whether the outcome of a task is there, and need not be made."""
    return store.load(task.settings(data.fingerprint)) is not None


def missing(tasks: Iterable[Task], data: ImageData, store: Store) -> list[Task]:
    """Return which of these tasks, and of those that they need, are not there, in the order to take them."""
    by_key: dict[str, Task] = {}
    seen: set[str] = set()

    def look(task: Task) -> None:
        if task.key not in seen:
            seen.add(task.key)
            if not is_made(task, data, store):
                for need in task.needs:
                    look(need)
                by_key[task.key] = task

    for task in tasks:
        look(task)
    return longest_first(list(by_key.values()))


def make(task: Task, data: ImageData, store: Store, device: torch.device) -> Artifact:
    """Return the outcome of a task; load it, or make and keep it, and before it all that it needs.

    One process at a time makes it.
    """
    settings = task.settings(data.fingerprint)
    artifact = store.load(settings)
    if artifact is None:
        with store.lock(settings):
            artifact = store.load(settings, discard_damaged=True)
            if artifact is None:
                inputs = {need.key: make(need, data, store, device) for need in task.needs}
                made = task.run(inputs, data, device, store.checkpoint(settings))
                store.save(settings, made.tensors, made.record)
                artifact = store.load(settings)
                if text := task.announcement(made):
                    print(text)
    elif artifact.record.get("collapsed"):
        warn_collapsed(settings["name"])
    if artifact is None:
        raise RuntimeError(f"{store.folder(settings)} was written and cannot be read: is the disk sound?")
    return artifact


class WorkerLostError(RuntimeError):
    """A worker process was killed while it made something."""


class Crew(ABC):
    """Workers that take tasks whose needs are made.

    Attributes:
        size: how many tasks they do at once.
    """

    size: int

    def takes(self, task: Task) -> bool:
        """Whether such a task is theirs; by default all are."""
        return True

    @abstractmethod
    def submit(self, task: Task) -> "Future[Any]":
        """Begin a task whose needs are all in the store."""

    def keep(self, task: Task, outcome: Any) -> None:  # noqa: B027  (most crews have nothing to do)
        """Store what a task has given back; by default the workers have done so themselves."""

    @abstractmethod
    def close(self) -> None:
        """Begin nothing more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def carry_out(tasks: Sequence[Task], crew: Crew) -> None:
    """Have a crew do tasks, each as soon as what it needs is done, and show how many are done.

    Args:
        tasks: none of which is made, in the order in which they should be taken (`missing`).
        crew: who does them.

    Raises:
        Exception: what the first failing task raised; tasks that have not begun are dropped. What had been made until
            then is kept, after Ctrl-C, too.
    """
    waiting = {task.key: task for task in tasks if crew.takes(task)}
    needs = {key: [need.key for need in task.needs] for key, task in waiting.items()}  # once: it builds networks
    unmade = set(waiting)
    running: dict[Future[Any], Task] = {}
    counts = Counter(task.plural for task in waiting.values())
    label = ", ".join(f"{count} {plural}" for plural, count in counts.items())
    try:
        with tqdm(total=len(waiting), desc=label, leave=False) as bar:
            while waiting or running:
                ready = [key for key in waiting if unmade.isdisjoint(needs[key])]
                for key in ready[: crew.size - len(running)]:
                    task = waiting.pop(key)
                    running[crew.submit(task)] = task
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    crew.keep(running[future], future.result())
                    unmade.discard(running.pop(future).key)
                    bar.update()
    finally:
        done = [future for future in running if not future.cancel() and future.done() and not future.exception()]
        for future in done:
            crew.keep(running[future], future.result())


class Processes(Crew):
    """Worker processes on this machine, with one thread each; they share the store.

    Args:
        size: how many processes.
        data: which can be loaded again (`data.can_be_loaded_again`): each process does so.
        store: where they find what is needed, and leave what they make.
    """

    def __init__(self, size: int, data: ImageData, store: Store) -> None:
        self.size, self.dataset, self.store = size, data.source, store
        context = get_context("spawn")
        self.stopped = context.RawValue("b", False)  # shared, and without a lock that a killed worker would keep
        self.executor = ProcessPoolExecutor(size, context, _start_worker, (os.getpid(), self.stopped))

    def submit(self, task: Task) -> "Future[None]":
        """Begin a task in one of the processes."""
        return self.executor.submit(_make_in_worker, task, self.dataset, self.store)

    def close(self) -> None:
        """Begin nothing more, and do not wait for what has begun."""
        self.executor.shutdown(wait=False, cancel_futures=True)

    def __exit__(self, *raised: object) -> None:
        error = raised[1]
        if isinstance(error, KeyboardInterrupt):  # else this process could not end before what has begun
            self.stopped.value = True
        self.close()
        if isinstance(error, BrokenExecutor):
            raise WorkerLostError(
                "a worker process was ended from outside, perhaps because memory was short. What was done is kept: the "
                "same call goes on from there"
            ) from error


@cache
def _images_of_worker(dataset: str) -> ImageData:
    return load_images(dataset)


def _make_in_worker(task: Task, dataset: str, store: Store) -> None:
    make(task, _images_of_worker(dataset), store, torch.device("cpu"))


def _start_worker(parent: int, stopped: Any) -> None:
    torch.set_num_threads(1)
    # The parent shows the progress. A worker's own bars would be drawn over it.
    sys.stdout = sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  (open as long as it lives)

    def leave_with_parent() -> None:
        while os.getppid() == parent and not stopped.value:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()


def in_stream(function: Callable[[], ResultT]) -> ResultT:
    """Call a function in a CUDA stream of its own, and wait for the stream."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        result = function()
    stream.synchronize()  # before another thread uses what was made; the whole GPU may not wait during a recording
    return result


class Streams(Crew):
    """Threads of this process, each with a CUDA stream of its own; they take trainings only.

    A report takes a second on a GPU, and the classifier that all reports share may not be used by two threads at once.

    Args:
        data: training, validation and test images.
        store: where they find what is needed, and leave what they make.
        device: a CUDA device.
    """

    def __init__(self, data: ImageData, store: Store, device: torch.device) -> None:
        self.size, self.data, self.store, self.device = STREAMS, data, store, device
        self.executor = ThreadPoolExecutor(STREAMS)

    def takes(self, task: Task) -> bool:
        """Whether the task is a training."""
        return task.plural == "trainings"

    def submit(self, task: Task) -> "Future[Artifact]":
        """Begin a task in a thread and a stream."""
        return self.executor.submit(in_stream, lambda: make(task, self.data, self.store, self.device))

    def close(self) -> None:
        """Begin nothing more, and do not wait for what has begun."""
        self.executor.shutdown(wait=False, cancel_futures=True)
