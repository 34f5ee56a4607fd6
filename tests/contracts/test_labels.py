"""Labels that are no class numbers (N,): refused everywhere, and never broadcast."""

import numpy as np
import pytest
import torch
from entries import CLASSIFIER, TEST, of_labels
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt

from magnet_helpers.attacks import AttackResult, Knowledge
from magnet_helpers.evaluation import DefenseReport
from magnet_helpers.inference import predict
from magnet_helpers.magnet import Outcome

Y = TEST.labels
ENTRIES = sorted(of_labels(None))
ODD = {
    "an array": (Y.numpy(), "got a ndarray of int64: take torch.from_numpy"),
    "a list": (Y.tolist(), "got a list: take torch.tensor"),
    "one-hot": (torch.eye(10)[Y], r"got torch.float32 of shape \(6, 10\): if they are one-hot, take .*argmax"),
    "one-hot of whole numbers": (torch.eye(10).long()[Y], r"shape \(6, 10\): if they are one-hot"),
    "floats": (Y.float(), r"got torch.float32 of shape \(6,\)"),
    "booleans": (Y > 3, "got torch.bool"),
    "a column": (Y[:, None], r"of shape \(6, 1\): take .*:, 0"),
    "a row": (Y[None], r"of shape \(1, 6\): take .*0\]"),
    "one number": (Y[3], r"of shape \(\): one label is"),
    "one": (Y[:1], "a label for each of the 6 images, got 1 "),
    "too few": (Y[:5], "a label for each of the 6 images, got 5 "),
    "none at all": (Y[:0], "a label for each of the 6 images, got 0 "),
    "negative": (Y - 1, "got -1"),
    "left out by PyTorch": (torch.full((6,), -100), "got -100"),
    "too large": (Y + 10, "labels 0 to 9, got 15"),
    "sparse": (Y.to_sparse(), "dense tensor"),
    "without numbers": (Y.to("meta"), "dense tensor"),
}
ANY_CLASS = {"labeled", "confusion", "answers"}  # there is no network to know the classes


@pytest.fixture(autouse=True)
def _no_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("kind", ODD)
def test_odd_labels_are_refused_everywhere(entry, kind):
    labels, message = ODD[kind]
    if kind == "too large" and entry in ANY_CLASS:
        assert of_labels(labels)[entry]() is not None
        return
    if entry == "confusion" and kind in ("one", "too few", "none at all"):
        message = rf"a label for each of the {len(labels)} images, got 6 a"
    if entry == "confusion" and kind == "one number":
        message = "0-d tensor|one label is"
    with pytest.raises((TypeError, ValueError), match=message):
        of_labels(labels)[entry]()


@pytest.mark.parametrize("entry", sorted(set(ENTRIES) - {"labeled"}))
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_whole_numbers_of_any_type_are_class_numbers(entry, dtype):
    expected, got = of_labels(Y)[entry](), of_labels(Y.to(dtype))[entry]()
    assert torch.equal(torch.as_tensor(got), torch.as_tensor(expected))


def test_answers_and_labels_are_never_broadcast():
    yes = torch.ones(6, dtype=torch.bool)
    calls = [
        lambda labels: Outcome(labels, Y, yes),
        lambda labels: DefenseReport(labels, dict.fromkeys(Knowledge, Y), 0, False, True, "FGSM"),
        lambda labels: AttackResult(TEST.images, TEST.images, labels, yes, 0, 0, 0),
    ]
    for call in calls:
        call(Y)
        for odd in (Y[:, None], Y[:1], Y[0], torch.eye(10)[Y]):
            with pytest.raises(ValueError, match=r"one value for each image, all of the same shape \(N,\), got"):
                call(odd)


@given(
    dtype=st.sampled_from([torch.int64, torch.int32, torch.uint8, torch.float32, torch.float64, torch.bool]),
    shape=st.sampled_from([(6,), (6, 1), (1, 6), (3, 2), (1,), (), (0,), (6, 10)]),
    lowest=st.integers(-2, 9),
    entry=st.sampled_from(["run", "judge", "loss", "FGSM", "predicted", "JSMA"]),
)
def test_either_the_right_answer_or_words(dtype, shape, lowest, entry):
    numbers = np.resize(np.arange(lowest, lowest + 3), shape)
    labels = torch.as_tensor(numbers).to(dtype)
    try:
        got = of_labels(labels)[entry]()
    except ValueError as error:
        assert "got" in str(error)  # noqa: PT017
        return
    assert shape == (6,)
    assert dtype in (torch.int64, torch.int32, torch.uint8)
    assert labels.long().min() >= 0
    assert labels.long().max() <= 9
    assert torch.equal(got, of_labels(labels.long())[entry]())


def test_no_answer_is_no_label():
    assert predict(CLASSIFIER, TEST.images).min() >= 0
