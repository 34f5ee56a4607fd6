"""A cluster that has no workers, that is closed while it works, or whose tasks fail."""

import threading
import time
from concurrent.futures import CancelledError, Future
from types import SimpleNamespace

import pytest
import torch
from distributed import Client, KilledWorker, LocalCluster

from magnet_helpers.data import load_images
from magnet_helpers.defenses import denoising
from magnet_helpers.lab import cluster as cluster_module
from magnet_helpers.lab.budget import SMOKE
from magnet_helpers.lab.cluster import Cluster, ClusterLostError, OtherCodeError
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.store import Store

ON_THIS_MACHINE = {"threads_per_worker": 1, "processes": True, "dashboard_address": None, "host": "127.0.0.1"}


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(SMOKE, load_images("digits"), store=Store(tmp_path), device=torch.device("cpu"))


def test_a_scheduler_without_workers_is_not_waited_for_in_silence(lab, monkeypatch, capsys):
    monkeypatch.setattr(cluster_module, "_SECONDS_FOR_A_WORKER", 0.5)
    with LocalCluster(n_workers=0, **ON_THIS_MACHINE) as cluster, Client(cluster.scheduler_address) as client:
        later = threading.Timer(2, cluster.scale, [1])
        later.start()
        Cluster(client, lab.data, lab.store)
        later.join()
    assert "no worker yet, so this waits: start one, for example with `dask worker ADDRESS`" in capsys.readouterr().err


class Imitation:
    """A client, and its executor, whose first task ends in an error."""

    def __init__(self, error):
        self.error = error

    def wait_for_workers(self, n_workers, timeout):
        pass

    def run(self, function):
        return {}

    def get_executor(self, **_):
        return self

    def submit(self, *_, **__):
        future = Future()
        future.set_exception(self.error)
        return future

    def cancel(self, _):
        raise TimeoutError("no answer")

    def shutdown(self, wait):
        pass


def make_on(crew, lab, *tasks):
    with crew:
        lab.make(tasks, crew)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (CancelledError(), "scheduler was closed, or cannot be reached"),
        (KilledWorker("network-DAE", SimpleNamespace(address="tcp://a:1"), 3), "task 'network-DAE' on 4 different"),
    ],
    ids=["closed", "killed"],
)
def test_tasks_that_were_given_up_are_one_error_with_a_way_on(lab, error, text):
    with pytest.raises(ClusterLostError, match=rf"gave up: .*{text}.* is kept: .* same command goes on"):
        make_on(Cluster(Imitation(error), lab.data, lab.store), lab, lab.specs.classifier())


def is_training(client):
    return any(str(key).startswith("network-") for keys in client.processing().values() for key in keys)


def refuse(path):
    with path.open("a") as file:
        file.write("asked\n")
    raise OtherCodeError("another version")


def test_a_cluster_that_is_closed_in_the_middle_ends_in_that_error_and_a_refusal_is_not_repeated(lab, tmp_path):
    cluster = LocalCluster(n_workers=1, **ON_THIS_MACHINE)

    def close_when_it_works(client):
        deadline = time.monotonic() + 60
        while not is_training(client) and time.monotonic() < deadline:
            time.sleep(0.05)
        cluster.close()

    with Client(cluster.scheduler_address) as client:
        crew = Cluster(client, lab.data, lab.store)
        with pytest.raises(OtherCodeError, match="another version"):
            crew.executor.submit(refuse, tmp_path / "asked").result()
        assert (tmp_path / "asked").read_text() == "asked\n"
        closing = threading.Thread(target=close_when_it_works, args=(client,))
        closing.start()
        with pytest.raises(ClusterLostError, match="the same command goes on"):
            make_on(crew, lab, lab.cell(denoising(0.4)))
        closing.join()
