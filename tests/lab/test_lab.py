import dataclasses
import json
from operator import methodcaller

import pytest
import torch
from matplotlib import pyplot as plt

from magnet_helpers import plotting
from magnet_helpers.attacks import FGSM
from magnet_helpers.data import ImageData, load_images
from magnet_helpers.defenses import MAGNETS_OWN, NO_REFORMER, VANILLA, Defense, contractive, denoising, stacked
from magnet_helpers.detectors import DetectorSpec
from magnet_helpers.evaluation import evaluate_defense
from magnet_helpers.intervals import Accuracy
from magnet_helpers.lab import cells, work
from magnet_helpers.lab import lab as lab_module
from magnet_helpers.lab.budget import PAPER, SMOKE
from magnet_helpers.lab.lab import Lab, get_seed
from magnet_helpers.lab.lessons import start_lesson
from magnet_helpers.lab.store import Store
from magnet_helpers.study import tables
from magnet_helpers.study.tables import comparison_frame, comparison_record, write_comparison
from magnet_helpers.training import Epoch, History

TINY = dataclasses.replace(
    SMOKE, classifier_images=32, autoencoder_images=32, validation_images=8, test_images=20, classifier_epochs=1
)


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_images("digits")


@pytest.fixture
def lab(data, tmp_path) -> Lab:
    return Lab(TINY, data, seed=3, store=Store(tmp_path / "artifacts"), device=torch.device("cpu"))


def again(lab: Lab, **changes) -> Lab:
    return dataclasses.replace(lab, **changes)


def no_training(*_, **__):
    raise AssertionError("this should have been loaded, and was made again")


def test_a_network_is_trained_once_and_loaded_ever_after(lab, monkeypatch):
    for defense in (denoising(0.3), stacked(2, 0.3), contractive(1e-3)):
        weights, history = lab.reformer(defense).state_dict(), lab.history(defense)
        with monkeypatch.context() as patch:
            patch.setattr(work, "fit", no_training)
            other = again(lab)
            loaded = other.reformer(defense).state_dict()
            assert other.history(defense) == history
        assert all(torch.equal(weights[name], loaded[name]) for name in weights)


def test_the_same_settings_elsewhere_give_bit_equal_weights(lab, tmp_path):
    other = again(lab, store=Store(tmp_path / "elsewhere"))
    ours, theirs = lab.reformer(stacked(2, 0.4)).state_dict(), other.reformer(stacked(2, 0.4)).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    different = again(lab, seed=4).reformer(stacked(2, 0.4)).state_dict()
    assert not torch.equal(ours["stages.0.encoder.0.weight"], different["stages.0.encoder.0.weight"])


def test_detectors_are_made_of_the_labs_own_networks(lab):
    specs = (DetectorSpec(MAGNETS_OWN[1], p=1), DetectorSpec(denoising(0.3), temperature=10))
    by_error, by_divergence = lab.detectors(specs)
    assert by_error.autoencoder is lab.reformer(MAGNETS_OWN[1])
    assert by_divergence.autoencoder is lab.reformer(denoising(0.3))
    assert by_divergence.classifier is lab.classifier()
    assert (by_error.p, by_divergence.temperature) == (1, 10)


def test_stacks_share_their_pretrained_stages(lab):
    lab.reformer(stacked(2, 0.3))
    trained = {path.name for path in (lab.store.root / "network").iterdir() if path.is_dir()}
    lab.reformer(stacked(3, 0.3))
    new = {path.name for path in (lab.store.root / "network").iterdir() if path.is_dir()} - trained
    assert sorted(name.rsplit("-", 1)[0] for name in new) == ["DAE--noise-0-3-stage-3", "SDAE-3---noise-0-3"]


