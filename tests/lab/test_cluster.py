"""A real cluster: a scheduler and two worker processes on this machine, one of which is killed."""

import dataclasses
import os
import signal
import threading
import time

import pytest
import torch
from distributed import Client, LocalCluster
from tiny import equal

from magnet_helpers.attacks import FGSM, Knowledge, Threat
from magnet_helpers.data import load_images
from magnet_helpers.defenses import MAGNETS_OWN, NO_REFORMER, contractive, denoising, stacked
from magnet_helpers.detectors import DetectorSpec
from magnet_helpers.lab import cluster as cluster_module
from magnet_helpers.lab import trainings
from magnet_helpers.lab.budget import SMOKE
from magnet_helpers.lab.cluster import Cluster, OtherCodeError, _pack, _unpack
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.store import Store
from magnet_helpers.lab.tasks import with_needs
from magnet_helpers.lab.trials import all_trials
from magnet_helpers.magnet import MagNetSpec

SMALL = dataclasses.replace(
    SMOKE, classifier_images=64, autoencoder_images=64, validation_images=8, test_images=20, classifier_epochs=1
)
DEFENSES = (NO_REFORMER, denoising(0.4), stacked(2, 0.4), contractive(1e-3))


@pytest.fixture(scope="module")
def client():
    settings = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with LocalCluster(**settings, host="127.0.0.1") as cluster, Client(cluster) as client:
        yield client


def new_lab(folder, budget=SMALL) -> Lab:
    return Lab(budget, load_images("digits"), seed=2, store=Store(folder), device=torch.device("cpu"))


def kept(lab: Lab) -> dict[str, dict[str, torch.Tensor]]:
    """Return the tensors of everything in the store."""
    return {path.parent.name: torch_load(path) for path in lab.store.root.glob("*/*/tensors.safetensors")}


def make_on_cluster(lab, tasks, client):
    with Cluster(client, lab.data, lab.store) as crew:
        lab.make(tasks, crew)


def torch_load(path):
    from safetensors.torch import load_file

    return load_file(path)


def test_images_arrive_as_they_were_sent():
    data = load_images("digits")
    came = _unpack(_pack(data))
    assert (came.name, came.fingerprint) == (data.name, data.fingerprint)
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(came, part).images, getattr(data, part).images)
        assert torch.equal(getattr(came, part).labels, getattr(data, part).labels)


@pytest.mark.long
def test_a_cluster_makes_what_this_machine_makes(client, tmp_path):
    here, there = new_lab(tmp_path / "here"), new_lab(tmp_path / "there")
    cells = [here.cell(defense) for defense in DEFENSES]
    make_on_cluster(there, cells, client)
    for cell in cells:
        here.result(cell)
    expected, found = kept(here), kept(there)
    assert found.keys() == expected.keys()
    assert all(equal(found[name], expected[name]) for name in expected)


def test_what_is_there_is_not_made_again(client, tmp_path, monkeypatch):
    lab = new_lab(tmp_path)
    lab.report(denoising(0.4))
    times = {path: path.stat().st_mtime_ns for path in lab.store.root.rglob("record.json")}
    make_on_cluster(lab, [lab.cell(defense) for defense in (denoising(0.4), stacked(2, 0.4))], client)
    assert all(path.stat().st_mtime_ns == before for path, before in times.items())
    assert len(list(lab.store.root.rglob("record.json"))) == len(times) + 3  # stage 2, the stack, its report


