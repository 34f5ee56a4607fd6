"""A folder of submissions: each gets what it deserves, and a batch that was stopped goes on."""

import ast
import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from handing_in import NAME, SHORT, graded, hand_in, needs_bubblewrap, points, trouble
from marks import ROOT, SOURCES

import magnet_helpers
from tools.coursework.gradebook import GradingError
from tools.coursework.grades_table import write_grades
from tools.coursework.grading import Batch, grader_code

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
        for place in needed
        for path in (place, place.resolve())
        if path.is_relative_to(Path.home())
    }
    seen = spied.marks["count"].reason
    assert seen.startswith("RuntimeError: ")
    sights = ast.literal_eval(seen.removeprefix("RuntimeError: "))
    assert sights[0] in ("FileNotFoundError", [])
    assert sights[1] == "FileNotFoundError"
    assert sights[2] == "FileNotFoundError" or set(sights[2]) <= on_the_way
    assert sights[3] == "FileNotFoundError"
    assert sights[4] == "no network"
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


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_batch_leaves_nothing_running_and_goes_on(sources, tmp_path, number):
    for student in ("a", "b", "c"):
        hand_in(tmp_path / "in", student, {})
    command = [sys.executable, "-m", "tools", "grade", str(tmp_path / "in")]
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
    assert not [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]
    first = {path: path.stat().st_mtime for path in results.glob("*/*.json")}
    assert 1 <= len(first) < 3
    assert (tmp_path / "grading" / "grades.csv").exists()
    assert subprocess.run(command, env=environment, check=False, capture_output=True).returncode == 0
    assert {path: path.stat().st_mtime for path in first} == first
    with (tmp_path / "grading" / "grades.csv").open(encoding="utf-8", newline="") as file:
        assert [float(row["points"]) for row in csv.DictReader(file)] == [8, 8, 8]


def test_marks_for_other_versions_of_an_assignment_are_not_mixed(sources, tmp_path):
    hand_in(tmp_path / "in", "ann", {})
    Batch(sources, tmp_path / "in", tmp_path / "grading", SHORT, confined=False)
    changed = tmp_path / "sources"
    shutil.copytree(sources, changed)
    text = (changed / f"{NAME}.py").read_text(encoding="utf-8")
    (changed / f"{NAME}.py").write_text(text.replace("points=2", "points=4"), encoding="utf-8")
    with pytest.raises(GradingError, match="other versions"):
        Batch(changed, tmp_path / "in", tmp_path / "grading", SHORT, confined=False)


def test_what_other_code_graded_is_graded_anew(tmp_path):
    copy = tmp_path / "coursework"
    shutil.copytree(ROOT / "tools" / "coursework", copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert grader_code(copy) == grader_code()
    for path in copy.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text + "changed = True\n", encoding="utf-8")
        assert grader_code(copy) != grader_code(), path.name
        path.write_text(text, encoding="utf-8")


def test_all_that_grades_is_in_the_folder_that_is_looked_at():
    code = "import sys, tools.coursework.grading, tools.coursework.autograding; print(*sys.modules)"
    listed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    elsewhere = {name for name in listed.split() if name.startswith("tools.") and "coursework" not in name}
    # What of an assignment comes from these stands in its notebook, and that counts too.
    assert elsewhere == {"tools.checkout", "tools.site", "tools.site.address", "tools.site.notebooks"}
