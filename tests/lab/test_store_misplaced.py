"""Files of one artifact in the place of another's, folders in the place of files: never another network's numbers."""

import json
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from stored import EPOCHS, OTHER, RECORD, SETTINGS, TENSORS, files
from tiny import equal

from magnet_helpers.lab.store import DamagedArtifactWarning, Store

OTHERS = {**SETTINGS, "name": "DAE, noise 0.3", "seed": 1}


def both(store):
    store.save(SETTINGS, TENSORS, RECORD)
    store.save(OTHERS, OTHER, RECORD)
    return store.folder(SETTINGS), store.folder(OTHERS)


def is_refused(store, text=""):
    """Whether the artifact is noticed, set aside by who holds the lock, and can be made again."""
    with pytest.warns(DamagedArtifactWarning, match=f"is damaged .*{text}.*made again"):
        assert store.load(SETTINGS) is None
    with pytest.warns(DamagedArtifactWarning):
        assert store.load(SETTINGS, discard_damaged=True) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.load(SETTINGS) is None
        store.save(SETTINGS, TENSORS, RECORD)
        return equal(store.load(SETTINGS).tensors, TENSORS)


def test_another_artifact_in_the_folder_is_noticed_and_kept(store):
    ours, others = both(store)
    shutil.rmtree(ours)
    shutil.copytree(others, ours)
    assert is_refused(store, "DAE, noise 0.3, made from other settings")
    (aside,) = ours.parent.glob(f"{ours.name}.damaged-*")
    assert files(aside) == ["record.json", "tensors.safetensors"]
    assert equal(load_file(aside / "tensors.safetensors"), OTHER), "it may be the only one that somebody has"


@pytest.mark.parametrize("name", ["record.json", "tensors.safetensors"])
def test_one_file_of_another_artifact_is_noticed(store, name):
    ours, others = both(store)
    shutil.copy(others / name, ours / name)
    assert is_refused(store)


def as_file(path):
    if path.is_dir():
        shutil.rmtree(path)
    path.write_text("mine")


def as_folder(path):
    path.unlink(missing_ok=True)
    (path / "mine").mkdir(parents=True)


def as_lost_link(path):
    shutil.rmtree(path)
    path.symlink_to("nowhere")


IN_THE_WAY = {
    "a file for the folder": ("", as_file),
    "a link to nothing for the folder": ("", as_lost_link),
    "a folder for the record": ("record.json", as_folder),
    "a folder for the tensors": ("tensors.safetensors", as_folder),
    "a folder for the checkpoint": ("checkpoint.safetensors", as_folder),
}


@pytest.mark.parametrize("case", IN_THE_WAY)
@pytest.mark.parametrize("finished", [True, False])
def test_what_lies_in_the_way_is_noticed_before_the_work(store, case, finished):
    folder = both(store)[0]
    if not finished:
        (folder / "record.json").unlink()
    name, spoil = IN_THE_WAY[case]
    spoil(folder / name)
    if case == "a folder for the checkpoint" and finished:
        assert equal(store.load(SETTINGS).tensors, TENSORS)
        return
    assert is_refused(store)
    assert list(folder.parent.glob(f"{folder.name}.damaged-*")), "it may be somebody's"


@pytest.mark.parametrize("case", IN_THE_WAY)
def test_who_stores_without_having_looked_is_not_stopped_by_it(store, case):
    """A cluster's client has not made what it stores."""
    folder = both(store)[0]
    name, spoil = IN_THE_WAY[case]
    spoil(folder / name)
    store.save(SETTINGS, TENSORS, RECORD)
    assert equal(store.load(SETTINGS).tensors, TENSORS)


def test_links_to_lost_files_are_replaced(store):
    folder = both(store)[0]
    for name in ("record.json", "tensors.safetensors"):
        (folder / name).unlink()
        (folder / name).symlink_to("nowhere")
    assert store.load(SETTINGS) is None
    store.save(SETTINGS, TENSORS, RECORD)
    assert equal(store.load(SETTINGS).tensors, TENSORS)
    assert not (folder / "record.json").is_symlink()


def test_a_folder_in_the_place_of_a_checkpoint(store):
    checkpoint = store.checkpoint(SETTINGS)
    as_folder(checkpoint.path)
    with pytest.warns(DamagedArtifactWarning, match="starts again"):
        assert checkpoint.load() is None
    checkpoint.save(TENSORS, EPOCHS)
    assert checkpoint.load()[1] == EPOCHS


