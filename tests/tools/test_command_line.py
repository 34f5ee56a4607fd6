"""What the workshop's command line refuses: in one line, with the exit status of a wrong call."""

import re

import pytest

from tools.__main__ import main


@pytest.mark.parametrize(
    ("variable", "message"), [("MAGNET_SEED", "MAGNET_SEED must be a whole number"), ("MAGNET_BUDGET", "one of smoke")]
)
def test_a_course_with_an_impossible_setting(variable, message, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(variable, "x")
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))
    assert main(["course", "--dataset", "digits"], tmp_path) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert "got 'x'" in line


@pytest.mark.parametrize(("text", "message"), [(None, "No such file .*results.csv"), ("a,b", "must have the columns")])
def test_a_stamp_for_what_is_no_file_of_results(text, message, tmp_path, capsys):
    path = tmp_path / "results.csv"
    if text is not None:
        path.write_text(text)
    assert main(["stamp", str(path)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, line)
