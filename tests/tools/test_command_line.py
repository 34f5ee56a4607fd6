"""What the workshop's command line refuses: in one line, with the exit status of a wrong call."""

import os
import re
import subprocess
import sys

import pytest

from magnet_helpers.__main__ import main as study_main
from tools.__main__ import main
from tools.checkout import CHECKOUT


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("MAGNET_SEED", "MAGNET_SEED: a seed must be a whole number"),
        ("MAGNET_BUDGET", "one of smoke"),
        ("MAGNET_DEVICE", "MAGNET_DEVICE must be one of"),
        ("MAGNET_FAST", "MAGNET_FAST must be 0"),
    ],
)
def test_a_course_with_an_impossible_setting(variable, message, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(variable, "x")
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))
    assert main(["course", "--dataset", "digits"], tmp_path) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert "got 'x'" in line


@pytest.mark.parametrize("command", ["course", "notebooks", "address"])
def test_lessons_without_the_extra_that_executes_them(command, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "tools.site.course", None)
    assert main([command], tmp_path) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "pip install '.[course]'" in line


@pytest.mark.parametrize("command", ["reproduce", "attack"])
@pytest.mark.parametrize("variable", ["MAGNET_DEVICE", "MAGNET_FAST"])
def test_a_study_with_an_impossible_setting_loads_nothing(command, variable, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(variable, "x")
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))
    assert study_main([command, "--budget", "smoke", "--dataset", "/nowhere"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{variable} must be" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "message"), [(None, "No such file .*results.csv"), ("a,b", "must have the columns")])
def test_a_stamp_for_what_is_no_file_of_results(text, message, tmp_path, capsys):
    path = tmp_path / "results.csv"
    if text is not None:
        path.write_text(text)
    assert main(["stamp", str(path)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, line)


WRONG_CALLS = [
    *(
        [*study, "--seeds", seed]
        for study in (["reproduce"], ["attack"])
        for seed in ("-1", "3-1", "a", "", "1.5", "١")
    ),
    *(["reproduce", "--budget", "x"], ["reproduce", "--results", "x.txt"], ["attack", "--workers", "1"]),
    *(["course", "--seed", seed] for seed in ("-1", "a", "", "0x1", "1_0")),
    *(["grade", "folder", "--workers", workers] for workers in ("0", "-1", "a")),
    *(["course", "--budget", "fst"], ["nonsense"], []),
]


@pytest.mark.parametrize("call", WRONG_CALLS, ids=" ".join)
def test_a_wrong_call_is_refused_in_one_line(call, capsys):
    run = study_main if call and call[0] in ("reproduce", "attack") else main
    with pytest.raises(SystemExit) as stopped:
        run(call)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "error: " in said.splitlines()[-1]


def test_a_home_that_is_a_file(monkeypatch, tmp_path, capsys):
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path / "home"))
    assert main(["course", "--dataset", "digits", "--budget", "smoke"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_without_greek_letters(encoding):
    code = "from tools.__main__ import main\ntry: main(['--help'])\nfinally: print('λ = ∂ → ε')"
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert rb"\u03bb" in done.stdout


def test_no_file_is_opened_in_the_machines_own_encoding():
    command = [sys.executable, "-m", "ruff", "check", "-q", "--preview", "--select", "PLW1514"]
    found = subprocess.run([*command, "magnet_helpers", "tools"], cwd=CHECKOUT, capture_output=True, check=False)
    assert found.returncode == 0, found.stdout.decode()