def test_on_a_gpu_networks_are_trained_in_streams_and_reports_made_afterwards(lab, monkeypatch):
    events = []
    monkeypatch.setattr(lab_module, "for_each_in_streams", lambda function, calls, label: events.extend(calls))
    monkeypatch.setattr(lab_module, "for_each", no_training)
    monkeypatch.setattr(Lab, "evaluate", lambda self, cell: events.append(cell.defense))
    lab.device = torch.device("cuda")
    lab.prepare([NO_REFORMER, denoising(0.3)])
    assert [type(each) for each in events] == [methodcaller, methodcaller, Defense, Defense]
    lab.train([denoising(0.3)])
    assert len(events) == 6
    monkeypatch.undo()
    lab.device = torch.device("cpu")
    for call in events[:2]:
        call(lab)
    monkeypatch.setattr(work, "fit", no_training)
    lab.reformer(denoising(0.3))
    lab.classifier()


def test_reports_are_those_of_evaluate_defense_and_are_kept(lab, monkeypatch):
    attack = FGSM(0.2)
    report = lab.report(VANILLA, attack)
    direct = evaluate_defense(lab.classifier(), lab.reformer(VANILLA), lab.test, attack)
    for name in ("labels", "clean", "grey_box", "white_box"):
        assert torch.equal(getattr(report, name), getattr(direct, name))
    monkeypatch.setattr(work, "fit", no_training)
    monkeypatch.setattr(work, "evaluate_defense", no_training)
    assert again(lab).report(VANILLA, attack).facts() == report.facts()


def test_the_attack_the_seed_and_the_images_are_part_of_a_reports_key(lab):
    lab.report(NO_REFORMER, FGSM(0.1))
    lab.report(NO_REFORMER, FGSM(0.2))
    again(lab, seed=4).report(NO_REFORMER, FGSM(0.1))
    fewer = dataclasses.replace(TINY, test_images=10)
    assert len(again(lab, budget=fewer).report(NO_REFORMER, FGSM(0.1)).labels) == 10
    assert len([path for path in (lab.store.root / "report").iterdir() if path.is_dir()]) == 4


def test_the_code_is_part_of_a_reports_key(lab, monkeypatch):
    lab.report(NO_REFORMER, FGSM(0.1))
    monkeypatch.setattr(cells, "EVALUATION_CODE", "another")
    lab.report(NO_REFORMER, FGSM(0.1))
    assert len([path for path in (lab.store.root / "report").iterdir() if path.is_dir()]) == 2


def test_attacked_images_are_made_once(lab, monkeypatch):
    images = lab.attacked(FGSM(0.1))
    assert torch.equal(images, FGSM(0.1).perturb(lab.classifier(), lab.test.images))
    monkeypatch.setattr(FGSM, "perturb", None)
    assert torch.equal(again(lab).attacked(FGSM(0.1)), images)


def test_the_note_says_what_the_numbers_were_made_with(lab):
    assert lab.note == "scikit-learn digits · smoke budget (not the paper's) · seed 3 · n = 20"
    assert lab.setting == "scikit-learn digits · smoke budget (not the paper's) · seed 3"
    assert "not the paper's" not in again(lab, budget=PAPER).note
    assert len(again(lab, budget=PAPER).test) == 360


def test_examples_hold_one_image_of_each_digit(lab):
    assert lab.examples.labels.tolist() == list(range(10))


@pytest.mark.parametrize("text", ["-1", "1.5", "one", "²"])
def test_a_seed_must_be_a_whole_number(text, monkeypatch):
    monkeypatch.setenv("MAGNET_SEED", text)
    with pytest.raises(ValueError, match="MAGNET_SEED must be a whole number, 0 or more, got"):
        get_seed()


