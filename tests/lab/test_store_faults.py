import errno
import json
import math
import multiprocessing
import os
import resource
import signal

import pytest
import torch
from stored import EPOCHS, OTHER, RECORD, SETTINGS, TENSORS, files
from tiny import equal

from magnet_helpers import files as files_module
from magnet_helpers.files import StorageError, write_json, write_text
from magnet_helpers.lab import store as artifacts
from magnet_helpers.lab.store import Store

FORK = multiprocessing.get_context("fork")  # a fresh interpreter would spend seconds on importing PyTorch


def in_child(work):
    """Run a function in another process and return its exit code."""
    process = FORK.Process(target=work)
    process.start()
    process.join(30)
    return process.exitcode


def half_then(outcome):
    """Return a stand-in for `os.fsync` that leaves a part of what was written and then fails."""

    def sync(descriptor):
        os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
        raise outcome

    return sync


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
ADVICE = r"cannot write .*No space left.*MAGNET_HOME.*before is unchanged"


def test_a_full_disk_leaves_the_old_artifact(store, monkeypatch):
    store.save(SETTINGS, TENSORS, RECORD)
    store.checkpoint(SETTINGS).save(TENSORS, EPOCHS)
    before = files(store.root)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", half_then(FULL))
        for write in (
            lambda: store.save(SETTINGS, OTHER, RECORD),
            lambda: store.checkpoint(SETTINGS).save(OTHER, EPOCHS),
        ):
            with pytest.raises(StorageError, match=ADVICE):
                write()
    assert files(store.root) == before
    assert equal(store.load(SETTINGS).tensors, TENSORS)
    assert equal(store.checkpoint(SETTINGS).load()[0], TENSORS)


def test_a_writer_that_is_interrupted_leaves_the_old_artifact(store, monkeypatch):
    store.save(SETTINGS, TENSORS, RECORD)
    before = files(store.root)
    monkeypatch.setattr(os, "fsync", half_then(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        store.save(SETTINGS, OTHER, RECORD)
    assert files(store.root) == before
    assert equal(store.load(SETTINGS).tensors, TENSORS)


def test_a_disk_that_is_full_before_the_record_leaves_no_mixture(store, monkeypatch):
    def refuse(path, text):
        with files_module._replacing(path):
            raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(files_module, "write_text", refuse)
        with pytest.raises(StorageError, match=ADVICE):
            store.save(SETTINGS, TENSORS, RECORD)
    assert store.load(SETTINGS) is None
    store.save(SETTINGS, TENSORS, RECORD)
    assert equal(store.load(SETTINGS).tensors, TENSORS)


def test_files_that_the_system_does_not_let_grow(store, tmp_path):
    """The system refuses the write itself, as on a full disk: nothing here is a stand-in."""
    store.save(SETTINGS, TENSORS, RECORD)
    write_text(tmp_path / "table.csv", "old\n")
    before = files(tmp_path)

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        with pytest.raises(StorageError, match=r"(?s)cannot write .*MAGNET_HOME"):
            store.save(SETTINGS, {"weight": torch.zeros(10_000)}, RECORD)
        with pytest.raises(StorageError, match=r"(?s)cannot write .*MAGNET_HOME"):
            write_text(tmp_path / "table.csv", "new " * 10_000)

    assert in_child(work) == 0
    assert files(tmp_path) == before
    assert equal(store.load(SETTINGS).tensors, TENSORS)
    assert (tmp_path / "table.csv").read_text() == "old\n"


@pytest.mark.parametrize("moment", ["in the tensors", "before the record"])
def test_a_writer_that_is_killed_leaves_an_artifact_or_none(store, monkeypatch, moment):
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    place, name = {"in the tensors": (os, "fsync"), "before the record": (artifacts, "write_json")}[moment]

    def work():
        setattr(place, name, die)
        store.save(SETTINGS, OTHER, RECORD)

    assert in_child(work) == -signal.SIGKILL
    assert store.load(SETTINGS) is None, "what is not finished is not there"
    store.save(SETTINGS, TENSORS, RECORD)
    assert {path.name for path in store.folder(SETTINGS).iterdir()} == {"record.json", "tensors.safetensors"}
    if moment == "in the tensors":
        assert in_child(work) == -signal.SIGKILL
        assert equal(store.load(SETTINGS).tensors, TENSORS), "the old artifact is whole"


def test_a_place_that_is_no_folder(tmp_path):
    (tmp_path / "artifacts").write_text("a file")
    with pytest.raises(StorageError, match=r"cannot write .*MAGNET_HOME"):
        Store(tmp_path / "artifacts").save(SETTINGS, TENSORS, RECORD)
    assert (tmp_path / "artifacts").read_text() == "a file"


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "deep" / "value.json", {"λ": 0.1})
    assert (tmp_path / "deep" / "value.json").read_text(encoding="utf-8") == '{\n  "λ": 0.1\n}\n'
    with pytest.raises(ValueError):
        write_json(tmp_path / "deep" / "value.json", math.nan)
    assert json.loads((tmp_path / "deep" / "value.json").read_text()) == {"λ": 0.1}
