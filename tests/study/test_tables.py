import dataclasses

import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from measured import N, plain_row
from test_ledger import DENSE, norm_rows, row, rows

import magnet_helpers
from magnet_helpers import plotting
from magnet_helpers.attacks import Threat
from magnet_helpers.defenses import NO_REFORMER, VANILLA, contractive, denoising
from magnet_helpers.intervals import estimate
from magnet_helpers.study.differences import crossed_frame, ledger_frame, penalty_frame, variant_frame
from magnet_helpers.study.grid import TABLE_3
from magnet_helpers.study.ledger import ledger_entries
from magnet_helpers.study.reports import write_protocol_report
from magnet_helpers.study.results import Results, load_results
from magnet_helpers.study.results_file import write_rows
from magnet_helpers.study.tables import _as_markdown, _in_words, accuracy_frame
from magnet_helpers.study.threats import CLEAN, GREY_BOX, STRONG_ATTACK, TRUE_LABELS_ATTACK, WHITE_BOX


def test_tables_set_ours_beside_the_papers():
    results = Results(rows())
    frame = accuracy_frame(results, [NO_REFORMER, VANILLA, contractive(0.0), denoising(0.1)], beside_paper=True)
    expected = estimate(results.not_fooled(VANILLA, GREY_BOX, [0, 1, 2])).in_percent()
    assert frame.loc["vanilla AE", "grey box, ours"] == expected
    assert frame.loc["vanilla AE", "grey box, paper"] == "32.93"
    assert frame.loc["vanilla AE", "seeds"] == 3
    assert frame.loc["no reformer", "grey box, ours"] == "–"
    assert frame.loc["no reformer", "white box, ours"] != "–"
    assert frame.loc["CAE, λ = 0", "clean, paper"] == "–"
    assert (frame.loc["DAE, noise 0.1", "clean, ours"], frame.loc["DAE, noise 0.1", "seeds"]) == ("–", 0)


def test_the_ledger_as_a_frame():
    results = Results(rows())
    frame, entries = ledger_frame(results), ledger_entries(results)
    assert list(frame.index) == [entry.claim for entry in entries]
    for entry in entries:
        assert frame.loc[entry.claim, "verdict"] == (entry.verdict if entry.seeds else "–")
    assert "–" in frame["verdict"].tolist()
    line = frame.loc["denoising beats vanilla (grey box)"]
    assert (line["paper"], line["seeds × images"]) == ("+44.2", f"3 × {N:,}")


def test_the_summary_says_what_it_comes_from(tmp_path):
    path = tmp_path / "paper.md"
    write_protocol_report(path, Results(rows()))
    text = path.read_text()
    assert "# Results: mnist, paper budget" in text
    assert f"MNIST · paper budget · seeds 0, 1, 2 · n = {N} · cpu, torch 2" in text
    assert "not the paper's budget" not in text
    for title in ("Table 2", "Table 3", "Table 4", "The author's program", "The ledger"):
        assert f"## {title}" in text
    for title in ("true labels", "5 epochs", "under PGD", "between seeds"):
        assert f"Table 4 with {title}" not in text, "what was not measured has no table"
    write_protocol_report(path, Results(dataclasses.replace(line, budget="fast") for line in rows([0])))
    assert "**This is not the paper's budget**" in path.read_text()


def test_other_attacks_and_classifiers_have_tables_of_their_own(tmp_path):
    path = tmp_path / "paper.md"
    others = [
        row(VANILLA, CLEAN, 97, 0, attack=repr(TRUE_LABELS_ATTACK)),
        row(VANILLA, CLEAN, 96, 0, classifier_epochs=5),
        row(VANILLA, CLEAN, 95, 0, attack=repr(STRONG_ATTACK)),
    ]
    write_protocol_report(path, Results([*rows(), *others]))
    text = path.read_text()
    for title in ("with FGSM on the true labels", "with classifiers of 5 epochs", "under PGD"):
        assert f"## Table 4 {title}" in text
    assert "## Table 4 with classifiers of 10 epochs" not in text
    table = text.split("## Table 4 under PGD")[1]
    line = next(line for line in table.splitlines() if line.startswith("| vanilla AE"))
    assert line.split(" | ")[1:4] == [
        "1",
        _in_words(Results(others[2:]).not_fooled(VANILLA, Threat(STRONG_ATTACK, CLEAN.knows))),
        "–",
    ]


def test_the_spread_is_told_apart_by_its_source():
    pairs = {(one, other): 40 + 10 * one + 2 * other for one in range(3) for other in range(3)}
    crossed = [
        plain_row(VANILLA, GREY_BOX, torch.arange(100) < percent, other, classifier_seed=one)
        for (one, other), percent in pairs.items()
    ]
    frame = crossed_frame(Results(crossed))
    assert list(frame.index) == ["vanilla AE, grey box"]
    assert frame.iloc[0].tolist() == ["3 × 3", "52.0", "10.0", "2.0"]
    assert len(crossed_frame(Results(crossed[1:]))) == 0


