import pytest
import torch
from matplotlib import pyplot as plt

from magnet_helpers import plotting
from magnet_helpers.detectors import roc
from magnet_helpers.intervals import Accuracy
from magnet_helpers.training import Epoch, History


def test_curves_show_ours_with_intervals_and_the_papers_hollow():
    points = [Accuracy(5, 10), Accuracy(10, 10)]
    figure = plotting.plot_accuracy_curves([0.1, 0.2], {"DAE": points}, "note", x_name="σ", paper={"DAE": [None, 77.0]})
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("σ", "accuracy (%)")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["DAE", "DAE: paper (MNIST)"]
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


def test_curves_and_scores_are_drawn():
    generator = torch.Generator().manual_seed(0)
    clean, attacked = torch.randn(300, generator=generator), torch.randn(200, generator=generator) + 1
    curve = roc(clean, attacked)
    figure = plotting.plot_rocs({"a": curve, "b": roc(clean, attacked + 1)}, "note")
    (axes,) = figure.axes
    assert axes.lines[0].get_ydata().tolist() == pytest.approx((100 * curve.true_positive_rates).tolist())
    assert axes.get_legend().get_texts()[0].get_text() == f"a\nAUC {curve}"
    plt.close(figure)
    scores = {"clean": {"a": clean.exp(), "b": torch.zeros(300)}, "FGSM": {"a": attacked.exp(), "b": torch.zeros(200)}}
    figure = plotting.plot_scores(scores, "note")
    for panel in figure.axes:
        for line in panel.patches:
            assert line.get_data().values.sum() == pytest.approx(100), "no image is lost"
    plt.close(figure)
