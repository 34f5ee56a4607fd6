"""Kept rows get today's key, and nothing else about them changes."""

import dataclasses

import torch
from measured import plain_row

from magnet_helpers.data import load_images
from magnet_helpers.defenses import NO_REFORMER
from magnet_helpers.lab.budget import SMOKE
from magnet_helpers.lab.lab import Lab
from magnet_helpers.study.results_file import Row, read_rows, write_rows
from magnet_helpers.study.run import _without_known
from magnet_helpers.study.threats import PAPERS_SETTINGS
from tools.__main__ import main


def test_rows_get_the_key_that_they_would_have_today(tmp_path, capsys):
    lab, path = Lab(SMOKE, load_images("digits"), 0), tmp_path / "smoke.csv"
    settings = {"dataset": "digits", "budget": "smoke", "classifier_epochs": SMOKE.classifier_epochs}
    right = torch.ones(100).bool()
    rows = [plain_row(NO_REFORMER, threat, right, 0, **settings) for threat in PAPERS_SETTINGS]
    strange = plain_row(NO_REFORMER, PAPERS_SETTINGS[0], right[:9], 1, **settings)
    write_rows(path, [*rows, strange])
    task = lab.cell(NO_REFORMER)
    assert _without_known(lab, [task], read_rows(path, Row)) == [task]
    assert main(["stamp", str(path)]) == 0
    assert "3 of 4 rows got another key" in capsys.readouterr().out
    stamped = read_rows(path, Row)
    assert _without_known(lab, [task], stamped) == []
    assert [dataclasses.replace(row, key="k") for row in stamped] == [*rows, strange]
    assert stamped[-1].key == "k", "no study asks for it"
