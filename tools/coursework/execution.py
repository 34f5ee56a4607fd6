"""The cells of part A run in a confined kernel: what takes too long, prints too much or ends Python is told."""

import asyncio
import tempfile
import time
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
from jupyter_core.utils import ensure_async, run_sync
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbgrader.preprocessors import Execute

from tools.coursework.assignments import part_of, runs_when_graded
from tools.coursework.confinement import ConfinedKernelManager, Limits, Watch

SECONDS_TO_START = 300  # importing the package on a busy machine: that is not the student's time
SECONDS_TO_ANSWER = 10  # for a kernel whose cell was interrupted
FLOOD = 100_000_000  # characters that a cell goes on to print after it was interrupted


def _error(name: str, message: str) -> NotebookNode:
    output: NotebookNode = nbformat.v4.new_output("error", ename=name, evalue=message, traceback=[f"{name}: {message}"])
    return output


def _size(output: NotebookNode) -> int:
    return len(str(output.get("text", ""))) + sum(len(str(value)) for value in output.get("data", {}).values())


class ConfinedExecute(Execute):  # type: ignore[misc]
    """Runs the cells of part A in a confined kernel. What takes too long, prints too much or ends the kernel is told.

    Args:
        limits: what the kernel may use.
        bubblewrap: path of the program, or None.

    Attributes:
        remarks: what had to be stopped.
    """

    def __init__(self, limits: Limits, bubblewrap: str | None) -> None:
        super().__init__()
        self.limits, self.bubblewrap = limits, bubblewrap
        self.iopub_timeout = 15  # seconds in which a finished cell's outputs arrive, on a busy machine
        self.remarks: list[str] = []
        self._ended = ""
        self._printed = 0

    def preprocess(self, nb: NotebookNode, resources: Any = None, km: Any = None) -> tuple[NotebookNode, Any]:
        """Run the cells in place and return the notebook."""
        self._runs = {id(cell) for cell, runs in runs_when_graded(nb) if runs}
        self._started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="mg", dir="/tmp") as name:
            self._folder = Path(name)
            try:
                done: tuple[NotebookNode, Any] = super().preprocess(nb, resources)
            finally:
                self._watch.stop()
        return done

    def create_kernel_manager(self) -> ConfinedKernelManager:
        """Return the manager of a kernel that has not started."""
        self.km = ConfinedKernelManager(self._folder, self.limits, self.bubblewrap)
        return self.km

    def start_new_kernel_client(self) -> Any:
        """Begin to watch the kernel, and talk to it."""
        process = self._process()
        assert process is not None
        self._watch = Watch(process.pid, self.limits)
        self._watch.start()
        return super().start_new_kernel_client()

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[NotebookNode, Any]:
        """Run a cell, if it is to be run and the kernel still lives."""
        if id(cell) not in self._runs:
            return cell, resources
        is_start = part_of(cell) == "start"
        left = SECONDS_TO_START if is_start else self.limits.total_seconds - (time.monotonic() - self._started)
        if not self._ended and left <= 0:
            self._end(f"all cells together took longer than {self.limits.total_seconds} seconds")
        if self._ended:
            cell.outputs = [_error("NotRun", self._ended)]
            return cell, resources
        self.timeout = max(1, round(left if is_start else min(self.limits.cell_seconds, left)))
        sentence = f"this cell took longer than {self.timeout} seconds"
        self.error_on_timeout = {"ename": "TooLong", "evalue": sentence, "traceback": [f"TooLong: {sentence}"]}
        self._printed = 0
        try:
            super().preprocess_cell(cell, resources, index)
        except DeadKernelError:
            self._end(self._watch.reason or "the code ended Python itself")
            cell.outputs.append(_error("PythonEnded", self._ended.removeprefix("not run: ")))
        except CellTimeoutError:  # the cell's end was reported, its last outputs never came
            cell.outputs.append(_error("TooLong", sentence))
        if is_start:
            self._started = time.monotonic()
        if self._printed > 1000 * self.limits.output_kb:
            cell.outputs.append(_error("TooMuchOutput", self._too_much()))
        stopped = [output for output in cell.outputs if output.get("ename") in ("TooLong", "TooMuchOutput")]
        if stopped and not self._ended:
            self.remarks.append(str(stopped[0].evalue))
            self._see_whether_it_answers()
        if part_of(cell) == "tests":
            _leave_only_errors(cell)
        return cell, resources

    def _too_much(self) -> str:
        return f"this cell printed or showed more than {self.limits.output_kb} kB"

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        """Keep an output, as long as the cell has not put out too much; then interrupt it."""
        before = self._printed
        if msg["msg_type"] in ("stream", "display_data", "execute_result", "update_display_data"):
            self._printed += _size(NotebookNode(msg["content"]))
        most = 1000 * self.limits.output_kb
        if self._printed <= most:
            return super().process_message(msg, cell, cell_index)
        if before <= most:
            self._interruption = asyncio.ensure_future(self.km.interrupt_kernel())
        if self._printed > FLOOD:
            self._end(self._too_much())
        if msg["msg_type"] in ("status", "error"):
            return super().process_message(msg, cell, cell_index)
        return None

    def _see_whether_it_answers(self) -> None:
        """End a kernel that goes on with the cell that was interrupted."""
        if not self._ended and not run_sync(self._answers)():
            self._end(self._watch.reason or "an earlier cell could not be interrupted")

    async def _answers(self) -> bool:
        """Return whether the kernel answers a question, which it does between cells only."""
        question = self.kc.kernel_info()
        latest = time.monotonic() + SECONDS_TO_ANSWER
        while (left := latest - time.monotonic()) > 0:
            try:
                answer = await ensure_async(self.kc.shell_channel.get_msg(timeout=left))
            except Empty:
                return False
            if answer["parent_header"].get("msg_id") == question:
                return True
        return False

    def _end(self, reason: str) -> None:
        """Let no further cell run. The first reason stays: what comes later follows from it."""
        if not self._ended:
            self._ended = f"not run: {reason}"
            self.remarks.append(reason)
        process = self._process()
        if process is not None and process.poll() is None:
            process.kill()

    def _process(self) -> Any:
        """Return the kernel's process, or None before it started and after it was cleaned up."""
        return getattr(getattr(self.km, "provisioner", None), "process", None)


def _leave_only_errors(cell: NotebookNode) -> None:
    """Take out what a student's code printed or warned while the tests ran: nbgrader reads marks from it."""
    cell.outputs = [output for output in cell.outputs if output.output_type == "error"]