def test_variants_are_compared_with_the_text():
    wide, variance = denoising(0.4).but(decoder_width=64), denoising(0.4**0.5)
    others = [row(each, kind, 60, seed) for each in (wide, variance) for seed in (0, 1) for kind in (CLEAN, GREY_BOX)]
    with_labels = Threat(TRUE_LABELS_ATTACK, GREY_BOX.knows)
    given = [
        row(VANILLA, kind, 20, seed, attack=repr(TRUE_LABELS_ATTACK)) for seed in (0, 1) for kind in (CLEAN, GREY_BOX)
    ]
    results = Results([*rows(), *others, *given])
    frame = variant_frame(results)
    text = (denoising(0.4), GREY_BOX)
    for each in (wide, variance):
        gain = results.gain(text, (each, GREY_BOX))
        assert frame.loc[each.label].tolist() == [2, frame.loc[each.label, "clean"], gain.in_percent(signed=True), "–"]
    gain = results.gain((VANILLA, GREY_BOX), (VANILLA, with_labels))
    assert frame.loc["vanilla AE, FGSM on true labels"].tolist() == [2, "–", gain.in_percent(signed=True), "–"], (
        "FGSM's labels have nothing to do with clean images"
    )
    assert gain.value < 0
    assert "DAE, noise 0.4" not in frame.index, "nothing is compared with itself"


def test_the_penalties_at_equal_weight_and_at_equal_norm():
    same_weight = [row(contractive(1.0), kind, 70, seed) for seed in (0, 1) for kind in (CLEAN, WHITE_BOX)]
    results = Results([*norm_rows(8.0), *same_weight])
    line = penalty_frame(results).loc["dense layer, λ = 1"]
    at_equal_norm = results.gain_at_equal_jacobian(DENSE, TABLE_3, WHITE_BOX).in_percent(signed=True)
    gain = results.gain(*((each, WHITE_BOX) for each in (contractive(1.0), DENSE)))
    assert line.to_dict() == {
        "seeds": 2,
        "‖J‖²": "8",
        "‖J‖², paper's penalty": "–",
        "grey box, equal λ": "–",
        "grey box, equal ‖J‖²": "–",
        "white box, equal λ": f"{gain.in_percent(signed=True)} (2)",
        "white box, equal ‖J‖²": f"{at_equal_norm} (2)",
    }
    assert penalty_frame(results).loc["published, λ = 0.001", "seeds"] == 0
    one_seed = Results([each for each in results.rows if each.reformer_seed == 0])
    gain = one_seed.gain(*((each, WHITE_BOX) for each in (contractive(1.0), DENSE)))
    assert penalty_frame(one_seed).loc["dense layer, λ = 1", "white box, equal λ"] == f"{100 * gain.value:+.1f} (1)"


def test_markdown():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}, index=pd.Index(["one", "two"], name="row"))
    assert _as_markdown(frame) == "| row | a | b |\n| --- | --- | --- |\n| one | 1 | x |\n| two | 2 | y |"


def test_results_are_found_where_the_project_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))
    write_rows(tmp_path / "data" / "results" / "paper.csv", rows())
    assert len(load_results("paper").rows) == len(rows())


@pytest.mark.parametrize("installed", [False, True], ids=["checkout", "installed package"])
def test_results_are_found_beside_the_package_and_in_it(installed, tmp_path, monkeypatch):
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(magnet_helpers, "__file__", str(tmp_path / "magnet_helpers" / "__init__.py"))
    folder = tmp_path / "magnet_helpers" / "results" if installed else tmp_path / "data" / "results"
    write_rows(folder / "paper.csv", rows())
    assert len(load_results("paper").rows) == len(rows())
    with pytest.raises(FileNotFoundError, match=r"no fast.csv in .*elsewhere.*magnet_helpers reproduce"):
        load_results("fast")


def test_several_seeds_are_drawn_as_a_band():
    values = [estimate(torch.tensor([[1.0, 0, 1, 1], [1, 1, 1, 1]])), estimate(torch.zeros(2, 4))]
    figure = plotting.plot_accuracy_curves([0.1, 0.2], {"a": values}, "note", x_name="x", bands=True)
    (axes,) = figure.axes
    (band,) = axes.collections
    low, high = (100 * bound for bound in values[0].interval)
    corners = band.get_paths()[0].vertices
    assert sorted({y for x, y in corners if x == 0.1}) == pytest.approx([low, high])
    assert axes.lines[0].get_ydata().tolist() == [87.5, 0]
    plt.close(figure)


def test_differences_are_drawn_with_their_intervals_verdicts_and_the_papers():
    values = {"a": estimate(torch.tensor([[1.0, 0, 1, 1], [1, 1, 1, 1]])), "b": estimate(torch.zeros(2, 4))}
    verdicts = {"a": "holds", "b": "undecided"}
    thresholds = {"a": -1.0, "b": 0.0}
    figure = plotting.plot_differences(values, {"a": 12.5, "b": None}, verdicts, "note", thresholds=thresholds)
    axes, enlarged = figure.axes
    assert enlarged.get_xlim() == (-5, 5)
    assert [len(each.lines) for each in (axes, enlarged)] == [len(axes.lines)] * 2
    limit = next(line for line in axes.lines if line.get_label() == "threshold other than 0")
    assert (list(limit.get_xdata()), list(limit.get_ydata())) == ([-1.0], [1])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b"]
    assert axes.get_xlabel() == "difference in accuracy (points)"
    held = next(each for each in axes.containers if each.get_label() == "holds").lines
    assert held[0].get_xdata().tolist() == [87.5]
    low, high = (100 * bound for bound in values["a"].interval)
    assert held[2][0].get_segments()[0][:, 0].tolist() == pytest.approx([low, high])
    cross = next(line for line in axes.lines if line.get_label() == plotting.PAPER)
    assert list(cross.get_xdata()) == [12.5]
    assert list(cross.get_ydata()) == list(held[0].get_ydata())
    plt.close(figure)
