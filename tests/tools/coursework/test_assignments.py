"""Graders tested as graders: full marks for the reference, none for an untouched copy, and a table of answers."""

from functools import cache

import nbformat
import pytest
from marks import ANSWERS, SOURCES, Answer, answers_of, grade

from magnet_helpers.lab.lessons import LESSONS
from tools.coursework.assignments import Assignment, AssignmentError, part_of, read_assignment
from tools.coursework.students import SECRETS, student_copy

NAMES = sorted(path.stem for path in SOURCES.glob("*.py"))
TABLE = [answer for name in NAMES for answer in answers_of(name)]


@cache
def assignment(name: str) -> Assignment:
    return read_assignment(SOURCES / f"{name}.py")


def auto_graded(name: str) -> set[str]:
    return {task.name for task in assignment(name).tasks if not task.by_hand}


def test_there_is_one_for_each_lesson_after_the_first():
    assert [lesson.name for lesson in LESSONS[1:]] == NAMES
    assert sorted(path.stem for path in ANSWERS.glob("*.py")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_solution_gets_full_marks_and_its_checks_say_so(name):
    outcome = grade(assignment(name))
    assert outcome.reasons == {}
    assert set(outcome.passed) == auto_graded(name)
    assert {task for task, feedback in outcome.feedback.items() if feedback.right} == auto_graded(name)


@pytest.mark.parametrize("name", NAMES)
def test_an_untouched_copy_gets_nothing(name):
    outcome = grade(assignment(name), untouched=True)
    assert set(outcome.passed) == auto_graded(name)
    assert not any(outcome.passed.values())
    assert not any(feedback.right for feedback in outcome.feedback.values())


@pytest.mark.parametrize("answer", TABLE, ids=str)
def test_an_answer_gets_the_marks_that_it_deserves(answer: Answer):
    outcome = grade(assignment(answer.assignment), {answer.task: answer.code})
    assert outcome.passed[answer.task] == answer.right, outcome.reasons.get(answer.task)
    assert outcome.feedback[answer.task].right == answer.right, outcome.feedback[answer.task]
    # An answer replaces the whole cell: one that lost an import would be wrong for that reason alone.
    assert "NameError" not in outcome.reasons.get(answer.task, "")


@pytest.mark.parametrize("name", NAMES)
def test_the_table_holds_enough_wrong_and_right_answers(name):
    for task in auto_graded(name):
        kinds = [answer.right for answer in answers_of(name) if answer.task == task]
        assert kinds.count(False) >= 3, task
        assert kinds.count(True) >= 1, task
    assert {answer.task for answer in answers_of(name)} == auto_graded(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_shape_of_an_assignment(name):
    tasks = assignment(name).tasks
    assert 3 <= len(tasks) <= 6
    assert tasks[-1].difficulty == "open"
    assert tasks[-1].by_hand
    assert any(task.by_hand for task in tasks[:-1])
    for task in tasks:
        assert task.points >= 1
        assert task.minutes >= 1
        if task.by_hand:
            assert (
                sum(int(line.split()[1]) for line in task.rubric.splitlines() if line.startswith("- ")) == task.points
            )


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_copy_is_the_one_that_is_made_now(name):
    there = (SOURCES.parent / f"{name}.ipynb").read_text(encoding="utf-8")
    assert there == nbformat.writes(student_copy(assignment(name))) + "\n", "run `make address`"


@pytest.mark.parametrize("name", NAMES)
def test_a_students_copy_holds_no_solution(name):
    whole, copy = assignment(name).notebook, student_copy(assignment(name))
    nbformat.validate(copy)
    assert [cell.id for cell in copy.cells] == [cell.id for cell in whole.cells]
    text = nbformat.writes(copy)
    assert not any(secret in text for secret in SECRETS)
    for ours, theirs in zip(whole.cells, copy.cells, strict=True):
        if part_of(ours) == "solution":
            assert "raise NotImplementedError" in theirs.source
        if part_of(ours) == "answer":
            assert theirs.source == "YOUR ANSWER HERE"
        if part_of(ours) in ("solution", "tests", "answer"):
            assert theirs.source != ours.source
    for task in assignment(name).tasks:
        assert not task.rubric or task.rubric not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# %% [markdown]\n# # A\n\n# %%\n1\n\n# %% part='try'\n1\n", "part must be one of"),
        ("# %% [markdown]\n# # A\n\n# %% colour='red'\n1\n", "colour"),
        ("# %% [markdown]\n# # A\n\n# %%\n1\n\n# %% task='x' part='tests'\n1\n", "not set"),
        (
            "# %% [markdown]\n# # A\n\n# %%\n1\n\n"
            "# %% [markdown] task='x' points=1 minutes=1 difficulty='easy'\n# ## X\n",
            "needs solution, task, tests",
        ),
    ],
)
def test_a_source_that_is_not_whole_is_refused(tmp_path, text, message):
    (tmp_path / "01_classifier.py").write_text(text, encoding="utf-8")
    with pytest.raises(AssignmentError, match=message):
        read_assignment(tmp_path / "01_classifier.py")
