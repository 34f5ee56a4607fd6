"""What the course is measured against does the same work."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from tiny import equal

from magnet_helpers import (
    NO_REFORMER,
    ConvAutoencoder,
    ConvClassifier,
    ReformedClassifier,
    denoising,
    predict,
    stacked,
)
from magnet_helpers.data import load_images
from magnet_helpers.evaluation import MEASURED
from magnet_helpers.lab.budget import SMOKE
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.tasks import with_needs
from magnet_helpers.lab.trainings import TrainingSpecs
from magnet_helpers.losses import ContractiveLoss, DenoisingLoss
from tools.benchmarks import attacks, growth, penalty, precision, protocol, textbook
from tools.benchmarks.memory import CPU, forget_peak, peak_megabytes
from tools.benchmarks.training import BATCH_SIZE, CASES, images_and_labels, operations_per_image


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_textbooks_network_is_ours(case):
    ours, textbooks = case.build(), case.textbook()
    for mine, other in zip(_in_order(ours), textbooks.parameters(), strict=True):
        other.data.copy_(mine.data)
    images = images_and_labels(3).images
    torch.testing.assert_close(ours(images), textbooks(images), rtol=1e-4, atol=1e-5)


def _in_order(model):
    """Return the parameters in the order of the layers: the dense layer of a contractive autoencoder is listed last."""
    named = sorted(model.named_parameters(), key=lambda pair: pair[0].startswith("decoder"))
    return [value for _, value in named] if hasattr(model, "dense") else list(model.parameters())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_textbooks_loss_is_ours(case):
    """Without noise, whose draws differ, and on average over them the error is of the same size."""
    ours, textbooks, data = case.build(), case.textbook(), images_and_labels(BATCH_SIZE)
    for mine, other in zip(_in_order(ours), textbooks.parameters(), strict=True):
        other.data.copy_(mine.data)
    one = case.loss(ours, data.images, data.labels, torch.Generator().manual_seed(0)).item()
    torch.manual_seed(0)
    other = case.textbook_loss(textbooks, data.images, data.labels).item()
    random = isinstance(case.loss, DenoisingLoss | ContractiveLoss)
    assert one == pytest.approx(other, rel=1e-2 if random else 1e-5)


def test_training_by_the_textbook_changes_the_weights():
    model, data = textbook.autoencoder(), images_and_labels(8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert textbook.train(model, textbook.denoising, data.images, data.labels, 4, CPU) > 0
    assert not equal(before, model.state_dict())


def test_operations_are_those_worked_out_by_hand():
    # Multiply-adds of the autoencoder's layers, forward; backward twice that, but the images need no gradient.
    layers = [9 * 32 * 784, 9 * 32 * 32 * 196, 9 * 32 * 32 * 49, 9 * 32 * 196]
    assert operations_per_image(CASES[1]) == 2 * (3 * sum(layers) - layers[0])


def test_every_library_makes_the_same_images():
    torch.manual_seed(0)
    model = ReformedClassifier(ConvAutoencoder(), ConvClassifier()).eval()
    images = images_and_labels(6).images
    labels = predict(model, images)
    for steps in (1, 3):
        made = {way: make(model, images, labels, steps).detach() for way, make in attacks.WAYS.items()}
        assert (made["ours"] - images).abs().max() > 0.02
        for way, others in made.items():
            assert ((others - made["ours"]).abs() <= 1e-5).double().mean() > 0.99, way


def test_every_way_of_the_exact_norm_gives_the_same():
    norms = [penalty._run("exact norm", way, 0, CPU)[2] for way in ("ours", "jacrev")]
    assert len(norms[0]) == penalty.EXACT_IMAGES
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)


def test_every_way_of_the_step_has_about_the_same_loss():
    """Each draws its own directions. The textbook's network starts from other weights: it is tested above."""
    plain, ours, by_jvp = (penalty._run("step", way, 0, CPU)[2][0] for way in ("no penalty", "ours", "torch.func.jvp"))
    assert ours - plain == pytest.approx(by_jvp - plain, rel=0.1)
    assert ours > plain


