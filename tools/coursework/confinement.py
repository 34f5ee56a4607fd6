"""Where strangers' code runs: in a room without network, with read-only libraries, and with nobody else's files.

The room is made by bubblewrap, the tool that Flatpak runs its applications in (Linux; Debian and Ubuntu:
`apt install bubblewrap`). In it exist Python, this package, the system's libraries, and an empty `/tmp`. The checkout,
the solutions, the gradebook, other submissions and home folders are not hidden there: they do not exist. Time, memory,
processes and output are limited with and without it.
"""

import os
import resource
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil
from jupyter_client.manager import AsyncKernelManager

import magnet_helpers

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
ROOM = ("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--cap-drop", "ALL")
SECONDS_BETWEEN_LOOKS = 0.25
LIMITED_START = (
    "import os, resource, sys; memory, size = int(sys.argv[1]), int(sys.argv[2]);"
    "resource.setrlimit(resource.RLIMIT_DATA, (memory, memory));"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size));"
    "resource.setrlimit(resource.RLIMIT_CORE, (0, 0));"
    "os.execv(sys.argv[3], sys.argv[3:])"
)


class ConfinementError(RuntimeError):
    """There is no way to confine strangers' code on this machine, and nobody has said to run it all the same."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes:
        cell_seconds: of one cell.
        total_seconds: of all its cells.
        memory_mb: of all its processes; a single allocation beyond it fails in the student's cell.
        output_kb: of what one cell prints or shows.
        processes: at one time.
        disk_mb: in its `/tmp`.
    """

    cell_seconds: int = 60
    total_seconds: int = 240
    memory_mb: int = 1500
    output_kb: int = 500
    processes: int = 40
    disk_mb: int = 64

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")


def find_confinement() -> str:
    """Return the path of bubblewrap.

    Raises:
        ConfinementError: if it is not there, or this system does not let it work.
    """
    path = shutil.which("bwrap")
    if path is None:
        trouble = "is not installed here: `sudo apt install bubblewrap` (Linux)"
    else:
        tried = subprocess.run(
            [path, *ROOM, "--ro-bind", "/", "/", "true"], capture_output=True, text=True, check=False, timeout=60
        )
        if tried.returncode == 0:
            return path
        trouble = f"does not work here: {tried.stderr.strip()}"
    raise ConfinementError(
        f"students' code is confined by bubblewrap, which {trouble}. Elsewhere run this in a Linux virtual machine. To "
        "run it all the same, with your own rights on this machine and its files, say UNCONFINED=yes"
    )


def confined_command(bubblewrap: str, command: list[str], folder: Path, limits: Limits) -> list[str]:
    """Return the command line that runs a command in the room.

    Args:
        bubblewrap: path of the program.
        command: program and arguments; the program is Python.
        folder: the one folder that is shared with the outside, at its own path.
        limits: disk space is limited here, the rest by `limited_command` and `Watch`.
    """
    package = Path(magnet_helpers.__file__).resolve().parent
    disk = str(limits.disk_mb * 2**20)
    room = [bubblewrap, *ROOM, "--clearenv", "--proc", "/proc", "--dev", "/dev"]
    room += ["--size", disk, "--tmpfs", "/dev/shm", "--size", disk, "--tmpfs", "/tmp"]
    for path in SYSTEM:
        room += ["--ro-bind-try", path, path]
    for prefix in dict.fromkeys((sys.base_prefix, sys.prefix)):
        room += ["--ro-bind", str(Path(prefix).resolve()), prefix]
    room += ["--ro-bind", str(package), str(package), "--bind", str(folder), str(folder)]
    for name, value in environment("/tmp").items():
        room += ["--setenv", name, value]
    return [*room, "--chdir", "/tmp", *command]


def environment(home: str) -> dict[str, str]:
    """Return every variable that strangers' code gets: small budget, embedded digits, one thread, no secrets."""
    return {
        "HOME": home,
        "USER": "student",
        "LANG": "C.UTF-8",
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), "/usr/bin", "/bin")),
        "PYTHONPATH": str(Path(magnet_helpers.__file__).resolve().parents[1]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "NBGRADER_EXECUTION": "autograde",
        "MAGNET_HOME": f"{home}/magnet",
        "MAGNET_BUDGET": "smoke",
        "MAGNET_DATASET": "digits",
        "MAGNET_DEVICE": "cpu",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
    }


def limited_command(command: list[str], limits: Limits) -> list[str]:
    """Return the command line that lowers a process's own limits and then becomes a command."""
    sizes = [str(limits.memory_mb * 2**20), str(limits.disk_mb * 2**20)]
    return [sys.executable, "-I", "-c", LIMITED_START, *sizes, *command]


class ConfinedKernelManager(AsyncKernelManager):
    """Starts a kernel in the room and talks to it through files in its folder: there is no network in there.

    Args:
        folder: shared with the kernel; short, since a socket's path may have 100 letters.
        limits: what the kernel may use.
        bubblewrap: path of the program, or None: then the kernel has this user's rights.
    """

    def __init__(self, folder: Path, limits: Limits, bubblewrap: str | None) -> None:
        super().__init__(kernel_name="python3", transport="ipc", ip=str(folder / "k"))
        self.connection_file = str(folder / "kernel.json")
        self.folder, self.limits, self.bubblewrap = folder, limits, bubblewrap
        assert self.kernel_spec is not None
        self.kernel_spec.interrupt_mode = "message"  # a signal would end the room, not the cell

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """Return the command line of the kernel."""
        command = limited_command(super().format_kernel_cmd(extra_arguments), self.limits)
        if self.bubblewrap is None:
            return command
        return confined_command(self.bubblewrap, command, self.folder, self.limits)


class Watch(threading.Thread):
    """Looks at a process and its descendants every quarter of a second, and ends them when they use too much.

    Args:
        pid: of the first process.
        limits: memory and number of processes.

    Attributes:
        reason: why it ended them; empty as long as it did not.
    """

    def __init__(self, pid: int, limits: Limits) -> None:
        super().__init__(daemon=True)
        self.pid, self.limits, self.reason = pid, limits, ""
        self._done = threading.Event()

    def run(self) -> None:
        """Look until told to stop, or until the process has ended."""
        while not self._done.wait(SECONDS_BETWEEN_LOOKS):
            try:
                process = psutil.Process(self.pid)
                family = [process, *process.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            memory = sum(_memory(member) for member in family) / 2**20
            if memory > self.limits.memory_mb:
                self.reason = f"it used more than {self.limits.memory_mb} MB of memory"
            elif len(family) > self.limits.processes:
                self.reason = f"it had more than {self.limits.processes} processes at once"
            if self.reason:
                end(family)
                return

    def stop(self) -> None:
        """Look no more."""
        self._done.set()


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def end(processes: list[psutil.Process]) -> None:
    """End processes at once. The first goes first: in a room of their own the others go with it."""
    for process in processes:
        try:
            process.kill()
        except psutil.Error:
            continue


def limit_this_process(memory_mb: int) -> None:
    """Let this process have no more memory than that: a flood of output must not take the machine along."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory_mb * 2**20, resource.RLIM_INFINITY))
