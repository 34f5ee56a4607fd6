import doctest
from pathlib import Path

import pytest
import torch

from magnet_helpers.data import dataset


def test_the_examples_of_one_s_own_images_and_network_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MAGNET_DEVICE", "cpu")
    page = Path(__file__).parents[1] / "docs" / "own.md"
    with torch.random.fork_rng():
        failed, tried = doctest.testfile(str(page), module_relative=False)
    assert failed == 0
    assert tried >= 15
    assert len(page.read_text(encoding="utf-8").splitlines()) < 60


def test_the_example_of_a_dataset_of_ones_own_runs():
    failed, tried = doctest.testmod(dataset, extraglobs={"torch": torch})
    assert (failed, tried) == (0, 3)
