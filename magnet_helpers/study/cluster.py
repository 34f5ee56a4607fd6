"""Trainings and evaluations on a Dask cluster: independent tasks, whose workers share nothing but what they are sent.

The client holds the store. It sends the images and, to what starts from trained networks, their weights; it keeps each
outcome as soon as it arrives. A task whose worker has died is done again elsewhere, by Dask. Needs the extra `cluster`.
"""

import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from tqdm import tqdm

from magnet_helpers.data import ImageData, LabeledImages
from magnet_helpers.device import choose_device
from magnet_helpers.lab.cells import Cell, trainings
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.trainings import TrainingSpec
from magnet_helpers.lab.work import Made, attack_classifier, evaluate_cell, restore_network, train_network

if TYPE_CHECKING:
    from distributed import Client, Future

SPLITS = ("train", "validation", "test")


def make_on_cluster(lab: Lab, cells: Iterable[Cell], client: "Client") -> None:
    """Do what `lab.make` does, on the workers of a Dask cluster, and keep all outcomes in the lab's store.

    Args:
        lab: its store is asked first: what is there is not done again.
        cells: whose reports are wanted.
        client: connected to a cluster whose workers have this package installed.

    Raises:
        Exception: what the first failing task raised, or `distributed.KilledWorker` if one kept killing its workers.
            What had arrived until then is kept.
    """
    from distributed import as_completed

    missing = [cell for cell in cells if lab.store.load(cell.settings(lab.data.fingerprint)) is None]
    if not missing:
        return
    # The images travel as a task, so a worker that dies with them takes nothing with it that cannot be made again.
    data = client.submit(_unpack, _pack(lab.data), key=f"images-{lab.data.fingerprint[:16]}")
    networks: dict[str, Future[Any]] = {}
    attacked: dict[str, Future[Any]] = {}
    to_keep: dict[Future[Any], dict[str, object]] = {}

    def outcome(settings: dict[str, object], function: Any, *arguments: Any) -> "Future[Any]":
        """Return the future outcome of a call; what is stored is sent, and what is not will be kept."""
        stored = lab.store.load(settings)
        key = f"{settings['kind']}-{lab.store.folder(settings).name}"
        if stored is not None:
            return client.submit(_same, (stored.tensors, stored.record), key=f"stored-{key}")
        future: Future[Any] = client.submit(function, *arguments, key=key, retries=1)
        to_keep[future] = settings
        return future

    for spec in trainings(missing):
        parents = [networks[parent.key] for parent in spec.parents]
        settings = spec.settings(lab.data.fingerprint)
        networks[spec.key] = outcome(settings, _train, spec, parents, data)
    reports = []
    for cell in missing:
        settings = cell.attacked_settings(lab.data.fingerprint)
        key = lab.store.folder(settings).name
        if key not in attacked:
            attacked[key] = outcome(settings, _attack, cell, networks[cell.classifier.key], data)
        theirs = [networks[spec.key] for spec in cell.networks]
        reports.append(outcome(cell.settings(lab.data.fingerprint), _evaluate, cell, theirs, attacked[key], data))
    try:
        todo = tqdm(as_completed(list(to_keep)), total=len(to_keep), desc="trainings and evaluations", leave=False)
        for future in todo:
            lab.store.save(to_keep[future], *future.result())
    finally:
        client.cancel([*to_keep, *networks.values(), *attacked.values(), *reports, data])


def _pack(data: ImageData) -> tuple[bytes, str, str]:
    tensors: dict[str, Tensor] = {}
    for part in SPLITS:
        images: LabeledImages = getattr(data, part)
        tensors |= {f"{part}.images": images.images, f"{part}.labels": images.labels}
    return zlib.compress(save(tensors), 1), data.name, data.fingerprint


def _unpack(packed: tuple[bytes, str, str]) -> ImageData:
    text, name, fingerprint = packed
    tensors = load(zlib.decompress(text))
    parts = {part: LabeledImages(tensors[f"{part}.images"], tensors[f"{part}.labels"]) for part in SPLITS}
    return ImageData(name, parts["train"], parts["validation"], parts["test"], fingerprint)


def _same(outcome: Made) -> Made:
    return outcome


def _train(spec: TrainingSpec, parents: list[Made], data: ImageData) -> Made:
    torch.set_num_threads(1)  # a worker is one of several on its machine
    return train_network(spec, _restored(spec.parents, parents), data, choose_device())


def _attack(cell: Cell, classifier: Made, data: ImageData) -> Made:
    torch.set_num_threads(1)
    return attack_classifier(cell, _restored([cell.classifier], [classifier])[0], data)


def _evaluate(cell: Cell, networks: list[Made], attacked: Made, data: ImageData) -> Made:
    torch.set_num_threads(1)
    images: Tensor = attacked[0]["images"]
    return evaluate_cell(cell, _restored(cell.networks, networks), images, data)


def _restored(specs: Iterable[TrainingSpec], outcomes: Iterable[Made]) -> list[nn.Module]:
    pairs = zip(specs, outcomes, strict=True)
    return [restore_network(spec, weights, choose_device()) for spec, (weights, _) in pairs]
