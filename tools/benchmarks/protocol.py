"""The paper's whole protocol for one seed: its hours projected from measured rates, or really run.

The protocol is the course's own grid with the paper's budget: the classifier, the vanilla autoencoder, the denoising
ones, the stacks (which share their pretrained stages), the contractive ones, and every evaluation.
"""

import time
from collections.abc import Mapping

import torch

from magnet_helpers.defenses import NO_REFORMER
from magnet_helpers.evaluation import MEASURED
from magnet_helpers.lab.budget import PAPER
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.tasks import with_needs
from magnet_helpers.lab.trainings import TrainingSpec, TrainingSpecs
from magnet_helpers.losses import ClassificationLoss, ContractiveLoss
from magnet_helpers.models import ContractiveAutoencoder, StackedAutoencoder
from magnet_helpers.study.grid import GRID

TRAINING_IMAGES, TEST_IMAGES = 55_000, 10_000


def trainings() -> list[TrainingSpec]:
    """Return every training of the protocol, each once."""
    specs = TrainingSpecs(PAPER, 0)
    wanted = [specs.classifier(), *(specs.reformer(defense) for defense in GRID if defense != NO_REFORMER)]
    return [task for task in with_needs(wanted) if isinstance(task, TrainingSpec)]


def case_of(spec: TrainingSpec) -> tuple[str, float]:
    """Return which measured training a spec is like, and how many times its work per image it is."""
    model = spec.untrained()
    if isinstance(spec.loss, ClassificationLoss):
        return "classifier", 1.0
    if isinstance(model, StackedAutoencoder):
        return "stack of 3", len(model.stages) / 3
    if isinstance(model, ContractiveAutoencoder):
        penalised = isinstance(spec.loss, ContractiveLoss) and spec.loss.penalty_weight > 0
        return ("contractive, λ = 0.001" if penalised else "contractive, λ = 0"), 1.0
    return "autoencoder", 1.0


def project(images_per_second: Mapping[str, float], attacked_per_second: float) -> dict[str, float]:
    """Return the projected minutes of training by kind, and of evaluation.

    Args:
        images_per_second: of each training case, all cores together.
        attacked_per_second: white-box FGSM, one process.
    """
    minutes = dict.fromkeys(images_per_second, 0.0)
    for spec in trainings():
        case, work = case_of(spec)
        minutes[case] += spec.config.epochs * TRAINING_IMAGES * work / images_per_second[case] / 60
    # An attack goes forth and back once; each of the three accuracies goes forth once more, a third of that.
    minutes["evaluation"] = len(GRID) * 2 * TEST_IMAGES / attacked_per_second / 60
    return {**minutes, "all": sum(minutes.values())}


def run(seed: int, device: torch.device) -> dict[str, object]:
    """Really run it, from where an earlier run was stopped, and return the seconds that this run took."""
    started = time.perf_counter()
    lab = Lab(budget=PAPER, seed=seed, device=device)
    lab.prepare(GRID)
    rows = [
        {
            "defence": defense.label,
            **{knows.label: str(lab.report(defense).accuracy(knows)) for knows in MEASURED},
        }
        for defense in GRID
    ]
    return {"seed": seed, "dataset": lab.data.title, "seconds": round(time.perf_counter() - started), "rows": rows}