def test_the_protocol_is_the_papers():
    specs = protocol.trainings()
    # The classifier, the vanilla one; for each of five noise levels one, three stages, two stacks; six contractive.
    assert len(specs) == 1 + 1 + 5 * (1 + 3 + 2) + 6
    assert sum(spec.config.epochs for spec in specs) == 30 + 20 + 5 * (20 + 3 * 10 + 2 * 20) + 6 * 20
    cases = {case.name for case in CASES}
    minutes = protocol.project(dict.fromkeys(cases, 1000.0), 2000.0)
    assert minutes["classifier"] == pytest.approx(30 * 55 / 60)  # 55 seconds an epoch
    assert minutes["stack of 3"] == pytest.approx(5 * 20 * 55 * (1 + 2 / 3) / 60)
    assert minutes["evaluation"] == pytest.approx(23 * 10 / 60)
    assert minutes["all"] == pytest.approx(sum(minutes[case] for case in cases) + 23 * 10 / 60)


def counts(*correct):
    return [{"DAE": {knows: {"correct": each, "total": 200} for knows in MEASURED}} for each in correct]


def test_precisions_agree_if_they_differ_by_no_more_than_the_seeds():
    rows = precision.compare(counts(100, 110, 120), counts(120, 130, 140))
    assert [row["agree"] for row in rows] == ["yes"] * 3
    assert rows[0] == {
        "defence": "DAE",
        "setting": "clean",
        "float32": "50.0 55.0 60.0",
        "reduced": "60.0 65.0 70.0",
        "difference": 10.0,
        "spread": 10.0,
        "agree": "yes",
    }
    assert precision.compare(counts(100, 110, 120), counts(80, 90, 97))[0]["agree"] == "no"


def test_every_training_of_a_stack_is_in_the_wanted_precision():
    specs = TrainingSpecs(SMOKE, 0)
    spec = precision.with_precision(specs.reformer(stacked(3, 0.4)), "bfloat16")
    assert [each.config.precision for each in with_needs([spec])] == ["bfloat16"] * 4
    assert not {each.key for each in with_needs([spec])} & {
        each.key for each in with_needs([specs.reformer(stacked(3, 0.4))])
    }


def test_a_seed_in_one_precision_is_kept_and_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))
    monkeypatch.setenv("MAGNET_DATASET", "digits")
    monkeypatch.setattr(precision, "SEEDS", (0,))
    monkeypatch.setattr(precision, "DEFENSES", (NO_REFORMER, denoising(0.4)))
    rows = precision.measure("smoke", CPU, lambda _: None)
    assert [(row["defence"], row["setting"]) for row in rows[:3]] == [
        ("no reformer", knows.label) for knows in MEASURED
    ]
    assert len(rows) == 6
    monkeypatch.setattr("magnet_helpers.lab.trainings.fit", None)  # nothing may be trained from here on
    assert precision.measure("smoke", CPU, lambda _: None) == rows


def test_a_report_is_of_networks_in_the_wanted_precision():
    lab = Lab(SMOKE, load_images("digits"), 0)
    for task in precision.reports(lab, "bfloat16"):
        assert {spec.config.precision for spec in with_needs(task.networks)} == {"bfloat16"}


def test_growth_compares_each_size_with_the_first_of_its_round():
    sizes = growth.sizes_from(100)
    assert sizes["depth"] == [(100, 1, 64), (100, 2, 64), (100, 4, 64)]
    measured = {
        size: [(size[0] * size[1] * pace, 7.0) for pace in (1, 5, 2)] for series in sizes.values() for size in series
    }
    rows = growth.rows_of(sizes, measured)
    assert [row["times_the_first"] for row in rows] == [1, 2, 4, 1, 2, 4, 1, 1, 1]
    assert rows[1]["seconds"] == 400
    assert rows[0]["megabytes"] == 7


def test_growth_measures_a_training():
    seconds, megabytes = growth._train(64, 2, 32, CPU)
    assert seconds > 0
    assert megabytes > 50


def test_the_peak_is_that_of_what_was_held_and_can_begin_anew():
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # what other tests gave back could be held again
        before, during, after = pool.submit(_peaks).result()
    assert 45 < during - before < 80
    assert after < before + 40


def _peaks() -> tuple[float, float, float]:
    forget_peak()
    before = peak_megabytes()
    torch.ones(50 * 2**18).sum()
    during = peak_megabytes()
    forget_peak()
    return before, during, peak_megabytes()
