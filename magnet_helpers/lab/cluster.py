"""A crew on a Dask cluster: independent tasks, whose workers share nothing but what they are sent.

The client holds the store. It sends the images once, and with each task what it needs; it keeps each outcome as soon as
it arrives. A task whose worker has died is done again elsewhere, by Dask. A worker whose code differs from the client's
is refused before it makes a number. A task that raises an error is not tried again: it would raise it again. Needs the
extra `cluster`.
"""

import sys
import warnings
import zlib
from concurrent.futures import CancelledError, Future

import torch
from distributed import Client, KilledWorker
from safetensors.torch import load, save
from torch import Tensor

from magnet_helpers.data import ImageData, LabeledImages
from magnet_helpers.device import choose_device
from magnet_helpers.lab.code_version import package_version
from magnet_helpers.lab.scheduler import Crew
from magnet_helpers.lab.store import Artifact, Store
from magnet_helpers.lab.tasks import Inputs, Task

_SPLITS = ("train", "validation", "test")
_SECONDS_FOR_A_WORKER = 10
_MANY = 10_000  # Dask itself decides how many of the tasks that are ready run at once


class OtherCodeError(RuntimeError):
    """A worker has other code than the client: its numbers would not be those of this code."""


class ClusterLostError(RuntimeError):
    """The cluster gave tasks up: somebody closed it, or its workers died one after the other."""


class Cluster(Crew):
    """The workers of a Dask cluster.

    Args:
        client: connected to a cluster whose workers have this package installed.
        data: training, validation and test images.
        store: the client's.

    Raises:
        OtherCodeError: if a worker has other code than this process.
        ClusterLostError: at the end of `with`, if tasks were given up.
    """

    def __init__(self, client: Client, data: ImageData, store: Store) -> None:
        _wait_for_a_worker(client)
        _check_workers(client)
        self.size, self.client, self.data, self.store = _MANY, client, data, store
        # The images travel as a task, so a worker that dies with them takes nothing with it that cannot be made again.
        self.images = client.submit(_unpack, _pack(data), key=f"images-{data.fingerprint[:16]}")
        self.executor = client.get_executor(pure=False)

    def submit(self, task: Task) -> "Future[Artifact]":
        """Begin a task somewhere on the cluster, with what it needs from the store."""
        inputs = {need.key: self._stored(need) for need in task.needs}
        settings = task.settings(self.data.fingerprint)
        key = f"{settings['kind']}-{self.store.folder(settings).name}"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")  # the weights of networks are large
            future: Future[Artifact] = self.executor.submit(_run, package_version(), task, inputs, self.images, key=key)
        return future

    def _stored(self, task: Task) -> Artifact:
        artifact = self.store.load(task.settings(self.data.fingerprint))
        if artifact is None:
            raise RuntimeError(f"what {task.key[:60]} made is no longer in {self.store.root}")
        return artifact

    def keep(self, task: Task, outcome: Artifact) -> None:
        """Store what has arrived."""
        self.store.save(task.settings(self.data.fingerprint), outcome.tensors, outcome.record)

    def close(self) -> None:
        """Begin nothing more, and let the cluster forget the images."""
        self.executor.shutdown(wait=False)
        self.client.cancel([self.images])

    def __exit__(self, *raised: object) -> None:
        error = raised[1]
        try:
            self.close()
        finally:  # to close a lost cluster may fail, too
            if isinstance(error, CancelledError | KilledWorker):
                what = f"{error}" or "the scheduler was closed, or cannot be reached any more"
                raise ClusterLostError(
                    f"the cluster gave up: {what}. What had arrived is kept: with a cluster that runs, the same "
                    "command goes on from there"
                ) from error


def _wait_for_a_worker(client: Client) -> None:
    """Wait as long as it takes, for a queue may hold the workers back, but not in silence."""
    try:
        client.wait_for_workers(1, timeout=_SECONDS_FOR_A_WORKER)
    except TimeoutError:
        text = "the scheduler has no worker yet, so this waits: start one, for example with `dask worker ADDRESS`"
        print(f"{text} (ADDRESS as after --dask)", file=sys.stderr)
        client.wait_for_workers(1)


def _version_here() -> str:
    return package_version()  # of the process that it runs in, for the function travels as a name


def _check_workers(client: Client) -> None:
    ours = package_version()
    try:
        versions: dict[str, str] = client.run(_version_here)
    except Exception as error:
        raise OtherCodeError(
            f"a worker of this cluster cannot say which code it has ({error}): install this version on every worker"
        ) from error
    differing = sorted(worker for worker, version in versions.items() if version != ours)
    if differing:
        raise OtherCodeError(
            f"the code of this process is {ours}, that of {', '.join(differing)} is another "
            f"({', '.join(sorted({versions[worker] for worker in differing}))}): install the same version on "
            "every worker"
        )


def _run(ours: str, task: Task, inputs: Inputs, data: ImageData) -> Artifact:
    """Do a task on a worker, which may have joined after the others were asked for their code."""
    if package_version() != ours:
        raise OtherCodeError(
            f"the client's code is {ours}, this worker's is {package_version()}: install the same version on both"
        )
    torch.set_num_threads(1)  # a worker is one of several on its machine
    return task.run(inputs, data, choose_device())


def _pack(data: ImageData) -> tuple[bytes, str, str]:
    tensors: dict[str, Tensor] = {}
    for split in _SPLITS:
        images: LabeledImages = getattr(data, split)
        tensors |= {f"{split}.images": images.images, f"{split}.labels": images.labels}
    return zlib.compress(save(tensors), 1), data.name, data.fingerprint


def _unpack(packed: tuple[bytes, str, str]) -> ImageData:
    text, name, fingerprint = packed
    tensors = load(zlib.decompress(text))
    splits = {split: LabeledImages(tensors[f"{split}.images"], tensors[f"{split}.labels"]) for split in _SPLITS}
    return ImageData(name, splits["train"], splits["validation"], splits["test"], fingerprint)
