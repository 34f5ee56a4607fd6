"""Every lesson alone, as a student meets it: in a fresh environment, without a checkout, in an empty folder.

python -m tests.hosts.run [newest] [oldest] [colab] [--lessons 03 07] [--folder PLACE], in the checkout

`newest`: the package's wheel and the newest version of everything it asks for.
`oldest`: the wheel and the oldest versions that it allows (constraints-oldest.txt).
`colab`: what Colab ships (constraints-colab.txt), without the package: the notebook's first cell installs it.

PyTorch's version is always given: on Linux, what pip takes by default brings gigabytes of CUDA along. Where pip finds
no CPU build of that version, PIP_EXTRA_INDEX_URL can name an index that has them. The lessons are built from their
sources, with the development environment; they run in the smoke budget, on the digits that ship inside scikit-learn.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

import nbformat

from magnet_helpers.lab.lessons import LESSONS, Lesson
from tools.site.notebooks import build_notebook

ROOT = Path(__file__).resolve().parents[2]
LESSON_SECONDS = 1800
RUNNER = ["ipykernel", "nbclient"]  # what executes a notebook; every host has its own
EXECUTE = "from nbclient.cli import main; main()"
SNAPSHOT = """
import hashlib, importlib.metadata as metadata, json
installed = {}
for package in metadata.distributions():
    record = hashlib.sha256((package.read_text("RECORD") or "").encode()).hexdigest()
    installed[package.name.lower()] = [package.version, record]
    if package.name in ("torch", "numpy"):
        paths = (package.locate_file(path) for path in package.files or [])
        installed[package.name] += [[str(path), path.stat().st_mtime_ns] for path in paths if path.suffix != ".pyc"]
print(json.dumps(installed))
"""


class HostError(Exception):
    """Something is not as a student needs it."""


def call(command: list[object], folder: Path, variables: dict[str, str] | None = None, seconds: int = 3600) -> str:
    """Run a command without anything of this environment that could help it, and return what it printed."""
    kept = {name: value for name, value in os.environ.items() if not re.match(r"MAGNET_|PYTHON|VIRTUAL_ENV", name)}
    kept |= {"PYTHONNOUSERSITE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **(variables or {})}
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env=kept, capture_output=True, text=True, timeout=seconds
    )
    if done.returncode:
        raise HostError(f"{' '.join(map(str, command))[:200]}\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def build_wheels(folder: Path) -> Path:
    """Build the package's wheel from the files that git knows or would take, and return its path."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    copy = folder / "checkout"
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    call([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder / "wheels", copy], folder)
    (wheel,) = (folder / "wheels").glob("magnet_lab-*.whl")
    return wheel


