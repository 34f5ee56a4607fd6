import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from magnet_helpers.data import load_images
from magnet_helpers.defenses import NO_REFORMER
from magnet_helpers.lab.code_version import code_version
from magnet_helpers.lab.lessons import LESSONS, Lesson
from tools.__main__ import main
from tools.site import course
from tools.site.course import Course, Progress, lesson_modules, print_comparison, write_figures, write_site
from tools.site.notebooks import WARM_UP

SOURCE = """# %% [markdown]
# # A lesson
# {{minutes}}

# %%
import os
from pathlib import Path
log = Path(os.environ["MAGNET_HOME"]) / "log"
with log.open("a") as file:
    print("NAME", os.environ["MAGNET_BUDGET"], os.environ["MAGNET_DATASET"], os.environ["MAGNET_SEED"], file=file)

(log.parent / "kernel").write_text(str(os.getpid()))

# %%
import time
while os.environ.get("WAIT") == "NAME":
    time.sleep(0.1)
"""
TWO = (
    Lesson("00_a", "A <lesson>", {"smoke": 1, "fast": 2, "paper": 3}),
    Lesson("01_b", "B", {"smoke": 1, "fast": 2, "paper": 3}),
)
FIGURE_CELL = """
# %%
import matplotlib.pyplot as plt
from magnet_helpers.plotting import show_figure
figure, axes = plt.subplots()
show_figure(figure, "empty", 'axes without a line, "quoted" & <marked>')
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    sources = tmp_path / "notebooks" / "source"
    sources.mkdir(parents=True)
    for lesson in TWO:
        (sources / f"{lesson.name}.py").write_text(SOURCE.replace("NAME", lesson.name))
    monkeypatch.setattr(course, "LESSONS", TWO)
    monkeypatch.setattr("magnet_helpers.lab.lessons.LESSONS", TWO)
    monkeypatch.setattr("tools.site.notebooks.WARM_UP", "pass")  # these lessons need nothing
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))
    return tmp_path


def log(root: Path) -> list[str]:
    return (root / "log").read_text().splitlines()


def test_lessons_run_once_in_order_with_their_settings(root):
    made = Course(root, "smoke", "digits", 7).run(root / "out")
    assert log(root) == ["00_a smoke digits 7", "01_b smoke digits 7"]
    notebook = nbformat.read(made[0], as_version=4)
    assert notebook.metadata[course.STAMP]["seed"] == 7
    assert [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"] == [1, 2]
    assert "execution" not in notebook.cells[1].metadata


def test_a_kernel_imports_the_package_before_its_lesson_and_leaves_no_name(root, monkeypatch):
    monkeypatch.setattr("tools.site.notebooks.WARM_UP", WARM_UP)
    for lesson in TWO:
        path = root / "notebooks" / "source" / f"{lesson.name}.py"
        path.write_text(path.read_text() + "\n# %%\nimport sys\nprint('magnet_helpers' in sys.modules, dir())\n")
    for path in Course(root, "smoke", "digits", 7).run(root / "out"):
        (output,) = nbformat.read(path, as_version=4).cells[-1].outputs
        assert output.text.startswith("True ")
        assert "magnet_helpers" not in output.text


def test_what_is_there_is_not_run_again_and_what_changed_is(root, capsys):
    Course(root, "smoke", "digits", 7).run(root / "out")
    Course(root, "smoke", "digits", 7).run(root / "out")
    assert len(log(root)) == 2
    assert "00_a: there already" in capsys.readouterr().err
    path = root / "notebooks" / "source" / "01_b.py"
    path.write_text(path.read_text() + "\n# %%\n1 + 1\n")
    Course(root, "smoke", "digits", 7).run(root / "out")
    assert log(root)[2:] == ["01_b smoke digits 7"]
    Course(root, "smoke", "digits", 8).run(root / "out")
    assert log(root)[3:] == ["00_a smoke digits 8", "01_b smoke digits 8"]


def test_a_lesson_is_run_again_when_any_module_that_it_may_call_changed():
    modules = lesson_modules()
    assert {"lab", "attacks", "attacks.gradient", "checks.feedback"} <= set(modules)
    assert not [name for name in modules if "__" in name or name.startswith("coursework")]
    assert len(code_version(*modules)) == 16


def test_a_damaged_notebook_is_made_again(root):
    Course(root, "smoke", "digits", 7).run(root / "out")
    (root / "out" / "00_a.ipynb").write_text('{"cells": [')
    Course(root, "smoke", "digits", 7).run(root / "out")
    assert len(log(root)) == 3
    nbformat.read(root / "out" / "00_a.ipynb", as_version=4)


KILLED = """
import sys
from pathlib import Path
from tools.site import course
from magnet_helpers.lab import lessons
from tools.site import notebooks
from magnet_helpers.lab.lessons import Lesson
notebooks.WARM_UP = "pass"
minutes = {"smoke": 1, "fast": 2, "paper": 3}
course.LESSONS = lessons.LESSONS = (Lesson("00_a", "A", minutes), Lesson("01_b", "B", minutes))
root = Path(sys.argv[1])
course.Course(root, "smoke", "digits", 7).run(root / "out")
"""


@pytest.mark.parametrize("number", [pytest.param(signal.SIGKILL, marks=pytest.mark.long), signal.SIGINT])
def test_a_course_that_was_stopped_goes_on_where_it_was(root, number):
    command = [sys.executable, "-c", KILLED, str(root)]
    process = subprocess.Popen(command, env={**os.environ, "WAIT": "01_b"}, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not ((root / "log").exists() and len(log(root)) == 2) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    if number != signal.SIGKILL:
        assert said.splitlines()[-1] == "KeyboardInterrupt"
    kernel = int((root / "kernel").read_text())
    while Path(f"/proc/{kernel}").exists() and time.monotonic() < deadline:  # it looks for its parent once a second
        time.sleep(0.1)
    assert not Path(f"/proc/{kernel}").exists()
    assert log(root) == ["00_a smoke digits 7", "01_b smoke digits 7"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert log(root) == ["00_a smoke digits 7", "01_b smoke digits 7", "01_b smoke digits 7"]


def test_figures_and_pages_come_from_the_notebooks(root):
    path = root / "notebooks" / "source" / "00_a.py"
    path.write_text(path.read_text() + FIGURE_CELL)
    notebooks = Course(root, "smoke", "digits", 0).run(root / "out")
    figures = write_figures(notebooks, root / "figures")
    assert figures == [root / "figures" / "00_empty.png"]
    assert figures[0].read_bytes().startswith(b"\x89PNG")
    index = write_site(notebooks, root / "site")
    text = index.read_text()
    assert '<a href="00_a.html">00 · A &lt;lesson&gt;</a>' in text
    assert "smoke budget, dataset digits, seed 0" in text
    (image,) = re.findall(r"<img [^>]*?>(?=</div>|\n)", (root / "site" / "00_a.html").read_text())
    assert """alt='axes without a line, "quoted" &amp; &lt;marked&gt;'""" in image
    assert (root / "site" / "01_b.html").stat().st_size > 10_000


def test_a_failing_cell_says_where(root, monkeypatch, capsys):
    path = root / "notebooks" / "source" / "01_b.py"
    path.write_text(path.read_text() + "\n# %%\n1 / 0\n")
    assert main(["course", "--budget", "smoke", "--dataset", "digits"], root) == 1
    said = capsys.readouterr().err
    assert "01_b failed" in said
    assert "1 / 0" in said
    assert "ZeroDivisionError" in said
    assert "\x1b[3" not in said
    assert (root / "build" / "notebooks" / "00_a.ipynb").exists()
    assert not (root / "build" / "notebooks" / "01_b.ipynb").exists()


def test_remaining_time_follows_the_pace(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(course.time, "monotonic", lambda: now[0])
    progress = Progress(list(TWO), "fast")
    assert progress.remaining_minutes(TWO[0], 0.0) == pytest.approx(4)
    progress.finished.append(TWO[0])
    now[0] = 4 * 60  # the first took four minutes in place of two
    assert progress.remaining_minutes(TWO[1], 0.5) == pytest.approx(1 * 4 / 3)


def test_the_table_is_printed_from_the_counts(tmp_path, capsys):
    row = {"family": "denoising", "n_stacks": 1, "noise_std": 0.3}
    row |= {
        "clean": {"correct": 3, "total": 4},
        "grey box": {"correct": 1, "total": 2},
        "white box": {"correct": 0, "total": 5},
    }
    path = tmp_path / "comparison.json"
    path.write_text(json.dumps({"dataset": "digits", "budget": "smoke", "seed": 2, "rows": [row]}))
    print_comparison(path)
    said = capsys.readouterr().out.split()
    assert said[-6:] == ["denoising", "1", "0.3", "75.0", "50.0", "0.0"]
    assert "digits" in said


COMMAND = ["course", "--budget", "smoke", "--dataset", "digits", "--seed", "7"]


@pytest.fixture
def one_row(root, monkeypatch):
    monkeypatch.setattr(course, "GRID", (NO_REFORMER,))
    return root


def test_the_table_is_this_runs_whatever_lies_in_its_place(one_row, capsys):
    results = one_row / "build" / "results" / "comparison.json"
    assert main(COMMAND, one_row) == 0
    said, whole = capsys.readouterr().out, results.read_text()
    assert "digits · smoke budget · seed 7" in said
    another = whole.replace('"seed": 7', '"seed": 8')
    for spoil in (results.unlink, lambda: results.write_text("{"), lambda: results.write_text(another)):
        spoil()
        assert main(COMMAND, one_row) == 0
        assert said.endswith(capsys.readouterr().out)
        assert results.read_text() == whole
    assert len(log(one_row)) == 2, "no lesson was run again for it"


def test_a_course_where_nothing_can_be_written_says_so_at_once(one_row, capsys):
    (one_row / "build").write_text("a file")
    assert main(COMMAND, one_row) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.match(r"cannot write .*build/\.course\.lock: .*MAGNET_HOME", line)
    assert not (one_row / "log").exists()


@pytest.mark.parametrize("command", [["student"], ["notebooks"], COMMAND])
def test_a_full_disk_is_one_line(one_row, command, capsys, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr("tools.coursework.assignments.read_assignments", lambda folder: [])
    monkeypatch.setattr(course, "load_images", lambda name: load_images("digits"))
    assert main(command, one_row) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.match(r"cannot write .*No space left.*MAGNET_HOME", line)


def test_an_error_that_says_all_is_one_line(one_row, capsys):
    path = one_row / "notebooks" / "source" / "00_a.py"
    path.write_text(path.read_text() + "\n# %%\nfrom magnet_helpers.files import *\nraise StorageError('no room')\n")
    assert main(COMMAND, one_row) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1] == "00_a failed in cell 4: no room"


def test_a_kernel_that_was_killed_is_said(one_row, capsys):
    path = one_row / "notebooks" / "source" / "01_b.py"
    path.write_text(path.read_text() + "\n# %%\nos.kill(os.getpid(), 9)\n")
    assert main(COMMAND, one_row) == 1
    assert re.match(r"01_b failed in cell 4: .*[Kk]ernel died", capsys.readouterr().err.strip().splitlines()[-1])


def test_who_is_told_to_stop_between_lessons_says_so(one_row, capsys, monkeypatch):
    monkeypatch.setattr(course, "write_figures", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert main(COMMAND, one_row) == 130
    assert "interrupted: the same command goes on" in capsys.readouterr().err


def test_the_real_lessons_have_sources():
    root = Path(__file__).parents[3]
    assert [path.stem for path in sorted((root / "notebooks" / "source").glob("*.py"))] == [
        lesson.name for lesson in LESSONS
    ]
