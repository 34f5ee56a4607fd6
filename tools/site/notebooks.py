"""From lesson sources (jupytext py:percent) to notebooks: built, executed with progress, cleaned.

`course` decides which lessons run and where the results go.
"""

import asyncio
import hashlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from magnet_helpers.lab.lessons import Lesson, get_lesson
from tools.site.address import badges, install_lines, repository

CELL_TIMEOUT_SECONDS = 24 * 3600  # the paper's budget trains for hours in one cell
KERNEL_TIMEOUT_SECONDS = 300
WARM_UP = "[__import__(f'magnet_helpers.{part}') for part in ('plotting', 'study.tables')];"  # leaves no name behind
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_SAY_ALL = ("DataError", "StorageError", "WorkerLostError")  # errors that a traceback makes no clearer
Report = Callable[[int, int, str], None]


def build_notebook(source: Path) -> NotebookNode:
    """Return the unexecuted notebook of a lesson source; the same source gives the same bytes.

    In the source, `{{badges}}` stands for the links to hosts of notebooks, `{{minutes}}` for how long the lesson takes,
    and `# {{install}}` for the lines that install the package where it is not there.

    Raises:
        FileNotFoundError: if there is no such source.
    """
    notebook: NotebookNode = jupytext.read(source, fmt="py:percent")
    lesson, address = get_lesson(source.stem), repository()
    notebook.metadata = nbformat.from_dict(notebook_metadata(lesson))
    texts = {
        "{{badges}}": badges(address, lesson.name),
        "{{minutes}}": lesson.duration,
        "# {{install}}": install_lines(address),
    }
    for index, cell in enumerate(notebook.cells):
        cell.id = f"{source.stem[:2]}-{index:03d}"
        for mark, text in texts.items():
            cell.source = cell.source.replace(mark, text)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def notebook_metadata(lesson: Lesson) -> dict[str, Any]:
    """Return the metadata of a lesson's notebook, and of its assignment's: the kernel, and the GPU to start with."""
    metadata: dict[str, Any] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    if lesson.gpu:  # Colab then starts with a GPU
        metadata |= {"accelerator": "GPU", "colab": {"gpuType": lesson.gpu, "provenance": []}}
    return metadata


def renew(notebook: NotebookNode, built: NotebookNode) -> None:
    """Give an executed notebook, in place, the first cells and the metadata of the one just built from its source.

    These are its badges, the lines that install the package, and the GPU to start with. Nothing of that changes what
    the notebook computed, so its outputs stay.

    Raises:
        ValueError: if anything else differs: then it has to be executed anew.
    """
    first_code = next(index for index, cell in enumerate(built.cells) if cell.cell_type == "code")
    renewed = {0, first_code}

    def rest(of: NotebookNode) -> list[tuple[str, str]]:
        return [(cell.cell_type, cell.source) for index, cell in enumerate(of.cells) if index not in renewed]

    if rest(notebook) != rest(built):
        raise ValueError("its cells are not those of its source: run `make notebooks`")
    for index in renewed:
        notebook.cells[index].source = built.cells[index].source
    for key in ("accelerator", "colab"):
        notebook.metadata.pop(key, None)
        if key in built.metadata:
            notebook.metadata[key] = built.metadata[key]


def sources_digest(notebook: NotebookNode) -> str:
    """Return a hash of what the cells say, whatever came out of them."""
    contents = [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]


class LessonFailedError(RuntimeError):
    """A cell failed, or the kernel died in it."""


