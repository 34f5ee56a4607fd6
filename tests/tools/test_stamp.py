"""Kept rows get today's key, and nothing else about them changes."""

import dataclasses

import pytest
import torch
from filelock import FileLock, Timeout
from measured import plain_row

from magnet_helpers.data import load_images
from magnet_helpers.defenses import NO_REFORMER
from magnet_helpers.lab.budget import SMOKE
from magnet_helpers.lab.lab import Lab
from magnet_helpers.study.results_file import Row, read_rows, write_rows
from magnet_helpers.study.run import _without_known
from magnet_helpers.study.threats import PAPERS_SETTINGS
from tools import stamp as stamping
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


def test_rows_that_a_study_adds_meanwhile_are_not_lost(tmp_path, monkeypatch):
    """The file is read and written under the lock that `reproduce` takes, and a link to it stays one."""
    path, link = tmp_path / "smoke.csv", tmp_path / "link.csv"
    write_rows(path, [plain_row(NO_REFORMER, PAPERS_SETTINGS[0], torch.ones(9).bool(), 0, budget="smoke")])
    link.symlink_to(path)
    locked = []

    def look(*_):
        lock = FileLock(tmp_path / ".smoke.csv.lock")
        with pytest.raises(Timeout):
            lock.acquire(timeout=0)
        locked.append(True)
        return {}

    monkeypatch.setattr(stamping, "todays_keys", look)
    monkeypatch.setattr(stamping, "load_images", lambda _: load_images("digits"))
    assert main(["stamp", str(link)]) == 0
    assert locked
    assert link.is_symlink()


def test_a_stamp_can_be_interrupted(tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(stamping, "stamp", stop)
    assert main(["stamp", str(tmp_path / "a.csv")]) == 130
    assert capsys.readouterr().err.strip() == "interrupted: no file is half stamped"