def test_a_record_nested_without_end(store):
    folder = both(store)[0]
    (folder / "record.json").write_text("[" * 100_000)
    assert is_refused(store)


def test_another_trainings_checkpoint_is_not_taken_up(store):
    store.checkpoint(OTHERS).save(TENSORS, EPOCHS)
    checkpoint = store.checkpoint(SETTINGS)
    checkpoint.path.parent.mkdir()
    shutil.copy(store.checkpoint(OTHERS).path, checkpoint.path)
    with pytest.warns(DamagedArtifactWarning, match="another training's.*starts again"):
        assert checkpoint.load() is None
    assert checkpoint.load() is None, "and is not there any more"


def rewritten(path, change):
    """Write a safetensors file anew with a changed note or changed tensors: it is whole in itself."""
    with safe_open(path, framework="pt") as file:
        note = json.loads(file.metadata()["note"])
    tensors = load_file(path)
    change(note, tensors)
    save_file(tensors, path, metadata={"note": json.dumps(note)})


CHANGES = {
    "a loss": lambda note, tensors: note["epochs"][0].update(training_loss=3.0),
    "an epoch less": lambda note, tensors: note["epochs"].pop(),
    "an epoch more": lambda note, tensors: note["epochs"].append(note["epochs"][0]),
    "a name": lambda note, tensors: tensors.update(other=tensors.pop("answers")),
    "a shape": lambda note, tensors: tensors.update(weight=tensors["weight"].view(4, 3)),
    "a type": lambda note, tensors: tensors.update(weight=tensors["weight"].view(torch.int32)),
    "no tensor": lambda note, tensors: tensors.pop("answers"),
    "no digest": lambda note, tensors: note.pop("sha256"),
    "no key": lambda note, tensors: note.pop("key"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_header_of_a_checkpoint_is_noticed(store, change):
    checkpoint = store.checkpoint(SETTINGS)
    checkpoint.save(TENSORS, EPOCHS)
    rewritten(checkpoint.path, CHANGES[change])
    with pytest.warns(DamagedArtifactWarning, match="is damaged .*starts again"):
        assert checkpoint.load() is None


def spoilt(content, cut, position, value):
    position %= len(content)
    if cut:
        return content[:position]
    return content[:position] + bytes([value]) + content[position + 1 :]


SPOILT = {"cut": st.booleans(), "position": st.integers(0, 2**20), "value": st.integers(0, 255)}


@given(name=st.sampled_from(["record.json", "tensors.safetensors"]), **SPOILT)
def test_no_byte_makes_another_artifact(name, cut, position, value):
    with tempfile.TemporaryDirectory() as root, warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedArtifactWarning)
        store = Store(Path(root))
        store.save(SETTINGS, TENSORS, RECORD)
        path = store.folder(SETTINGS) / name
        path.write_bytes(spoilt(path.read_bytes(), cut, position, value))
        found = store.load(SETTINGS, discard_damaged=True)
        assert found is None or (equal(found.tensors, TENSORS) and found.record.items() >= RECORD.items())
        store.save(SETTINGS, TENSORS, RECORD)
        assert equal(store.load(SETTINGS).tensors, TENSORS)


@given(**SPOILT)
def test_no_byte_makes_another_checkpoint(cut, position, value):
    with tempfile.TemporaryDirectory() as root, warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedArtifactWarning)
        checkpoint = Store(Path(root)).checkpoint(SETTINGS)
        checkpoint.save(TENSORS, EPOCHS)
        checkpoint.path.write_bytes(spoilt(checkpoint.path.read_bytes(), cut, position, value))
        found = checkpoint.load()
        assert found is None or (equal(found[0], TENSORS) and found[1] == EPOCHS)


def test_the_umask_alone_decides_who_may_read(store):
    before = os.umask(0o022)
    try:
        store.save(SETTINGS, TENSORS, RECORD)
        store.checkpoint(OTHERS).save(TENSORS, EPOCHS)
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in store.root.rglob("*.*") if path.is_file()}
    assert modes == dict.fromkeys(("record.json", "tensors.safetensors", "checkpoint.safetensors"), "0o644")
