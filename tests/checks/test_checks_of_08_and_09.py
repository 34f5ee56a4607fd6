"""The checks of lessons 08 and 09: the two that no assignment uses, and every hint that any of them gives."""

import math

import pytest
import torch
from marks import SOURCES, answers_of, grade

from magnet_helpers import checks
from magnet_helpers.attacks import BPDA
from magnet_helpers.checks import check_jensen_shannon, check_straight_through
from magnet_helpers.checks import lesson_08_magnet_detectors as lesson_08
from magnet_helpers.checks import lesson_09_breaking_magnet as lesson_09
from magnet_helpers.detectors import jensen_shannon
from tools.coursework.assignments import read_assignment


def kl(r, s):
    return (torch.xlogy(r, r) - torch.xlogy(r, s)).sum(dim=1)


def divergence(r, s):
    return (kl(r, (r + s) / 2) + kl(s, (r + s) / 2)) / 2


def plainly(r, s):
    m = (r + s) / 2
    return ((r * (r / m).log()).sum(dim=1) + (s * (s / m).log()).sum(dim=1)) / 2


RIGHT_DIVERGENCES = {
    "xlogy": divergence,
    "zeros taken out": lambda r, s: torch.stack(
        [
            sum((a[a > 0] * (a[a > 0] / m[a > 0]).log()).sum() for a in (x, y)) / 2
            for x, y, m in zip(r, s, (r + s) / 2, strict=True)
        ]
    ),
    "the helper, from logarithms": lambda r, s: jensen_shannon(r.clamp(min=1e-300).log(), s.clamp(min=1e-300).log()),
    "entropies": lambda r, s: (
        torch.special.entr((r + s) / 2).sum(dim=1)
        - (torch.special.entr(r).sum(dim=1) + torch.special.entr(s).sum(dim=1)) / 2
    ),
}
WRONG_DIVERGENCES = {
    "in bits": lambda r, s: divergence(r, s) / math.log(2),
    "two halves are missing": lambda r, s: 2 * divergence(r, s),
    "KL(r‖s)": kl,
    "compared with each other": lambda r, s: (kl(r, s) + kl(s, r)) / 2,
    "one half is missing": lambda r, s: kl(r, (r + s) / 2) / 2,
    "square root": lambda r, s: divergence(r, s).sqrt(),
    "one number for all images": lambda r, s: divergence(r, s).mean(),
    "which dimension": lambda r, s: divergence(r.T, s.T),
    "where a probability is 0": plainly,
    "float64": lambda r, s: divergence(r.float(), s.float()),
    "returned nothing": lambda r, s: ...,
}


class Own(torch.autograd.Function):
    @staticmethod
    def forward(_context, images, function):
        return function(images)

    @staticmethod
    def backward(_context, gradient):
        return gradient, None


def no_gradient(function, images):
    with torch.no_grad():
        return function(images)


RIGHT_DETOURS = {
    "the difference detached": lambda function, images: images + (function(images) - images).detach(),
    "an autograd function": lambda function, images: Own.apply(images, function),
    "the helper": lambda function, images: BPDA(function)(images),
    "0 with a gradient": lambda function, images: function(images).detach() + images - images.detach(),
}
WRONG_DETOURS = {
    "as they came": lambda function, images: images,
    "no gradient comes through": no_gradient,
    "not that of the identity": lambda function, images: function(images) + 0 * images,
    "the function's own gradient": lambda function, images: function(images) + images - images.detach(),
    "returned nothing": lambda function, images: None,
}


RIGHT = [(check_jensen_shannon, answer) for answer in RIGHT_DIVERGENCES.values()]
RIGHT += [(check_straight_through, answer) for answer in RIGHT_DETOURS.values()]
WRONG = [(check_jensen_shannon, hint, answer) for hint, answer in WRONG_DIVERGENCES.items()]
WRONG += [(check_straight_through, hint, answer) for hint, answer in WRONG_DETOURS.items()]


@pytest.mark.parametrize(("check", "answer"), RIGHT, ids=[*RIGHT_DIVERGENCES, *RIGHT_DETOURS])
def test_right_answers_to_the_lessons_exercises(check, answer):
    feedback = check(answer)
    assert feedback, feedback


@pytest.mark.parametrize(("check", "hint", "answer"), WRONG, ids=[*WRONG_DIVERGENCES, *WRONG_DETOURS])
def test_wrong_answers_to_the_lessons_exercises_get_their_hint(check, hint, answer):
    feedback = check(answer)
    assert not feedback
    assert hint in feedback.message


@pytest.mark.parametrize(
    ("name", "module", "lessons_check", "wrong"),
    [
        ("08_magnet_detectors", lesson_08, check_jensen_shannon, WRONG_DIVERGENCES),
        ("09_breaking_magnet", lesson_09, check_straight_through, WRONG_DETOURS),
    ],
    ids=["08", "09"],
)
def test_each_hint_is_reached_by_a_wrong_answer(name, module, lessons_check, wrong, monkeypatch):
    hints, check = set(), module.check

    def recording(function, cases, **settings):
        hints.update(hint for _, _, mistakes in cases for hint in mistakes)
        return check(function, cases, **settings)

    monkeypatch.setattr(module, "check", recording)
    assignment = read_assignment(SOURCES / f"{name}.py")
    given = [grade(assignment, {answer.task: answer.code}).feedback[answer.task] for answer in answers_of(name)]
    given += [lessons_check(answer) for answer in wrong.values()]
    reached = {feedback.message for feedback in given}
    same = "(here number"  # one hint for each reformer: one of them is enough
    assert {hint for hint in hints - reached if same not in hint} == set()
    assert len(hints) > 20


# ---- in whatever mode PyTorch is


def test_every_check_judges_in_plain_circumstances():
    assert all(hasattr(getattr(checks, name), "__wrapped__") for name in checks.__all__ if name.startswith("check_"))


@pytest.mark.parametrize(("check", "answer"), RIGHT[:1] + RIGHT[-1:])
@pytest.mark.parametrize(
    "mode", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu"), lambda: torch.device("meta")]
)
def test_a_right_answer_is_right_in_each_mode_of_pytorch(check, answer, mode):
    with mode():
        assert check(answer)
