"""What is worth doing elsewhere: to train one network, to evaluate one cell. Nothing here reads or keeps a file.

`lab` does them here and keeps what comes out; `cluster` sends them to other machines.
"""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from magnet_helpers.data import ImageData, LabeledImages
from magnet_helpers.device import place, precision_on
from magnet_helpers.evaluation import evaluate_defense
from magnet_helpers.jacobian import jacobian_frobenius_squared
from magnet_helpers.lab.cells import Cell
from magnet_helpers.lab.trainings import TrainingSpec, start_from_parents
from magnet_helpers.models import ContractiveAutoencoder
from magnet_helpers.training import Checkpoint, fit

Made = tuple[dict[str, Tensor], dict[str, Any]]


def versions() -> dict[str, str]:
    """Return the versions that a number may depend on."""
    return {"python": platform.python_version(), "torch": torch.__version__}


def train_network(
    spec: TrainingSpec,
    parents: Sequence[nn.Module],
    data: ImageData,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
) -> Made:
    """Train one network and return its weights and the record of its training.

    Args:
        spec: what to train, and how.
        parents: the trained networks of `spec.parents`.
        data: training and validation images.
        device: where it is trained.
        checkpoint: where its state is kept meanwhile.
    """
    model = spec.untrained()
    train, validation = start_from_parents(
        spec,
        model,
        list(parents),
        _at_most(spec.images, data.train),
        _at_most(spec.validation_images, data.validation),
    )
    history = fit(
        model, spec.loss, train, validation, spec.config, device=device, checkpoint=checkpoint, label=spec.name
    )
    precision = precision_on(device, spec.config.precision)
    where = {"device": str(device), "precision": precision, "versions": versions()}
    record = {**asdict(history), "images": len(train), **where}
    return dict(model.state_dict()), record


def attack_classifier(cell: Cell, classifier: nn.Module, data: ImageData) -> Made:
    """Return the grey-box images of a cell, and the record of how they were made."""
    test = data.test.spread(cell.images)
    device = str(next(classifier.parameters()).device)
    images = cell.attack.perturb(classifier, test.images, test.labels)
    return {"images": images}, {"device": device, "versions": versions()}


def evaluate_cell(cell: Cell, networks: Sequence[nn.Module], grey_box_images: Tensor, data: ImageData) -> Made:
    """Evaluate one cell and return the answers and the record of the report (see `evaluation.DefenseReport`).

    Args:
        cell: what to evaluate.
        networks: the trained networks of `cell.networks`.
        grey_box_images: `attack_classifier`'s.
        data: test images.
    """
    started = time.perf_counter()
    classifier, reformer = networks[0], networks[1] if cell.reformer else None
    test = data.test.spread(cell.images)
    report = evaluate_defense(classifier, reformer, test, cell.attack, grey_box_images=grey_box_images)
    seconds = time.perf_counter() - started
    device = next(classifier.parameters()).device
    jacobian = None
    if isinstance(reformer, ContractiveAutoencoder) and cell.jacobian_images:
        images = data.test.spread(cell.jacobian_images).images.to(device)
        with torch.no_grad():
            jacobian = float(jacobian_frobenius_squared(reformer.encode, images).mean())
    facts = {"jacobian": jacobian, "device": str(device), "versions": versions(), "seconds": seconds}
    return report.answers(), {**report.facts(), **facts}


def restore_network(spec: TrainingSpec, weights: Mapping[str, Tensor], device: torch.device) -> nn.Module:
    """Return the network of a spec with trained weights, ready to be used."""
    model = spec.untrained()
    model.load_state_dict(weights)
    return place(model, device).eval()


def _at_most(wanted: int | None, images: LabeledImages) -> LabeledImages:
    return images.first(None if wanted is None else min(wanted, len(images)))
