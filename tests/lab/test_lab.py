import dataclasses
import json

import numpy as np
import pytest
import torch
from tiny import equal

from magnet_helpers.attacks import FGSM, CarliniWagner, DetectorAwarePGD, Knowledge
from magnet_helpers.data import ImageData, load_images
from magnet_helpers.defenses import MAGNETS_OWN, NO_REFORMER, VANILLA, contractive, denoising, stacked
from magnet_helpers.detectors import DetectorSpec
from magnet_helpers.evaluation import evaluate_defense
from magnet_helpers.lab import lab as lab_module
from magnet_helpers.lab import measurements, tasks, trainings
from magnet_helpers.lab.budget import PAPER, SMOKE
from magnet_helpers.lab.lab import Lab, get_seed
from magnet_helpers.lab.lessons import start_lesson
from magnet_helpers.lab.scheduler import make
from magnet_helpers.lab.store import Store
from magnet_helpers.study import reports
from magnet_helpers.study.grid import MAGNET
from magnet_helpers.study.reports import _comparison_frame, _comparison_record, write_comparison

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
            patch.setattr(trainings, "fit", no_training)
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
    in_streams = []

    def imitate(todo, crew):
        in_streams.extend(task for task in todo if crew.takes(task))
        for task in in_streams:
            make(task, lab.data, lab.store, torch.device("cpu"))
        lab.device = torch.device("cpu")  # there is no GPU here to make the reports on

    monkeypatch.setattr(lab_module, "carry_out", imitate)
    lab.device = torch.device("cuda")
    lab.prepare([NO_REFORMER, denoising(0.3)])
    assert [task.name for task in in_streams] == ["classifier", "DAE, noise 0.3"]
    monkeypatch.setattr(trainings, "fit", no_training)
    monkeypatch.setattr(measurements, "evaluate_defense", no_training)
    assert len(lab.report(denoising(0.3)).labels) == 20


def test_reports_are_those_of_evaluate_defense_and_are_kept(lab, monkeypatch):
    attack = FGSM(0.2)
    report = lab.report(VANILLA, attack)
    direct = evaluate_defense(lab.classifier(), lab.reformer(VANILLA), lab.test, attack)
    assert equal(report.tensors(), direct.tensors())
    monkeypatch.setattr(trainings, "fit", no_training)
    monkeypatch.setattr(measurements, "evaluate_defense", no_training)
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
    monkeypatch.setattr(tasks, "code_version", lambda *_, **__: "another")
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


@pytest.mark.parametrize("attack", [CarliniWagner(), DetectorAwarePGD(), FGSM, "FGSM"], ids=repr)
def test_an_attack_that_no_report_is_of_is_refused_before_anything_is_trained(lab, attack, monkeypatch):
    monkeypatch.setattr(trainings, "fit", no_training)
    for ask in (lab.report, lab.cell, lambda defense, attack: lab.prepare([defense], attack)):
        with pytest.raises(TypeError, match=r"a report needs an attack within ε .*for any other take `attack.run"):
            ask(VANILLA, attack)


@pytest.mark.parametrize("defense", ["vanilla", MAGNET, None], ids=["text", "MagNet", "nothing"])
def test_a_report_is_of_a_defence(lab, defense):
    with pytest.raises(TypeError, match=r"a report is of a Defense, for example denoising\(0.4\), got "):
        lab.report(defense)


def test_a_lab_of_nonsense_is_refused(lab):
    with pytest.raises(TypeError, match="budget must be a Budget, got 'smoke': take get_budget of its name"):
        again(lab, budget="smoke")
    with pytest.raises(TypeError, match="data must be an ImageData, got a LabeledImages"):
        again(lab, data=lab.test)
    for seed in (1.5, True, "1"):
        with pytest.raises((TypeError, ValueError), match="seed must be a whole number"):
            again(lab, seed=seed)
    assert again(lab, seed=np.int64(3)).cell(VANILLA).key == lab.cell(VANILLA).key
    assert (
        lab.cell(VANILLA, FGSM(1)).key == lab.cell(VANILLA, FGSM(1.0)).key == lab.cell(VANILLA, FGSM(np.float32(1))).key
    )


@pytest.mark.parametrize("text", ["-1", "1.5", "one", "²"])
def test_a_seed_must_be_a_whole_number(text, monkeypatch):
    monkeypatch.setenv("MAGNET_SEED", text)
    with pytest.raises(ValueError, match="MAGNET_SEED: a seed must be a whole number, 0 or more, got"):
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
    assert record == _comparison_record(lab, defenses)
    assert {"dataset", "budget", "seed", "device", "versions", "rows"} <= set(record)
    assert [row["family"] for row in record["rows"]] == ["none", "denoising", "contractive"]
    assert [row["n_stacks"] for row in record["rows"]] == [0, 1, 1]
    assert record["rows"][1]["noise_std"] == 0.3
    assert record["rows"][2]["penalty_weight"] == 0
    accuracy = lab.report(denoising(0.3)).accuracy(Knowledge.CLASSIFIER)
    assert record["rows"][1]["grey box"] == {"correct": accuracy.correct, "total": 20}
    frame = _comparison_frame(lab, defenses)
    assert frame.loc["DAE, noise 0.3", "grey box, ours"] == str(accuracy)
    assert frame.loc["DAE, noise 0.3", "grey box, paper"] == "75.15"
    assert frame.loc["no reformer", "grey box, ours"] == "–"
    assert frame.loc["CAE, λ = 0", "clean, paper"] == "–"
    assert path.with_suffix(".csv").read_text().splitlines()[0].startswith("defence,")


def test_under_the_table_stands_what_is_doubtful(lab, monkeypatch, capsys):
    monkeypatch.setattr(reports, "display", lambda _: None)
    monkeypatch.setattr(reports, "suspicions", lambda _: ["its gradient is zero"])
    reports.show_table(lab, [NO_REFORMER])
    assert "  - no reformer: its gradient is zero" in capsys.readouterr().out


def test_a_lab_takes_a_device_by_name_and_refuses_other_stores_and_stages_of_no_stack(lab, tmp_path):
    assert dataclasses.replace(lab, device="cpu").device == torch.device("cpu")
    with pytest.raises(TypeError, match=r"store must be a Store, got .*: Store\(folder\) makes one"):
        dataclasses.replace(lab, store=tmp_path)
    with pytest.raises(ValueError, match="only stacked denoising autoencoders have stages, got vanilla AE"):
        lab.stages(VANILLA)
