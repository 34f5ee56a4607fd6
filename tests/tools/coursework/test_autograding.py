"""The autograder itself, with real kernels: what it gives, and what hostile submissions cost whom."""

import shutil

import nbformat
import pytest
from handing_in import NAME, assignment, graded, hand_in, needs_bubblewrap, points
from marks import SOURCES, answers_of
from nbgrader.api import Gradebook

from tools.coursework.confinement import Limits
from tools.coursework.gradebook import database

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