def test_a_worker_that_is_killed_in_the_middle_of_a_training_costs_nothing(client, tmp_path):
    lab = new_lab(tmp_path, dataclasses.replace(SMALL, autoencoder_images=800, denoising_epochs=6))
    cells = [lab.cell(defense) for defense in (denoising(0.3), denoising(0.4), denoising(0.5))]
    killed = []

    def kill_one_that_trains():
        deadline = time.monotonic() + 120
        while not killed and time.monotonic() < deadline:
            for worker, tasks in client.processing().items():
                training = [str(key) for key in tasks if str(key).startswith("network-DAE")]
                state = client.run(work_in_progress, workers=[worker]).get(worker) if training else None
                if state:
                    os.kill(state, signal.SIGKILL)
                    killed.append(worker)
                    return
            time.sleep(0.05)

    saved = []
    save = lab.store.save
    lab.store.save = lambda settings, *rest: (saved.append((settings["kind"], settings["name"])), save(settings, *rest))
    assassin = threading.Thread(target=kill_one_that_trains)
    assassin.start()
    make_on_cluster(lab, cells, client)
    assassin.join()
    assert len(killed) == 1
    assert len(saved) == len(set(saved)) == len(with_needs(cells)), "each outcome arrived once"
    for cell in cells:
        assert lab.store.load(cell.settings(lab.data.fingerprint)) is not None
    alone = new_lab(tmp_path / "alone", lab.budget)
    assert equal(
        alone.reformer(denoising(0.4)).state_dict(),
        lab.reformer(denoising(0.4)).state_dict(),
    )


def work_in_progress(dask_worker=None):
    """Return the worker's process if it is in the middle of a training."""
    import sys

    frames = [frame for top in sys._current_frames().values() for frame in stack_of(top)]
    return os.getpid() if any(frame.f_code is trainings.fit.__code__ for frame in frames) else None


def stack_of(frame):
    while frame is not None:
        yield frame
        frame = frame.f_back


def test_what_a_task_raises_is_raised_and_what_had_arrived_is_kept(client, tmp_path):
    # The classifier is sooner done: the autoencoder takes 600 steps to the end of its first epoch.
    changes = {"autoencoder_learning_rate": 1e30, "autoencoder_images": 1200, "autoencoder_batch_size": 2}
    lab = new_lab(tmp_path, dataclasses.replace(SMALL, **changes))
    with pytest.raises(work_training_error(), match="loss is no finite number"):
        make_on_cluster(lab, [lab.cell(denoising(0.4))], client)
    assert lab.store.load(lab.specs.classifier().settings(lab.data.fingerprint)) is not None


def work_training_error():
    from magnet_helpers.training import TrainingDivergedError

    return TrainingDivergedError


def test_trials_are_made_there_too(client, tmp_path):
    here, there = new_lab(tmp_path / "here"), new_lab(tmp_path / "there")
    magnet = MagNetSpec("MagNet", MAGNETS_OWN[0], (DetectorSpec(MAGNETS_OWN[1], p=1),))
    threats = [Threat(FGSM(0.2), Knowledge.CLASSIFIER), Threat(FGSM(0.2), Knowledge.EVERYTHING)]
    trials = all_trials([magnet], threats, 10, here.specs)
    make_on_cluster(there, trials, client)
    for trial in trials:
        ours, theirs = here.result(trial), there.store.load(trial.settings(there.data.fingerprint))
        assert equal(ours.tensors, theirs.tensors)


def test_a_worker_with_other_code_is_refused_before_it_makes_a_number(client, tmp_path, monkeypatch):
    lab = new_lab(tmp_path)
    monkeypatch.setattr(cluster_module, "package_version", lambda: "of this process alone")
    with pytest.raises(
        OtherCodeError, match=r"code of this process is of this process alone, that of tcp://.* is another"
    ):
        make_on_cluster(lab, [lab.cell(NO_REFORMER)], client)
    assert not list(tmp_path.rglob("record.json"))
    # one that joins later is asked with each task
    monkeypatch.setattr(cluster_module, "_check_workers", lambda _: None)
    with pytest.raises(OtherCodeError, match="client's code is of this process alone, this worker's is"):
        make_on_cluster(lab, [lab.cell(NO_REFORMER)], client)
    assert not list(tmp_path.rglob("record.json"))


def test_a_worker_that_cannot_say_its_code_is_refused(client, tmp_path):
    class Older:
        """A client whose workers have a version of the package without the question."""

        def wait_for_workers(self, n_workers, timeout):
            pass

        def run(self, function):
            raise AttributeError("module has no attribute 'package_version'")

    lab = new_lab(tmp_path)
    with pytest.raises(OtherCodeError, match=r"cannot say which code it has.*install this version on every worker"):
        Cluster(Older(), lab.data, lab.store)
