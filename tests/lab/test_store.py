import math
import warnings
from pathlib import Path

import pytest
import torch
from stored import EPOCHS, OTHER, RECORD, SETTINGS, TENSORS, files
from tiny import equal

from magnet_helpers.files import write_text
from magnet_helpers.lab.store import DamagedArtifactWarning

# ---- artifacts


def test_what_was_saved_is_loaded(store):
    assert store.load(SETTINGS) is None
    store.save(SETTINGS, TENSORS, RECORD)
    found = store.load(SETTINGS)
    assert equal(found.tensors, TENSORS)
    assert [value.dtype for value in found.tensors.values()] == [torch.int64, torch.float32]
    assert {name: found.record[name] for name in RECORD} == RECORD
    assert found.record["settings"] == SETTINGS
    assert files(store.folder(SETTINGS)) == ["record.json", "tensors.safetensors"]


def test_tensors_of_any_layout_are_saved(store):
    images = torch.rand(2, 3, 4, 5)
    shared = {"a": images, "b": images, "c": images.to(memory_format=torch.channels_last), "d": images[:, 1:, ::2]}
    shared["e"] = torch.nn.Parameter(images[0])
    store.save(SETTINGS, shared, {})
    assert equal(store.load(SETTINGS).tensors, {name: value.detach() for name, value in shared.items()})


def test_an_artifact_is_replaced(store):
    store.save(SETTINGS, TENSORS, RECORD)
    store.save(SETTINGS, OTHER, {"collapsed": True})
    found = store.load(SETTINGS)
    assert equal(found.tensors, OTHER)
    assert found.record["collapsed"]
    assert "epochs" not in found.record


def test_who_is_reading_keeps_the_old_file(tmp_path):
    write_text(tmp_path / "table.csv", "old\n" * 1000)
    with (tmp_path / "table.csv").open() as reader:
        write_text(tmp_path / "table.csv", "new\n" * 1000)
        assert set(reader) == {"old\n"}
    assert set((tmp_path / "table.csv").read_text().splitlines()) == {"new"}


def test_the_folder_is_named_after_the_settings(store):
    folder = store.folder(SETTINGS)
    assert folder.parent == store.root / "network"
    assert folder.name.startswith("DAE--noise-0-4-")
    assert store.folder(dict(reversed(SETTINGS.items()))) == folder
    others = [{**SETTINGS, "seed": 1}, {**SETTINGS, "seed": "0"}, {**SETTINGS, "more": None}]
    assert len({folder, *map(store.folder, others)}) == 4
    name = store.folder({**SETTINGS, "name": "CAE, λ = 1e-05 ../x"}).name
    assert name.isascii()
    assert not set(name) & set("/\\. ,")


def test_settings_that_json_cannot_hold_are_refused(store):
    with pytest.raises(ValueError):
        store.folder({**SETTINGS, "penalty": math.nan})


# ---- damage


def flip(path, position, bit=1):
    content = bytearray(path.read_bytes())
    content[position] ^= bit
    path.write_bytes(content)


def as_directory(path):
    path.unlink()
    path.mkdir()


def record_edit(old, new):
    def edit(path):
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return edit


DAMAGES = {
    "tensors cut": ("tensors.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-5])),
    "tensors empty": ("tensors.safetensors", lambda path: path.write_bytes(b"")),
    "tensors missing": ("tensors.safetensors", Path.unlink),
    "tensors: last bit": ("tensors.safetensors", lambda path: flip(path, -1)),
    "tensors: header": ("tensors.safetensors", lambda path: flip(path, 12)),
    "tensors: length": ("tensors.safetensors", lambda path: flip(path, 7, 128)),
    "tensors: a folder": ("tensors.safetensors", as_directory),
    "record cut": ("record.json", lambda path: path.write_bytes(path.read_bytes()[:-5])),
    "record empty": ("record.json", lambda path: path.write_bytes(b"")),
    "record of nonsense": ("record.json", lambda path: path.write_bytes(b"\xff\xfe\x00 no text")),
    "record: null": ("record.json", lambda path: path.write_text("null")),
    "record: a list": ("record.json", lambda path: path.write_text("[]")),
    "record: a number": ("record.json", lambda path: path.write_text("3")),
    "record: no digest": ("record.json", lambda path: path.write_text("{}")),
    "record: a folder": ("record.json", as_directory),
    "record: a digit": ("record.json", record_edit("3.25", "3.75")),
    "record: a word": ("record.json", record_edit('"collapsed": false', '"collapsed": true')),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed_named_and_made_good(store, damage):
    store.save(SETTINGS, TENSORS, RECORD)
    folder = store.folder(SETTINGS)
    name, spoil = DAMAGES[damage]
    spoil(folder / name)
    for discard in (False, True):
        before = files(folder)
        with pytest.warns(DamagedArtifactWarning, match="is damaged .*made again") as caught:
            assert store.load(SETTINGS, discard_damaged=discard) is None
        assert len(caught) == 1
        assert str(folder) in str(caught[0].message)
        assert files(folder) == ([] if discard else before), "only who holds the lock may remove files"
    assert not folder.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.load(SETTINGS) is None
        store.save(SETTINGS, TENSORS, RECORD)
        assert equal(store.load(SETTINGS).tensors, TENSORS)


@pytest.mark.parametrize(
    "spoil", [lambda path: flip(path, -1), lambda path: path.write_bytes(path.read_bytes()[:-5])], ids=["bit", "cut"]
)
def test_a_damaged_checkpoint_is_noticed_named_and_removed(store, spoil):
    checkpoint = store.checkpoint(SETTINGS)
    checkpoint.save(TENSORS, EPOCHS)
    spoil(checkpoint.path)
    with pytest.warns(DamagedArtifactWarning, match="is damaged .*starts again") as caught:
        assert checkpoint.load() is None
    assert str(checkpoint.path) in str(caught[0].message)
    assert not checkpoint.path.exists()
    checkpoint.save(TENSORS, EPOCHS)
    assert equal(checkpoint.load()[0], TENSORS)


def test_tensors_without_a_record_are_no_artifact(store):
    store.save(SETTINGS, TENSORS, RECORD)
    (store.folder(SETTINGS) / "record.json").unlink()
    assert store.load(SETTINGS) is None
