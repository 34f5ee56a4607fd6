"""Every hint of these checks is reached: by a wrong answer to an assignment, or by one to a lesson's exercise."""

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from marks import SOURCES, Answer, answers_of, graded_cells, run_cell

from magnet_helpers.checks import check_ledger_rule, check_relu_layer_penalty, check_targeted_step
from magnet_helpers.checks import lesson_05_contractive_autoencoder as lesson_05
from magnet_helpers.checks import lesson_06_attacks as lesson_06
from magnet_helpers.checks import lesson_07_comparison as lesson_07
from magnet_helpers.checks.feedback import Feedback
from tools.coursework.assignments import part_of, read_assignment, task_of

MODULES = {
    "05_contractive_autoencoder": lesson_05,
    "06_attacks": lesson_06,
    "07_comparison": lesson_07,
}


def slope(network, images, labels):
    images = images.clone().requires_grad_()
    loss = -network(images).log_softmax(dim=1)[range(len(labels)), labels].sum()
    return torch.autograd.grad(loss, images)[0]


def stepped(network, images, labels, epsilon):
    return torch.where(slope(network, images, labels) > 0, images - epsilon, images + epsilon).clamp(0, 1) * (
        slope(network, images, labels) != 0
    ) + images * (slope(network, images, labels) == 0)


LESSON = {
    check_relu_layer_penalty: {
        "the code itself stands": lambda codes, weight: codes.square() @ weight.square().sum(dim=1),
        "switched off": lambda codes, weight: weight.square().sum().expand(len(codes)),
        "the sigmoid's slope": lambda codes, weight: (codes * (1 - codes)).square() @ weight.square().sum(dim=1),
        "not squared": lambda codes, weight: (codes > 0).float() @ weight.sum(dim=1),
        "wrong dimension": lambda codes, weight: (codes > 0).float() @ weight.square().sum(dim=0),
        "one number for all": lambda codes, weight: ((codes > 0).float() @ weight.square().sum(dim=1)).sum(),
    },
    check_targeted_step: {
        "leads away": lambda network, images, targets, epsilon: stepped(network, images, targets, -epsilon),
        "own answers": lambda network, images, targets, epsilon: stepped(
            network, images, network(images).argmax(dim=1), -epsilon
        ),
        "own size": lambda network, images, targets, epsilon: (
            images - epsilon * slope(network, images, targets)
        ).clamp(0, 1),
        "leaves the range": lambda network, images, targets, epsilon: (
            images - epsilon * slope(network, images, targets).sign()
        ),
    },
    check_ledger_rule: {
        "threshold is not used": lambda low, high, threshold: (
            "holds" if low > 0 else "does not hold" if high < 0 else "undecided"
        ),
        "the middle": lambda low, high, threshold: "holds" if (low + high) / 2 > threshold else "does not hold",
        "counts as fallen": lambda low, high, threshold: "holds" if low > threshold else "does not hold",
        "counts as held": lambda low, high, threshold: "does not hold" if high < threshold else "holds",
        "exchanged": lambda low, high, threshold: (
            "does not hold" if low > threshold else "holds" if high < threshold else "undecided"
        ),
        "got 'holds'": lambda low, high, threshold: "holds",
        "expected one of 'holds'": lambda low, high, threshold: low > threshold,
        "it raised TypeError": lambda low, high: "holds",
    },
}
WRONG = [(check, words, wrong) for check, answers in LESSON.items() for words, wrong in answers.items()]


@pytest.mark.parametrize(("check", "words", "wrong"), WRONG, ids=[f"{c.__name__}: {w}" for c, w, _ in WRONG])
def test_a_wrong_answer_to_a_lessons_exercise_is_named(check, words, wrong):
    feedback = check(wrong)
    assert not feedback
    assert words in feedback.message


@pytest.mark.parametrize("check", LESSON, ids=lambda check: check.__name__)
def test_an_untouched_exercise_is_no_error(check):
    feedback = check(lambda *_: None)
    assert not feedback
    assert feedback.message.startswith("the function returned nothing")


def test_right_answers_to_the_lessons_exercises():
    assert check_relu_layer_penalty(lambda codes, weight: torch.stack([weight[h > 0].square().sum() for h in codes])), (
        "a loop over the images"
    )
    assert check_targeted_step(stepped)
    assert check_ledger_rule(
        lambda low, high, threshold: (
            "undecided" if low <= threshold <= high else ("does not hold", "holds")[low > threshold]
        )
    )


@cache
def cells_of(name: str) -> list[tuple[str, str, str]]:
    """Return (part, task, source) of the cells that define things or check them, in order."""
    cells, task = [], ""
    for cell in graded_cells(read_assignment(SOURCES / f"{name}.py").notebook):
        task = task_of(cell) or task
        part = "check" if not part_of(cell) and "check_" in cell.source else part_of(cell)
        cells.append((part, task, cell.source))
    return cells


def feedback_of(answer: Answer) -> Feedback:
    """Return what the check says to one answer, the other tasks solved."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for part, task, source in cells_of(answer.assignment):
        if part == "check" and task == answer.task:
            feedback = run_cell(source, namespace)
            assert isinstance(feedback, Feedback)
            return feedback
        if part not in ("check", "tests"):
            run_cell(answer.code if (part, task) == ("solution", answer.task) else source, namespace)
    raise AssertionError(f"{answer.assignment} has no check of {answer.task}")


def hints_of(module: object) -> set[str]:
    """Return the messages written in a module of checks: keys of its tables of mistakes, and what it calls `off`."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    keys = [key for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys]
    keys += [
        node.slice
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)  # mistakes["…"] = …
    ]
    keys += [
        node.args[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "off"
    ]
    return {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}


@pytest.mark.parametrize("name", MODULES)
def test_every_hint_is_reached_and_no_answer_is_wrong_by_a_forgotten_import(name):
    wrong = [answer for answer in answers_of(name) if not answer.right]
    said = [feedback_of(answer).message for answer in wrong]
    of_lessons: dict[object, list[Callable[..., object]]] = {check: list(LESSON[check].values()) for check in LESSON}
    said += [check(answer).message for check, answers in of_lessons.items() for answer in answers]
    said += [check(lambda *_: None).message for check in LESSON]
    assert hints_of(MODULES[name]) - set(said) == set()
    assert not any("NameError" in message for message in said)
