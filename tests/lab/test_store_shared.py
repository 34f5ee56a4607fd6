"""Checkpoints, processes that meet in one store, and what `Lab` makes of damage."""

import ast
import multiprocessing
import os
import signal
import threading
import time
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from stored import EPOCHS, SETTINGS
from tiny import equal, tiny_images, weights

import magnet_helpers
from magnet_helpers.data import ImageData
from magnet_helpers.defenses import NO_REFORMER
from magnet_helpers.files import StorageError
from magnet_helpers.lab.budget import SMOKE
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.store import DamagedArtifactWarning, Store

TENSORS = {"model.weight": torch.arange(12.0).view(3, 4), "optimizer.0.step": torch.tensor(7.0)}
FORK = multiprocessing.get_context("fork")  # a fresh interpreter would spend seconds on importing PyTorch


# ---- checkpoints


def test_a_checkpoint_comes_back(store):
    checkpoint = store.checkpoint(SETTINGS)
    assert checkpoint.load() is None
    checkpoint.save(TENSORS, EPOCHS[:1])
    checkpoint.save(TENSORS, EPOCHS)
    tensors, epochs = checkpoint.load()
    assert equal(tensors, TENSORS)
    assert epochs == EPOCHS
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["checkpoint.safetensors"]
    assert store.load(SETTINGS) is None, "a checkpoint is no artifact"


def test_the_finished_artifact_takes_its_checkpoint_away(store):
    store.checkpoint(SETTINGS).save(TENSORS, EPOCHS)
    store.save(SETTINGS, TENSORS, {})
    assert store.checkpoint(SETTINGS).load() is None


def spoil_note(note):
    return lambda path: save_file(TENSORS, path, metadata=note)


def change(position, replacement):
    def spoil(path):
        content = bytearray(path.read_bytes())
        content[position] ^= replacement
        path.write_bytes(content)

    return spoil


DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "empty": lambda path: path.write_bytes(b""),
    "nonsense": lambda path: path.write_bytes(b"\x00nonsense" * 20),
    "no note": spoil_note(None),
    "another note": spoil_note({"note": "[1, 2]"}),
    "note cut": spoil_note({"note": '[{"training_loss": 1'}),
    "another field": spoil_note({"note": '[{"training_loss": 1, "loss": 2, "seconds": 3}]'}),
    "header bit": change(7, 128),
    "last bit of a tensor": change(-1, 1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_noticed(store, damage):
    checkpoint = store.checkpoint(SETTINGS)
    checkpoint.save(TENSORS, EPOCHS)
    DAMAGES[damage](checkpoint.path)
    with pytest.warns(DamagedArtifactWarning, match=r"checkpoint\.safetensors is damaged .*starts again"):
        assert checkpoint.load() is None
    assert not checkpoint.path.exists()
    checkpoint.save(TENSORS, EPOCHS)
    assert checkpoint.load()[1] == EPOCHS


# ---- several processes


def make_once(root, number, ready, results):
    store = Store(root)
    ready.wait(20)  # both begin together
    with store.lock(SETTINGS):
        if store.load(SETTINGS) is None:
            time.sleep(0.2)  # so that the other one most likely comes meanwhile
            with (root / "made").open("a") as file:
                file.write(f"{number}\n")
            store.save(SETTINGS, {"weight": torch.full((3,), float(number))}, {})
    results.put(store.load(SETTINGS).tensors["weight"].tolist())


def test_two_processes_make_an_artifact_once(store):
    store.root.mkdir()
    ready, results = FORK.Barrier(2), FORK.SimpleQueue()
    processes = [FORK.Process(target=make_once, args=(store.root, n, ready, results)) for n in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    made = (store.root / "made").read_text().split()
    assert len(made) == 1
    assert [results.get(), results.get()] == [[float(made[0])] * 3] * 2


def test_who_waits_says_so_and_then_goes_on(store, capsys):
    done = threading.Event()

    def wait():
        with store.lock(SETTINGS):
            done.set()

    thread = threading.Thread(target=wait)
    with store.lock(SETTINGS):
        thread.start()
        said, deadline = "", time.monotonic() + 20
        while not said and time.monotonic() < deadline:
            time.sleep(0.01)
            said = capsys.readouterr().err
        assert said == "another process is making DAE, noise 0.4: waiting for it\n"
        assert not done.wait(0.1)
    thread.join(20)
    assert done.is_set()


def test_a_killed_process_does_not_keep_the_lock(store, tmp_path):
    def hold():
        with store.lock(SETTINGS):
            (tmp_path / "held").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=hold)
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "held").exists()
    started = time.monotonic()
    with store.lock(SETTINGS):
        assert time.monotonic() - started < 1


def test_different_artifacts_have_different_locks(store):
    with store.lock(SETTINGS), store.lock({**SETTINGS, "seed": 1}):
        pass


def test_a_lock_is_released_after_an_error(store):
    with pytest.raises(RuntimeError), store.lock(SETTINGS):
        raise RuntimeError
    with store.lock(SETTINGS):
        pass


def test_a_lock_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*MAGNET_HOME"), Store(tmp_path / "file").lock(SETTINGS):
        pass


# ---- through Lab


DATA = ImageData("digits", tiny_images(20), tiny_images(10, seed=1), tiny_images(10, seed=2), "0123456789ab")


def new_lab(store):
    return Lab(budget=SMOKE, data=DATA, seed=0, store=store, device=torch.device("cpu"))


def test_a_damaged_network_is_trained_again(store, capsys):
    spec = new_lab(store).specs.classifier()
    first = weights(new_lab(store).classifier())
    assert capsys.readouterr().out.startswith("trained classifier: 2 epochs of 20 images")
    assert equal(weights(new_lab(store).classifier()), first)
    assert capsys.readouterr().out == ""
    change(-1, 1)(store.folder(spec.settings(DATA.fingerprint)) / "tensors.safetensors")
    with pytest.warns(DamagedArtifactWarning, match=r"classifier-.* is damaged"):
        again = new_lab(store).classifier()
    assert capsys.readouterr().out.startswith("trained classifier")
    assert equal(weights(again), first)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        new_lab(store).classifier()


def test_a_damaged_report_is_measured_again(store):
    first = new_lab(store).report(NO_REFORMER)
    (folder,) = (store.root / "report").glob("no-reformer-*")
    (folder / "record.json").write_text("{")
    with pytest.warns(DamagedArtifactWarning, match=r"no-reformer-.* is damaged"):
        again = new_lab(store).report(NO_REFORMER)
    assert equal(again.tensors(), first.tensors())
    assert again.facts() == first.facts()


# ---- what is never done


def test_nothing_is_unpickled():
    """A file of weights must not be able to run code."""
    forbidden = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
    for path in Path(magnet_helpers.__file__).parent.glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").split(".")[0]}
                assert not (names & {"torch", "joblib"} and {"load", "save"} & {a.name for a in node.names}), path
            else:
                names = set()
            assert not names & forbidden, path
            if isinstance(node, ast.Attribute) and node.attr in ("load", "save", "read_pickle"):
                assert ast.unparse(node.value) not in ("torch", "np", "numpy", "pd", "joblib"), path
            assert not (isinstance(node, ast.keyword) and node.arg == "allow_pickle"), path