def _without_colors(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


class _Client(NotebookClient):
    """A notebook client that reports each cell, and each progress bar that the kernel draws."""

    def __init__(self, notebook: NotebookNode, report: Report, **options: Any) -> None:
        super().__init__(notebook, **options)
        self.report = report
        self.position = 0
        self.latest = ""
        self.interrupted = False

    async def async_start_new_kernel_client(self) -> Any:
        # nbclient's own handler takes the kernel away and lets the waiting code fail on an assertion.
        task = asyncio.current_task()
        assert task is not None

        def interrupt() -> None:
            self.interrupted = True
            self.shutdown_kernel = "immediate"
            task.cancel()

        with suppress(RuntimeError):  # not on Windows, and not outside the main thread
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, interrupt)
        return await super().async_start_new_kernel_client()

    def _tell(self) -> None:
        self.report(self.position, len(self.nb.cells), self.latest)

    async def async_execute_cell(
        self, cell: NotebookNode, cell_index: int, execution_count: int | None = None, store_history: bool = True
    ) -> NotebookNode:
        self.position, self.latest = cell_index, ""
        self._tell()
        return await super().async_execute_cell(cell, cell_index, execution_count, store_history)

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        if msg["msg_type"] == "stream":
            lines = [line.strip() for line in re.split(r"[\r\n]", msg["content"]["text"]) if line.strip()]
            if lines:
                self.latest = lines[-1]
                self._tell()
        return super().process_message(msg, cell, cell_index)


def _as_on_a_screen(text: str) -> str:
    """Return what a terminal would show: after a carriage return a line is written over."""
    lines = []
    for line in text.split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return "\n".join(lines)


def _clean(notebook: NotebookNode) -> None:
    """Take progress bars, views of widgets and times of execution out of a notebook's outputs and metadata.

    A view points to a widget in the kernel, which has ended: a reader would see an error in place of the picture that
    stands beside it.
    """
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        kept = []
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = _as_on_a_screen(output.text)
                if not output.text.strip():
                    continue
            output.get("data", {}).pop(WIDGET_VIEW, None)
            kept.append(output)
        cell.outputs = kept


class Kernel:
    """A kernel that imports the package while it waits for its lesson: that takes seconds, and one core.

    Args:
        folder: its working folder.
        environment: variables set for it beside the present ones.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.manager = AsyncKernelManager(kernel_name="python3")
        run_sync(self.manager.start_kernel)(
            cwd=str(folder),
            env={**os.environ, **environment, "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
            extra_arguments=[
                "--log-level=ERROR",
                "--HistoryManager.hist_file=:memory:",
                f"--IPKernelApp.exec_lines={WARM_UP}",
            ],
        )

    def stop(self) -> None:
        """End the kernel, whatever it is doing. One that has ended is left alone."""
        if self.manager.has_kernel:
            run_sync(self.manager.shutdown_kernel)(now=True)


def execute(notebook: NotebookNode, kernel: Kernel, report: Report) -> float:
    """Run a notebook from top to bottom, in place, and return the seconds it took.

    Args:
        notebook: as built from its source.
        kernel: a fresh one. It has ended afterwards.
        report: called with the cell's position, the number of cells, and the newest line of output.

    Raises:
        LessonFailedError: if a cell fails or the kernel dies.
        KeyboardInterrupt: if this process is told to stop; the kernel has ended then.
    """
    started = time.perf_counter()
    before = signal.getsignal(signal.SIGTERM)  # nbclient leaves the system's own
    client = _Client(
        notebook,
        report,
        km=kernel.manager,
        timeout=CELL_TIMEOUT_SECONDS,
        startup_timeout=KERNEL_TIMEOUT_SECONDS,
        coalesce_streams=True,
        store_widget_state=False,
    )
    try:
        client.execute(cleanup_kc=True)
    except (CellExecutionError, DeadKernelError, asyncio.CancelledError) as error:
        if client.interrupted:
            raise KeyboardInterrupt from None
        said = _without_colors(str(error))
        if isinstance(error, CellExecutionError) and error.ename in _SAY_ALL:
            said = error.evalue
        raise LessonFailedError(f"cell {client.position + 1}: {said}") from error
    finally:
        with suppress(ValueError):  # not the main thread, in which alone it was changed
            signal.signal(signal.SIGTERM, before)
        kernel.stop()
    _clean(notebook)
    return time.perf_counter() - started
