"""A command that is stopped between two epochs, and again, and goes on: its rows are those of one that was not."""

import dataclasses

import pytest

from magnet_helpers import __main__ as command_line
from magnet_helpers.attacks import DDN, Knowledge, Threat
from magnet_helpers.defenses import NO_REFORMER, contractive, denoising, stacked
from magnet_helpers.lab.budget import SMOKE
from magnet_helpers.lab.store import FileCheckpoint
from magnet_helpers.study import plan, reports
from magnet_helpers.study.grid import MAGNETS_PARTS, UNDER_ATTACK
from magnet_helpers.study.results_file import Row, read_rows
from magnet_helpers.study.threats import GREY_BOX

SAVE = FileCheckpoint.save
EPOCHS = dict.fromkeys(
    ("classifier", "vanilla", "denoising", "pretraining", "stack", "contractive", "magnet"),
    3,  # each training is stopped more than once
)
TINY = dataclasses.replace(
    SMOKE,
    classifier_images=64,
    autoencoder_images=32,
    validation_images=8,
    test_images=20,
    trial_images=10,
    **{f"{network}_epochs": count for network, count in EPOCHS.items()},
)
DIFFERS = {"seconds", "training_seconds"}


def rows_of(path):
    return [
        {name: value for name, value in dataclasses.asdict(row).items() if name not in DIFFERS}
        for row in read_rows(path, Row)
    ]


@pytest.mark.parametrize(("command", "every"), [("reproduce", 1), ("attack", 2)])
def test_rows_are_the_same_wherever_a_command_was_stopped(tmp_path, monkeypatch, capsys, command, every):
    few = (NO_REFORMER, denoising(0.4), stacked(2, 0.4), contractive(1e-3))
    monkeypatch.setattr(plan, "GRID", few)
    monkeypatch.setattr(plan, "TABLE_4", few)
    monkeypatch.setattr(plan, "_JACOBIAN_IMAGES", 3)
    monkeypatch.setattr(plan, "UNDER_ATTACK", UNDER_ATTACK[:3])
    monkeypatch.setattr(reports, "UNDER_ATTACK", UNDER_ATTACK[:3])
    monkeypatch.setattr(plan, "MAGNETS_PARTS", MAGNETS_PARTS[:2])
    monkeypatch.setattr("magnet_helpers.study.tables.MAGNETS_PARTS", MAGNETS_PARTS[:2])
    monkeypatch.setattr(plan, "all_threats", lambda _: [GREY_BOX, Threat(DDN(5), Knowledge.REFORMER)])
    monkeypatch.setitem(command_line.BUDGETS, "smoke", TINY)
    arguments = [command, "--budget", "smoke", "--dataset", "digits", "--seeds", "0", "--results"]

    monkeypatch.setenv("MAGNET_HOME", str(tmp_path / "whole"))
    assert command_line.main([*arguments, str(tmp_path / "whole.csv")]) == 0

    saves = []

    def save_and_stop(self, tensors, epochs):
        SAVE(self, tensors, epochs)
        saves.append(self.path)
        if len(saves) % every == 0:
            raise KeyboardInterrupt

    monkeypatch.setenv("MAGNET_HOME", str(tmp_path / "parts"))
    monkeypatch.setattr(FileCheckpoint, "save", save_and_stop)
    status, stops = 130, -1
    while status == 130:
        status, stops = command_line.main([*arguments, str(tmp_path / "parts.csv")]), stops + 1
    assert status == 0
    assert stops == len(saves) // every
    assert stops >= 3
    assert "goes on where this one was" in capsys.readouterr().err
    assert rows_of(tmp_path / "parts.csv") == rows_of(tmp_path / "whole.csv")
