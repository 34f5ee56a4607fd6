"""What the two studies measure, as tasks: the paper's protocol, and every defence under every attack."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from magnet_helpers.attacks import CarliniWagner, ElasticNet
from magnet_helpers.contracts import as_count
from magnet_helpers.defenses import NO_REFORMER, Defense
from magnet_helpers.lab.budget import Budget
from magnet_helpers.lab.lab import PAPER_ATTACK
from magnet_helpers.lab.measurements import Report
from magnet_helpers.lab.trainings import TrainingSpec, TrainingSpecs
from magnet_helpers.lab.trials import Trial, all_trials
from magnet_helpers.study.grid import GRID, MAGNETS_PARTS, TABLE_4, UNDER_ATTACK, VARIANTS
from magnet_helpers.study.threats import STRONG_ATTACK, TRUE_LABELS_ATTACK, all_threats, confident_threats

_STRONG_ATTACK_IMAGES = 1_000
_JACOBIAN_IMAGES = 100
CLASSIFIER_EPOCHS = (5, 10, 30)
PARTS = ("grid", "variants", "labels", "classifier", "pgd", "cross")


def _reports_of_seed(budget: Budget, seed: int, parts: Iterable[str], images: int, n_classes: int = 10) -> list[Report]:
    """Return the reports of one seed of the paper's protocol.

    Args:
        budget: epochs and images of every training.
        seed: of the classifier and of every reformer.
        parts: `"grid"`: Tables 2, 3 and 4; `"variants"`: the author's program beside the text; `"labels"`: Table 4 with
            FGSM on the true labels; `"classifier"`: Table 4 with classifiers trained for `CLASSIFIER_EPOCHS`; `"pgd"`:
            Table 4 under `STRONG_ATTACK`; `"cross"` belongs to several seeds, see `_crossed_reports`.
        images: number of test images.
        n_classes: of the images.
    """
    specs = TrainingSpecs(budget, seed, n_classes)
    classifier = specs.classifier()
    reports: list[Report] = []
    for part in parts:
        match part:
            case "grid" | "variants":
                defenses = GRID if part == "grid" else VARIANTS
                reports += [_report(defense, classifier, specs, images) for defense in defenses]
            case "labels":
                by_fgsm = [_report(defense, classifier, specs, images) for defense in TABLE_4]
                reports += [replace(report, attack=TRUE_LABELS_ATTACK) for report in by_fgsm]
            case "classifier":
                for epochs in CLASSIFIER_EPOCHS:
                    trained = TrainingSpecs(replace(budget, classifier_epochs=epochs), seed, n_classes).classifier()
                    reports += [_report(defense, trained, specs, images) for defense in TABLE_4]
            case "pgd":
                few = min(images, _STRONG_ATTACK_IMAGES)
                by_fgsm = [_report(defense, classifier, specs, few) for defense in TABLE_4]
                reports += [replace(report, attack=STRONG_ATTACK) for report in by_fgsm]
    return list(dict.fromkeys(reports))


def _crossed_reports(budget: Budget, seeds: Sequence[int], images: int, n_classes: int = 10) -> list[Report]:
    """Return Table 4 with the reformers of each seed before the classifiers of every other."""
    specs = {seed: TrainingSpecs(budget, seed, n_classes) for seed in seeds}
    return [
        _report(defense, specs[classifier_seed].classifier(), specs[reformer_seed], images)
        for classifier_seed in seeds
        for reformer_seed in seeds
        for defense in TABLE_4
        if classifier_seed != reformer_seed and defense != NO_REFORMER
    ]


def _report(defense: Defense, classifier: TrainingSpec, specs: TrainingSpecs, images: int) -> Report:
    reformer = None if defense == NO_REFORMER else specs.reformer(defense)
    measured = min(images, _JACOBIAN_IMAGES) if defense.family == "contractive" else 0
    return Report(defense, classifier, reformer, PAPER_ATTACK, images, specs.seed, measured)


def protocol(
    budget: Budget, seeds: Sequence[int], parts: Sequence[str], images: int, n_classes: int = 10
) -> list[list[Report]]:
    """Return the steps of the paper's protocol: the reports of each seed, then those of crossed seeds.

    Args:
        budget, parts, images, n_classes: as in `_reports_of_seed`.
        seeds: of classifier and reformers.

    Raises:
        ValueError: if a part is unknown, or if `"cross"` has only one seed.
    """
    if unknown := set(parts) - set(PARTS):
        raise ValueError(f"parts must be some of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    if "cross" in parts and len(seeds) < 2:
        raise ValueError("to cross classifiers and reformers takes at least two seeds")
    seeds, images = [as_count("seeds", seed) for seed in seeds], as_count("images", images, least=1)
    steps = [_reports_of_seed(budget, seed, parts, images, n_classes) for seed in seeds]
    return [*steps, _crossed_reports(budget, seeds, images, n_classes)] if "cross" in parts else steps


def attack_study(budget: Budget, seed: int, images: int | None = None, n_classes: int = 10) -> list[Trial]:
    """Return every trial of lesson 09: all defences under all threats, MagNet's parts under confident images.

    Args:
        budget: steps and images.
        seed: of the classifier and every autoencoder.
        images: number of test images; the budget's by default.
        n_classes: of the images.
    """
    specs = TrainingSpecs(budget, seed, n_classes)
    count = budget.trial_images if images is None else as_count("images", images, least=1)
    confident = [*confident_threats(budget, CarliniWagner), *confident_threats(budget, ElasticNet)]
    return [
        *all_trials(UNDER_ATTACK, all_threats(budget), count, specs),
        *all_trials(MAGNETS_PARTS, confident, count, specs),
    ]