@dataclass(frozen=True)
class Host:
    """A machine that a notebook is opened on.

    Attributes:
        name: of its environment.
        folder: of everything about it.
        wheel: the package's.
    """

    name: str
    folder: Path
    wheel: Path

    @property
    def python(self) -> Path:
        return self.folder / "environment" / ("Scripts" if os.name == "nt" else "bin") / "python"

    def pip(self, *arguments: object) -> str:
        return call([self.python, "-m", "pip", *arguments], self.folder)

    def install(self) -> None:
        """Make the environment, or use the one that is there; that of `colab` has everything but the package."""
        if self.python.exists():
            self.pip("install", "-q", "--no-compile", "--no-deps", "--force-reinstall", self.wheel)
            return
        venv.create(self.folder / "environment", with_pip=True)
        match self.name:
            case "newest":
                torch = re.search(r"^torch==.*$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
                self.pip("install", "-q", "--no-compile", torch[0], self.wheel, *RUNNER)
            case "oldest":
                self.pip("install", "-q", "--no-compile", "-c", ROOT / "constraints-oldest.txt", self.wheel, *RUNNER)
            case "colab":
                self.pip("install", "-q", "--no-compile", "-r", ROOT / "constraints-colab.txt", *RUNNER)

    def installed(self) -> dict[str, list[object]]:
        """Return the version and the list of files of every package, of torch and numpy also when each was written."""
        return json.loads(call([self.python, "-c", SNAPSHOT], self.folder))

    def execute(self, notebook: nbformat.NotebookNode, name: str, source: str | None) -> nbformat.NotebookNode:
        """Run a notebook that lies alone in an empty folder, and return it with its outputs."""
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        path = folder / f"{name}.ipynb"
        nbformat.write(notebook, path)
        variables = {"MAGNET_BUDGET": "smoke", "MAGNET_DATASET": "digits"}
        if source is not None:
            variables["MAGNET_SOURCE"] = source
        call([self.python, "-c", EXECUTE, "--inplace", path], folder, variables, LESSON_SECONDS)
        if strangers := {left.name for left in folder.iterdir()} - {path.name, "build"}:
            raise HostError(f"it left {strangers} beside itself")
        return nbformat.read(path, as_version=4)

    def run_lesson(self, lesson: Lesson, source: str | None) -> None:
        """Run a lesson, and look at what its first cell said and whether it trained networks as it claims."""
        executed = self.execute(build_notebook(source_of(lesson)), lesson.name, source)
        first, *_ = (cell for cell in executed.cells if cell.cell_type == "code")
        printed = "".join(output.get("text", "") for output in first.outputs)
        if source is None and not printed.startswith("dataset: scikit-learn digits"):
            raise HostError(f"its first cell said {printed!r}")
        trained = list(self.folder.glob(f"{lesson.name}-*/build/artifacts/network/*/tensors.safetensors"))
        if bool(trained) != bool(lesson.gpu):
            raise HostError(f"it trained {len(trained)} networks, and says of a GPU {lesson.gpu!r}")


def source_of(lesson: Lesson) -> Path:
    return ROOT / "notebooks" / "source" / f"{lesson.name}.py"


def first_cell() -> nbformat.NotebookNode:
    """Return a notebook of the first code cell alone."""
    notebook = build_notebook(source_of(LESSONS[3]))
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"][:1]
    return notebook


def check_first_cell(host: Host) -> None:
    """See what the first cell says where the package cannot be had, and that it takes wheels without a network."""
    before = host.installed()
    try:
        host.execute(first_cell(), "nothing-there", str(host.folder / "nothing.whl"))
    except HostError as error:
        if "pip could not install the course" not in str(error):
            raise HostError(f"no clear word where the package is not to be had: {error}") from error
    else:
        raise HostError("the package came from nowhere")
    attached = host.folder / "attached"
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", attached, "-c", ROOT / "constraints.txt"]
    call([*build, host.wheel, "advertorch", "adversarial-robustness-toolbox"], host.folder)
    host.execute(first_cell(), "attached-wheels", f"--no-index --find-links {attached} magnet-lab")
    compare(before, host.installed())
    host.pip("uninstall", "-q", "-y", *(host.installed().keys() - before.keys()))


def compare(before: dict[str, list[object]], after: dict[str, list[object]]) -> None:
    """See that every package that was there is there as it was."""
    changed = [
        f"{name} {package[0]}: now {after.get(name, ['gone'])[0]}"
        for name, package in before.items()
        if after.get(name) != package
    ]
    if changed:
        raise HostError(f"the first cell changed {', '.join(changed)}")
    print(f"  unchanged: {len(before)} packages; new: {', '.join(sorted(after.keys() - before.keys()))}", flush=True)


def run(host: Host, lessons: list[Lesson]) -> list[str]:
    """Make the host, run the lessons and return what failed."""
    failures = []
    started = time.perf_counter()
    host.install()
    before = host.installed()
    shown = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "matplotlib", "seaborn", "ipywidgets", "ipython")
    versions = ", ".join(f"{name} {before[name][0]}" for name in shown if name in before)
    print(f"{host.name}: {versions} (installed in {time.perf_counter() - started:.0f} s)", flush=True)
    source = None
    if host.name == "colab":
        check_first_cell(host)
        source = str(host.wheel)
    for lesson in lessons:
        started = time.perf_counter()
        try:
            host.run_lesson(lesson, source)
            if source is not None:  # the first one has installed the package
                compare(before, host.installed())
                source = None
            print(f"  {lesson.name}: {time.perf_counter() - started:.0f} s", flush=True)
        except (HostError, subprocess.TimeoutExpired) as error:
            failures.append(f"{host.name}, {lesson.name}: {error}")
            print(f"  {lesson.name}: FAILED\n{error}", flush=True)
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hosts", nargs="*", default=["newest", "oldest", "colab"], metavar="host")
    parser.add_argument("--lessons", nargs="+", default=[lesson.name[:2] for lesson in LESSONS], metavar="NUMBER")
    parser.add_argument(
        "--folder", type=Path, help="its environments are kept and used again; default: a temporary one"
    )
    options = parser.parse_args()
    lessons = [lesson for lesson in LESSONS if lesson.name[:2] in options.lessons]
    failures = []
    with tempfile.TemporaryDirectory(prefix="magnet-lab-hosts-") as temporary:
        place = (options.folder or Path(temporary)).resolve()
        if any((folder / "magnet_helpers").is_dir() for folder in (place, *place.parents)):
            parser.error(f"--folder must lie outside of every checkout, got {place}")
        for name in options.hosts:
            if name not in ("newest", "oldest", "colab"):
                parser.error(f"a host is one of newest, oldest and colab, got {name}")
            folder = place / f"hosts-{name}"
            for old in folder.glob("*"):
                if old.name != "environment" or name == "colab":
                    shutil.rmtree(old)
            folder.mkdir(parents=True, exist_ok=True)
            try:
                failures += run(Host(name, folder, build_wheels(folder)), lessons)
            except HostError as error:
                failures.append(f"{name}: {error}")
            if options.folder is None:
                shutil.rmtree(folder)
    print("\n".join(failures) or "all lessons ran on all hosts")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
