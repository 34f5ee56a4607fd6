"""A reader's own images through the lab: trained on, reported about, named in figures and tables."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from measured import plain_row
from mnist_server import idx_bytes, write_folder

from magnet_helpers.attacks import FGSM
from magnet_helpers.data import ImageData
from magnet_helpers.defenses import NO_REFORMER, VANILLA
from magnet_helpers.lab import lab as lab_module
from magnet_helpers.lab.budget import SMOKE
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.lessons import start_lesson
from magnet_helpers.lab.scheduler import Processes
from magnet_helpers.lab.store import Store
from magnet_helpers.magnet import MagNetSpec
from magnet_helpers.plotting import plot_confusion, plot_image_grid
from magnet_helpers.study.reports import _comparison_record
from magnet_helpers.study.results import Results
from magnet_helpers.study.threats import CLEAN

TINY = dataclasses.replace(
    SMOKE, classifier_images=104, autoencoder_images=32, validation_images=8, test_images=26, classifier_epochs=1
)


def stripes(classes, count, seed):
    """Return images of one bright row for each class, in noise, with their labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.uint8) % classes
    pixels = random.integers(0, 100, (count, 28, 28), dtype=np.uint8)
    pixels[np.arange(count), labels] = 255
    return pixels, labels


def folder_of(folder: Path, classes: int) -> Path:
    files = {}
    for part, count in {"train": 200, "t10k": 60}.items():
        pixels, labels = stripes(classes, count, count)
        files |= {f"{part}-images-idx3-ubyte": idx_bytes(pixels), f"{part}-labels-idx1-ubyte": idx_bytes(labels)}
    return write_folder(folder, files)


def lab_of(data: ImageData, folder: Path, **changes) -> Lab:
    return Lab(dataclasses.replace(TINY, **changes), data, 0, Store(folder / "artifacts"), torch.device("cpu"))


@pytest.mark.parametrize("classes", [5, 26])
def test_a_lab_trains_and_reports_on_own_tensors(tmp_path, classes):
    data = ImageData.from_tensors("Stripes", stripes(classes, 200, 0), stripes(classes, 60, 1))
    lab = lab_of(data, tmp_path)
    assert lab.note == "Stripes · smoke budget (not the paper's) · seed 0 · n = 26"
    assert lab.examples.labels.tolist() == list(range(classes))
    lab.prepare([NO_REFORMER, VANILLA], FGSM(0.1))
    report = lab.report(VANILLA, FGSM(0.1))
    assert lab.classifier()(data.test.images[:3]).shape == (3, classes)
    assert len(report.labels) == 26
    magnet = lab.magnet(MagNetSpec("the reformer alone", VANILLA))
    assert sum(magnet.judge(lab.test.images, lab.test.labels).counts.values()) == 26
    record = _comparison_record(lab, [NO_REFORMER])
    assert record["dataset"] == "Stripes"
    figure = plot_image_grid({"test": lab.examples.images}, data.title)
    assert any("Stripes" in text for text in (figure.get_supxlabel(), figure.get_suptitle()))


def test_the_name_of_ones_own_data_stands_in_notes_of_results():
    row = plain_row(VANILLA, CLEAN, torch.ones(60).bool(), dataset="Stripes", budget="smoke")
    assert Results([row]).note == "Stripes · smoke budget (not the paper's) · seed 0 · n = 60"
    assert Results([dataclasses.replace(row, dataset="mnist")]).note.startswith("MNIST · ")


def test_a_confusion_matrix_has_a_row_for_each_class():
    labels = torch.arange(26)
    figure = plot_confusion({"clean": labels.flip(0)}, labels, "note")
    values = figure.axes[0].collections[0].get_array().reshape(26, 26)
    assert values[25, 0] == 100
    assert values.sum() == 2600


def test_workers_load_a_folder_again_and_give_the_same_networks(tmp_path, monkeypatch):
    data = ImageData.from_folder(folder_of(tmp_path / "raw", 5), "Stripes")
    at_once = lab_of(data, tmp_path / "at once", processes=2)
    crews = []
    real = lab_module.carry_out
    monkeypatch.setattr(lab_module, "carry_out", lambda todo, crew: crews.append(crew) or real(todo, crew))
    at_once.train([VANILLA])
    assert [type(crew) for crew in crews] == [Processes]
    one_by_one = lab_of(data, tmp_path / "one by one")
    expected = one_by_one.classifier().state_dict(), one_by_one.reformer(VANILLA).state_dict()
    monkeypatch.setattr("magnet_helpers.lab.trainings.fit", None)  # nothing is made from here on
    for network, weights in zip((at_once.classifier(), at_once.reformer(VANILLA)), expected, strict=True):
        assert all(torch.equal(network.state_dict()[name], weights[name]) for name in weights)


def test_images_that_no_worker_can_load_are_left_to_the_caller(tmp_path):
    data = ImageData.from_tensors("Stripes", stripes(5, 200, 0), stripes(5, 60, 1))
    lab = lab_of(data, tmp_path, processes=2)
    assert lab._crew(2) is None
    lab.train([VANILLA])
    assert lab.reformer(VANILLA)(data.test.images[:2]).shape == (2, 1, 28, 28)


def test_a_lesson_runs_with_a_folder(monkeypatch, tmp_path, capsys):
    folder = folder_of(tmp_path / "Stripes", 5)
    for name, value in {"BUDGET": "smoke", "DATASET": str(folder), "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(f"MAGNET_{name}", value)
    lab = start_lesson("01_classifier")
    assert lab.data.title == "Stripes"
    assert "dataset: Stripes, 184 training images" in capsys.readouterr().out
