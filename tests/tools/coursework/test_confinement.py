"""Where strangers' code runs: what it is kept from, and what is ended when it uses too much."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from handing_in import SHORT, hand_in, needs_bubblewrap

import magnet_helpers
from tools.checkout import CHECKOUT
from tools.coursework.confinement import ConfinementError, Limits, Watch, confined_command, find_confinement
from tools.coursework.grading import Batch

SIGHTS = """
import importlib.util, json, os, sys
specs = {name: importlib.util.find_spec(name) for name in ("magnet_helpers", "tools", "marks")}
print(json.dumps([os.listdir(sys.argv[1]), {name: spec and spec.origin for name, spec in specs.items()}]))
"""


@needs_bubblewrap
def test_in_the_room_there_is_the_package_and_neither_grader_nor_tests(tmp_path):
    command = [sys.executable, "-c", SIGHTS, str(CHECKOUT)]
    confined = confined_command(find_confinement(), command, tmp_path, SHORT)
    seen = subprocess.run(confined, capture_output=True, text=True, check=True, timeout=60).stdout
    names, origins = json.loads(seen)
    # Python itself may lie in the checkout too: an environment made there.
    assert "magnet_helpers" in names
    assert set(names) <= {"magnet_helpers", ".venv"}
    assert Path(origins["magnet_helpers"]) == Path(magnet_helpers.__file__).resolve()
    assert origins["tools"] is origins["marks"] is None


def test_without_confinement_nothing_is_graded_unless_one_says_so(sources, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfinementError, match="UNCONFINED=yes"):
        find_confinement()
    hand_in(tmp_path / "in", "ann", {})
    with pytest.raises(ConfinementError):
        Batch(sources, tmp_path / "in", tmp_path / "grading", SHORT, confined=True)


def test_a_bubblewrap_that_does_not_work_is_no_confinement(tmp_path, monkeypatch):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho no permission to make a room >&2\nexit 1\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfinementError, match="no permission to make a room"):
        find_confinement()


def test_a_process_that_uses_too_much_is_ended():
    process = subprocess.Popen([sys.executable, "-c", "x = bytearray(300 * 2**20); import time; time.sleep(60)"])
    watch = Watch(process.pid, Limits(memory_mb=200))
    watch.start()
    try:
        assert process.wait(30) == -signal.SIGKILL
        watch.join(5)
        assert "more than 200 MB" in watch.reason
    finally:
        process.kill()


def test_a_process_that_uses_little_is_left_alone_and_watching_ends_with_it():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"])
    watch = Watch(process.pid, Limits(memory_mb=200))
    watch.start()
    assert process.wait(30) == 0
    watch.join(5)
    assert not watch.is_alive()
    assert watch.reason == ""
    assert threading.active_count() >= 1


@pytest.mark.parametrize("field", ["cell_seconds", "memory_mb", "output_kb"])
def test_limits_are_positive(field):
    with pytest.raises(ValueError, match=f"{field} must be 1 or more"):
        Limits(**{field: 0})