def test_a_lesson_says_what_it_will_run_with(monkeypatch, tmp_path, capsys):
    for name, value in {"BUDGET": "smoke", "DATASET": "digits", "SEED": "5", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(f"MAGNET_{name}", value)
    lab = start_lesson("05_contractive_autoencoder")
    assert (lab.budget.name, lab.data.name, lab.seed) == ("smoke", "digits", 5)
    assert lab.store.root == tmp_path / "build" / "artifacts"
    said = capsys.readouterr().out
    for part in ("scikit-learn digits", "smaller than the paper's", "seed:    5", "device:", "under a minute"):
        assert part in said


# ---- tables


def test_the_table_and_its_record_hold_the_reports_counts(lab, tmp_path, monkeypatch):
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))
    defenses = (NO_REFORMER, denoising(0.3), contractive(0.0))
    path = write_comparison(lab, defenses)
    record = json.loads(path.read_text())
    assert record == comparison_record(lab, defenses)
    assert {"dataset", "budget", "seed", "device", "versions", "rows"} <= set(record)
    assert [row["defence"] for row in record["rows"]] == ["none", "denoising", "contractive"]
    assert [row["n_stacks"] for row in record["rows"]] == [0, 1, 1]
    assert record["rows"][1]["noise_std"] == 0.3
    assert record["rows"][2]["penalty_weight"] == 0
    accuracy = lab.report(denoising(0.3)).accuracy("grey_box")
    assert record["rows"][1]["grey_box"] == {"correct": accuracy.correct, "total": 20}
    frame = comparison_frame(lab, defenses)
    assert frame.loc["DAE, noise 0.3", "grey box, ours"] == str(accuracy)
    assert frame.loc["DAE, noise 0.3", "grey box, paper"] == "75.15"
    assert frame.loc["no reformer", "grey box, ours"] == "–"
    assert frame.loc["CAE, λ = 0", "clean, paper"] == "–"
    assert path.with_suffix(".csv").read_text().splitlines()[0].startswith("defence,")


def test_under_the_table_stands_what_is_doubtful(lab, monkeypatch, capsys):
    monkeypatch.setattr(tables, "display", lambda _: None)
    monkeypatch.setattr(tables, "suspicions", lambda _: ["its gradient is zero"])
    tables.show_table(lab, [NO_REFORMER])
    assert "  - no reformer: its gradient is zero" in capsys.readouterr().out


# ---- figures


def test_curves_show_ours_with_intervals_and_the_papers_hollow():
    points = [Accuracy(5, 10), Accuracy(10, 10)]
    figure = plotting.plot_accuracy_curves([0.1, 0.2], {"DAE": points}, "note", x_name="σ", paper={"DAE": [None, 77.0]})
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("σ", "accuracy (%)")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["DAE", f"DAE: {plotting.PAPER}"]
    ours, _, (bars,) = axes.containers[0].lines
    assert ours.get_ydata().tolist() == [50, 100]
    low, high = (100 * bound for bound in points[0].interval)
    assert bars.get_segments()[0][:, 1].tolist() == pytest.approx([low, high])
    theirs = axes.lines[-1]
    assert theirs.get_markerfacecolor() == "white"
    assert theirs.get_ydata()[1] == 77
    assert figure.get_supxlabel() == "note"
    plt.close(figure)


def test_confusion_matrices_are_percent_of_each_digit():
    labels, answers = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 2, 1])
    figure = plotting.plot_confusion({"clean": answers}, labels, "note")
    values = figure.axes[0].collections[0].get_array().reshape(10, 10)
    assert values[0, 0] == pytest.approx(200 / 3)
    assert values[0, 2] == pytest.approx(100 / 3)
    assert values[1, 1] == 100
    assert values[3].sum() == 0
    plt.close(figure)


def test_image_rows_keep_their_values_and_captions():
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    figure = plotting.plot_image_grid({"clean": images, "change": images - 0.5}, captions={"clean": ["→ 1", "→ 2"]})
    assert figure.axes[0].images[0].get_array().data == pytest.approx(images[0, 0].numpy())
    assert figure.axes[1].get_xlabel() == "→ 2"
    assert figure.axes[0].images[0].get_clim() == (0, 1)
    low, high = figure.axes[2].images[0].get_clim()
    assert low == -high
    plt.close(figure)


def test_histories_tell_training_from_validation_without_colour():
    history = History((Epoch(3.0, 4.0, 1.0), Epoch(2.0, 3.5, 1.0)))
    figure = plotting.plot_history({"DAE": history}, "note", loss_name="loss")
    training, validation = figure.axes[0].lines
    assert training.get_ydata().tolist() == [3, 2]
    assert validation.get_ydata().tolist() == [4, 3.5]
    assert training.get_linestyle() != validation.get_linestyle()
    plt.close(figure)
