"""Many small trainings at once: one process per core, one thread per process; on a GPU, one CUDA stream per training.

A step of these small networks keeps two threads waiting for each other much of the time. Two processes of one thread
each did 1.1 to 1.4 times the work of one process with two (2 cores, shared machine), and they lose far less when
something else runs there: two threads beside one busy process fell to a tenth of their speed. A GPU is far from full
with one such network.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import joblib
import torch
from tqdm import tqdm

TaskT = TypeVar("TaskT")
SECONDS_BETWEEN_LOOKS = 1.0
STREAMS = 8


def usable_cores() -> int:
    """Return the number of cores that this process may use.

    A container shows all cores of its machine and may use only some; Binder's has little memory besides, and each
    training in a process of its own takes some.
    """
    return int(joblib.cpu_count())


def _start_worker(parent: int) -> None:
    torch.set_num_threads(1)
    # The parent shows the progress. A worker's own bars would be drawn over it.
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  (open as long as the process lives)

    def leave_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()


def for_each(function: Callable[[TaskT], None], tasks: Sequence[TaskT], label: str, processes: int) -> None:
    """Call `function` on every task, in several processes at once, and show how many are done.

    Args:
        function: importable by name; what it makes, it leaves on disk.
        tasks: what can be pickled, the longest first.
        label: shown before the progress bar.
        processes: how many to start, at most one for each task.

    Raises:
        Exception: what the first failing call raised; calls that have not begun are dropped.
    """
    workers = min(processes, len(tasks))
    _carry_out(
        ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (os.getpid(),)), function, tasks, label
    )


def for_each_in_streams(function: Callable[[TaskT], object], tasks: Sequence[TaskT], label: str) -> None:
    """Call `function` on every task, several at once, each in a thread and a CUDA stream of its own.

    Args:
        function: called in threads of this process.
        tasks: the longest first.
        label: shown before the progress bar.

    Raises:
        Exception: what the first failing call raised; calls that have not begun are dropped.
    """

    def in_stream(task: TaskT) -> None:
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            function(task)
        stream.synchronize()  # before another thread uses what was made; the whole GPU may not wait during a recording

    if tasks:
        _carry_out(ThreadPoolExecutor(min(STREAMS, len(tasks))), in_stream, tasks, label)


def _carry_out(executor: Executor, function: Callable[[TaskT], object], tasks: Sequence[TaskT], label: str) -> None:
    try:
        futures = [executor.submit(function, task) for task in tasks]
        for future in tqdm(as_completed(futures), total=len(futures), desc=label, leave=False):
            future.result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
