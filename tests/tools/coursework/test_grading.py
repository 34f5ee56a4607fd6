"""The autograder itself, with real kernels: what it gives, and what hostile submissions cost whom."""

import ast
import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import cache, partial
from pathlib import Path

import nbformat
import psutil
import pytest
from marks import ROOT, SOURCES, answers_of
from nbgrader.api import Gradebook

import magnet_helpers
from tools.coursework.assignments import Assignment, read_assignment
from tools.coursework.autograding import database
from tools.coursework.confinement import ConfinementError, Limits, Watch, find_confinement
from tools.coursework.grading import Batch, Graded, GradingError, write_grades
from tools.coursework.students import student_copy

NAME = "01_classifier"
SHORT = Limits(cell_seconds=6, total_seconds=100, memory_mb=1200, output_kb=50, processes=12)


def trouble() -> str:
    """Return why students' code cannot be confined on this machine; empty if it can."""
    try:
        find_confinement()
    except ConfinementError as error:
        return str(error)
    return ""


needs_bubblewrap = pytest.mark.skipif(bool(trouble()), reason=trouble())


@cache
def assignment(name: str = NAME) -> Assignment:
    return read_assignment(SOURCES / f"{name}.py")


def hand_in(folder: Path, student: str, answers: dict[str, str] | None, name: str = NAME) -> None:
    """Write a submission: the reference with other answers to some tasks, or an untouched copy."""
    notebook = student_copy(assignment(name))
    solutions = {c.id: c.source for c in assignment(name).notebook.cells}
    for cell in notebook.cells:
        task = cell.metadata.get("nbgrader", {}).get("grade_id")
        if answers is not None and cell.metadata.get("magnet_lab", {}).get("part") == "solution":
            cell.source = answers.get(task, solutions[cell.id])
    (folder / student).mkdir(parents=True)
    (folder / student / f"{name}.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A folder with one assignment: preparing all takes a while."""
    folder = tmp_path_factory.mktemp("sources")
    shutil.copy(SOURCES / f"{NAME}.py", folder)
    return folder


def graded(sources: Path, folder: Path, limits: Limits = SHORT) -> dict[str, Graded]:
    batch = Batch(sources, folder, folder.parent / "grading", limits, confined=not trouble())
    list(batch.run())
    return {each.submission.student: each for each in batch.done()}


def points(each: Graded) -> dict[str, float | None]:
    return {name: marks.points for name, marks in each.result.marks.items()}


HOSTILE = """
import pathlib, socket, os

def look(path):
    try:
        return sorted(os.listdir(path)) if os.path.isdir(path) else open(path).read()[:100]
    except OSError as error:
        return type(error).__name__

try:
    connected = socket.create_connection(("127.0.0.1", {port}), timeout=3) and "connected"
except OSError as error:
    connected = "no network"
raise RuntimeError(repr([look("{course}"), look("{source}"), look("{home}"), look("{others}"), connected]))
"""


@needs_bubblewrap
def test_a_batch_gives_each_what_it_deserves_and_strangers_find_nothing(sources, tmp_path):
    folder = tmp_path / "in"
    (folder / "broken").mkdir(parents=True)
    (folder / "broken" / f"{NAME}.ipynb").write_text("{", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        spy = HOSTILE.format(
            port=server.getsockname()[1], course=tmp_path, source=SOURCES, home=Path.home(), others=folder
        )
        loop = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
        hand_in(folder, "=1+1 spy", {"count": spy, "wilson": loop})
        of = graded(sources, folder)

    assert "no Jupyter notebook" in of["broken"].result.status
    assert set(points(of["broken"]).values()) == {0}

    spied = of["=1+1 spy"].result
    assert points(of["=1+1 spy"]) == {"count": 0, "cross_entropy": 3, "wilson": 0, "explain": 0, "investigate": 0}
    # Of a folder that a library lies beneath, the names on the way there are seen, and nothing else.
    needed = [Path(sys.prefix), Path(sys.base_prefix), Path(magnet_helpers.__file__).parent]
    on_the_way = {
        path.relative_to(Path.home()).parts[0]
        for each in needed
        for path in (each, each.resolve())
        if path.is_relative_to(Path.home())
    }
    seen = spied.marks["count"].reason
    assert seen.startswith("RuntimeError: ")
    found = ast.literal_eval(seen.removeprefix("RuntimeError: "))
    assert found[0] in ("FileNotFoundError", [])
    assert found[1] == "FileNotFoundError"
    assert found[2] == "FileNotFoundError" or set(found[2]) <= on_the_way
    assert found[3] == "FileNotFoundError"
    assert found[4] == "no network"
    assert "longer than 6 seconds" in spied.marks["wilson"].reason
    assert any("could not be interrupted" in remark for remark in spied.remarks)

    path = write_grades(list(of.values()), tmp_path / "out")
    with path.open(encoding="utf-8", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert float(rows["'=1+1 spy"]["points"]) == 3  # no spreadsheet takes the name for a formula
    for student in ("broken", "=1+1 spy"):
        folder_of = tmp_path / "grading" / "feedback" / of[student].submission.student_id / NAME
        assert "html" in (folder_of / f"{NAME}.html").read_text(encoding="utf-8")


def test_what_the_grader_failed_at_is_tried_again(sources, tmp_path, monkeypatch):
    folder = tmp_path / "in"
    (folder / "ann").mkdir(parents=True)
    (folder / "ann" / f"{NAME}.ipynb").write_text("{", encoding="utf-8")
    batch = Batch(sources, folder, tmp_path / "grading", SHORT, confined=not trouble())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", shutil.which("false"))
        list(batch.run())
    (failed,) = batch.done()
    assert failed.result.status.startswith("the grader failed, a person has to look")
    assert set(points(failed).values()) == {None}
    assert batch.waiting() == [failed.submission]
    list(batch.run())
    (read,) = batch.done()
    assert "no Jupyter notebook" in read.result.status
    assert batch.waiting() == []


BAD = {
    "ends Python": ("import os; os._exit(0)", "the code ended Python itself"),
    "asks Python to quit": ("exit()", "the code ended Python itself|longer than 6 seconds"),
    "allocates at once": ("x = b'1' * (8 * 2**30)", "MemoryError"),
    "allocates slowly": (
        "import mmap\nkept = []\nwhile True:\n    kept.append(mmap.mmap(-1, 2**26))\n    kept[-1].write(b'1' * 2**26)",
        "more than 1200 MB of memory",
    ),
    "prints for ever": ("while True: print('x' * 1000)", "printed or showed more than 50 kB"),
    "fills the disk": ("f = open('/tmp/x', 'wb')\nwhile True: f.write(b'1' * 2**20)", "OSError|SIGXFSZ|ended Python"),
    "starts processes": (
        "import subprocess, time\nall = [subprocess.Popen(['sleep', '60']) for _ in range(100)]\ntime.sleep(5)",
        "more than 12 processes",
    ),
    "sleeps": ("import time; time.sleep(1000)", "longer than 6 seconds"),
}


@needs_bubblewrap
@pytest.mark.long
def test_what_harms_costs_its_own_task_or_what_comes_after_and_has_a_reason(sources, tmp_path):
    folder = tmp_path / "in"
    for student, (code, _) in BAD.items():
        hand_in(folder, student, {"cross_entropy": code})
    of = graded(sources, folder)
    for student, (_, reason) in BAD.items():
        result = of[student].result
        assert result.status == "graded", student
        assert points(of[student])["count"] == 2, student
        assert points(of[student])["cross_entropy"] == 0, student
        text = result.marks["cross_entropy"].reason + "; ".join(result.remarks)
        assert any(part in text for part in reason.split("|")), (student, text)
    assert points(of["sleeps"])["wilson"] == 3
    assert points(of["allocates at once"])["wilson"] == 3
    assert points(of["prints for ever"])["wilson"] == 3
    assert points(of["ends Python"])["wilson"] == 0
    assert "not run" in of["ends Python"].result.marks["wilson"].reason


@needs_bubblewrap
@pytest.mark.long
@pytest.mark.parametrize("name", sorted(path.stem for path in SOURCES.glob("*.py")))
def test_the_real_autograder_agrees_with_the_table(name, tmp_path):
    (tmp_path / "sources").mkdir()
    shutil.copy(SOURCES / f"{name}.py", tmp_path / "sources")
    folder = tmp_path / "in"
    table: dict[str, dict[str, bool]] = {"reference": {}, "untouched": {}}
    hand_in(folder, "reference", {}, name)
    hand_in(folder, "untouched", None, name)
    tasks = [task.name for task in assignment(name).tasks if not task.by_hand]
    for right in (True, False):
        kinds = {task: [a for a in answers_of(name) if a.task == task and a.right == right] for task in tasks}
        for number in range(max(map(len, kinds.values()))):
            chosen = {task: some[number % len(some)] for task, some in kinds.items()}
            student = f"{'right' if right else 'wrong'}-{number}"
            table[student] = dict.fromkeys(tasks, right)
            hand_in(folder, student, {task: answer.code for task, answer in chosen.items()}, name)
    of = graded(tmp_path / "sources", folder, Limits())
    for student, deserved in table.items():
        for task in tasks:
            expected = student == "reference" or deserved.get(task, False)
            marks = of[student].result.marks[task]
            assert marks.points == (assignment(name).task(task).points if expected else 0), (student, task, marks)
            assert bool(marks.reason) != expected


@needs_bubblewrap
@pytest.mark.long
def test_marks_given_by_hand_come_into_the_table_and_the_feedback(sources, tmp_path):
    hand_in(tmp_path / "in", "ann", {})
    path = tmp_path / "in" / "ann" / f"{NAME}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "explain":
            cell.source = "Because of the seeds."
    nbformat.write(notebook, path)
    assert points(graded(sources, tmp_path / "in")["ann"])["explain"] is None
    with Gradebook(database(tmp_path / "grading")) as gradebook:
        grade = gradebook.find_grade("explain", NAME, NAME, "ann")
        grade.manual_score, grade.needs_manual_grade = 2, False
        gradebook.find_comment("explain", NAME, NAME, "ann").manual_comment = "Which seeds?"
        gradebook.db.commit()
    again = graded(sources, tmp_path / "in")["ann"]
    assert points(again)["explain"] == 2
    page = (tmp_path / "grading" / "feedback" / "ann" / NAME / f"{NAME}.html").read_text(encoding="utf-8")
    assert "Which seeds?" in page

    notebook.cells[-1].source += "\n# handed in again"
    nbformat.write(notebook, path)
    anew = graded(sources, tmp_path / "in")["ann"]
    assert points(anew)["explain"] == 2
    assert "look again" in anew.result.marks["explain"].reason
    with Gradebook(database(tmp_path / "grading")) as gradebook:
        gradebook.find_grade("explain", NAME, NAME, "ann").needs_manual_grade = False
        gradebook.db.commit()
    seen = graded(sources, tmp_path / "in")["ann"]
    assert points(seen)["explain"] == 2
    assert seen.result.marks["explain"].reason == ""


def test_without_confinement_nothing_is_graded_unless_one_says_so(sources, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfinementError, match="UNCONFINED=yes"):
        find_confinement()
    hand_in(tmp_path / "in", "ann", {})
    with pytest.raises(ConfinementError):
        Batch(sources, tmp_path / "in", tmp_path / "grading", SHORT, confined=True)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_batch_leaves_nothing_running_and_goes_on(sources, tmp_path, number):
    for student in ("a", "b", "c"):
        hand_in(tmp_path / "in", student, {})
    command = [sys.executable, "-m", "magnet_helpers", "grade", str(tmp_path / "in")]
    command += ["--grades", str(tmp_path / "grading"), "--workers", "1"]
    if trouble():
        command.append("--unconfined")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command,
        env=environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # Where these tests run in the background, interruptions are ignored, and so they would be in here.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    results = tmp_path / "grading" / "results"
    while not list(results.glob("a/*.json")):
        assert process.poll() is None
        time.sleep(0.2)
    time.sleep(1)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    assert process.wait(60) == 130
    assert not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    first = {path: path.stat().st_mtime for path in results.glob("*/*.json")}
    assert 1 <= len(first) < 3
    assert (tmp_path / "grading" / "grades.csv").exists()
    assert subprocess.run(command, env=environment, check=False, capture_output=True).returncode == 0
    assert {path: path.stat().st_mtime for path in first} == first
    with (tmp_path / "grading" / "grades.csv").open(encoding="utf-8", newline="") as file:
        assert [float(row["points"]) for row in csv.DictReader(file)] == [8, 8, 8]


def test_a_bubblewrap_that_does_not_work_is_no_confinement(tmp_path, monkeypatch):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho no permission to make a room >&2\nexit 1\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfinementError, match="no permission to make a room"):
        find_confinement()


def test_marks_for_other_versions_of_an_assignment_are_not_mixed(sources, tmp_path):
    hand_in(tmp_path / "in", "ann", {})
    Batch(sources, tmp_path / "in", tmp_path / "grading", SHORT, confined=False)
    changed = tmp_path / "sources"
    shutil.copytree(sources, changed)
    text = (changed / f"{NAME}.py").read_text(encoding="utf-8")
    (changed / f"{NAME}.py").write_text(text.replace("points=2", "points=4"), encoding="utf-8")
    with pytest.raises(GradingError, match="other versions"):
        Batch(changed, tmp_path / "in", tmp_path / "grading", SHORT, confined=False)


def test_a_process_that_uses_too_much_is_ended():
    process = subprocess.Popen([sys.executable, "-c", "x = bytearray(300 * 2**20); import time; time.sleep(60)"])
    watch = Watch(process.pid, Limits(memory_mb=200))
    watch.start()
    try:
        assert process.wait(30) == -signal.SIGKILL
        watch.join(5)
        assert "more than 200 MB" in watch.reason
    finally:
        process.kill()


def test_a_process_that_uses_little_is_left_alone_and_watching_ends_with_it():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"])
    watch = Watch(process.pid, Limits(memory_mb=200))
    watch.start()
    assert process.wait(30) == 0
    watch.join(5)
    assert not watch.is_alive()
    assert watch.reason == ""
    assert threading.active_count() >= 1


@pytest.mark.parametrize("field", ["cell_seconds", "memory_mb", "output_kb"])
def test_limits_are_positive(field):
    with pytest.raises(ValueError, match=f"{field} must be 1 or more"):
        Limits(**{field: 0})
