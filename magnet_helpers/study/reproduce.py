"""The paper's protocol for many seeds: which cells it has, carried out here or on a cluster, and one tidy table.

Every training and every report is kept as soon as it is done, so a run that was stopped goes on from there.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from magnet_helpers.attacks import FGSM, PGD
from magnet_helpers.defenses import NO_REFORMER, Defense
from magnet_helpers.evaluation import DefenseReport
from magnet_helpers.lab.budget import Budget
from magnet_helpers.lab.cells import EVALUATION_CODE, Cell
from magnet_helpers.lab.lab import PAPER_ATTACK, Lab
from magnet_helpers.lab.store import Artifact
from magnet_helpers.lab.trainings import TRAINING_CODE, TrainingSpec, TrainingSpecs
from magnet_helpers.study.grid import GRID, TABLE_4, VARIANTS
from magnet_helpers.study.published import SETTINGS
from magnet_helpers.study.result_files import pack_bits, read_rows, write_rows

TRUE_LABELS_ATTACK = FGSM(PAPER_ATTACK.epsilon, labels="given")
STRONG_ATTACK = PGD(epsilon=0.3, labels="given", steps=100, step_size=0.01, restarts=5)
STRONG_ATTACK_IMAGES = 1_000
JACOBIAN_IMAGES = 100
CLASSIFIER_EPOCHS = (5, 10, 30)
PARTS = ("grid", "variants", "labels", "classifier", "pgd", "cross")


@dataclass(frozen=True)
class Row:
    """One line of the results: one defence, one attack, one setting.

    Attributes:
        dataset, budget, defence, classifier_seed, reformer_seed, attack, setting: what was measured. The defence is its
            label; `attack` the attack with all its settings; `setting` is clean, grey_box or white_box.
        classifier_epochs: how long the classifier was trained.
        correct, n: right answers and test images.
        collapsed: whether the reformer's output is constant.
        unchanged: images that the white-box attack could not change.
        jacobian: of a contractive reformer: the mean exact ‖J‖²_F over `JACOBIAN_IMAGES` test images, or all.
        training_seconds: of the reformer alone, without its pretrained stages (of no reformer: of the classifier).
        evaluation_seconds: of the whole report.
        device, precision, torch, python, training_code, evaluation_code: what the number was made with; the precision
            is that of the training's products.
        right: for each test image in order whether the answer was right: bits, packed and in base64.
    """

    dataset: str
    budget: str
    defence: str
    classifier_epochs: int
    classifier_seed: int
    reformer_seed: int
    attack: str
    setting: str
    correct: int
    n: int
    collapsed: bool
    unchanged: int
    jacobian: float | None
    training_seconds: float
    evaluation_seconds: float
    device: str
    precision: str
    torch: str
    python: str
    training_code: str
    evaluation_code: str
    right: str

    @property
    def identity(self) -> tuple[object, ...]:
        """What two rows of one file must not have in common."""
        trained = (self.classifier_epochs, self.classifier_seed, self.reformer_seed)
        return (self.dataset, self.budget, self.defence, *trained, self.attack, self.setting, self.n)


def cells_of_seed(budget: Budget, seed: int, parts: Iterable[str], images: int) -> list[Cell]:
    """Return the cells of one seed.

    Args:
        budget: epochs and images of every training.
        seed: of the classifier and of every reformer.
        parts: `"grid"`: Tables 2, 3 and 4; `"variants"`: the author's program beside the text; `"labels"`: Table 4 with
            FGSM on the true labels; `"classifier"`: Table 4 with classifiers trained for `CLASSIFIER_EPOCHS`; `"pgd"`:
            Table 4 under `STRONG_ATTACK`; `"cross"` belongs to several seeds, see `crossed_cells`.
        images: number of test images.
    """
    specs = TrainingSpecs(budget, seed)
    classifier = specs.classifier()
    cells: list[Cell] = []
    for part in parts:
        match part:
            case "grid" | "variants":
                some = GRID if part == "grid" else VARIANTS
                cells += [_cell(each, classifier, specs, images) for each in some]
            case "labels":
                by_fgsm = [_cell(each, classifier, specs, images) for each in TABLE_4]
                cells += [replace(each, attack=TRUE_LABELS_ATTACK) for each in by_fgsm]
            case "classifier":
                for epochs in CLASSIFIER_EPOCHS:
                    other = TrainingSpecs(replace(budget, classifier_epochs=epochs), seed).classifier()
                    cells += [_cell(each, other, specs, images) for each in TABLE_4]
            case "pgd":
                few = min(images, STRONG_ATTACK_IMAGES)
                cells += [replace(_cell(each, classifier, specs, few), attack=STRONG_ATTACK) for each in TABLE_4]
    return list(dict.fromkeys(cells))


def crossed_cells(budget: Budget, seeds: Sequence[int], images: int) -> list[Cell]:
    """Return Table 4 with the reformers of each seed before the classifiers of every other."""
    return [
        _cell(defense, TrainingSpecs(budget, one).classifier(), TrainingSpecs(budget, other), images)
        for one in seeds
        for other in seeds
        for defense in TABLE_4
        if one != other and defense != NO_REFORMER
    ]


def _cell(defense: Defense, classifier: TrainingSpec, specs: TrainingSpecs, images: int) -> Cell:
    reformer = None if defense == NO_REFORMER else specs.reformer(defense)
    measured = min(images, JACOBIAN_IMAGES) if defense.family == "contractive" else 0
    return Cell(defense, classifier, reformer, PAPER_ATTACK, images, specs.seed, measured)


def _identity(lab: Lab, cell: Cell, setting: str) -> tuple[object, ...]:
    """Return what `Row.identity` of this cell's row will be."""
    trained = (cell.classifier.config.epochs, cell.classifier.config.seed, cell.reformer_seed)
    ours = (lab.data.name, lab.budget.name, cell.defense.label)
    return (*ours, *trained, repr(cell.attack), setting, cell.images)


def without_known(lab: Lab, cells: Iterable[Cell], rows: Iterable[Row]) -> list[Cell]:
    """Return the cells that these rows do not hold, or hold as another state of the code made them."""
    today = (TRAINING_CODE, EVALUATION_CODE)
    known = {row.identity: row for row in rows if (row.training_code, row.evaluation_code) == today}

    def is_known(cell: Cell) -> bool:
        found = [known.get(_identity(lab, cell, setting)) for setting in SETTINGS]
        return all(row is not None and (row.jacobian is not None or not cell.jacobian_images) for row in found)

    return [cell for cell in cells if not is_known(cell)]


def rows_of(lab: Lab, cell: Cell) -> list[Row]:
    """Return the rows of a cell whose report is stored; none if it is not."""
    artifact = lab.store.load(cell.settings(lab.data.fingerprint))
    trained = lab.store.load(cell.networks[-1].settings(lab.data.fingerprint))
    return [] if artifact is None else [_row(lab, cell, artifact, trained, setting) for setting in SETTINGS]


def _row(lab: Lab, cell: Cell, artifact: Artifact, trained: Artifact | None, setting: str) -> Row:
    report = DefenseReport.restore(artifact.tensors, artifact.record)
    accuracy, record = report.accuracy(setting), artifact.record
    epochs = trained.record["epochs"] if trained else []
    return Row(
        dataset=lab.data.name,
        budget=lab.budget.name,
        defence=cell.defense.label,
        classifier_epochs=cell.classifier.config.epochs,
        classifier_seed=cell.classifier.config.seed,
        reformer_seed=cell.reformer_seed,
        attack=repr(cell.attack),
        setting=setting,
        correct=accuracy.correct,
        n=accuracy.total,
        collapsed=report.collapsed,
        unchanged=report.unchanged,
        jacobian=record["jacobian"],
        training_seconds=round(sum(epoch["seconds"] for epoch in epochs), 1),
        evaluation_seconds=round(record["seconds"], 1),
        device=record["device"],
        precision=trained.record["precision"] if trained else "",
        torch=record["versions"]["torch"],
        python=record["versions"]["python"],
        training_code=TRAINING_CODE,
        evaluation_code=EVALUATION_CODE,
        right=pack_bits(getattr(report, setting) == report.labels),
    )


def reproduce(
    lab: Lab,
    seeds: Sequence[int],
    parts: Sequence[str],
    path: Path,
    make: Callable[[Iterable[Cell]], None],
) -> list[Row]:
    """Carry out these parts for these seeds, one seed after the other, and write the results file after each.

    Args:
        lab: its budget, data and store.
        seeds: of classifier and reformers.
        parts: some of `PARTS`.
        path: of the results file. Rows that are in it already stay; what they hold is not made again, wherever they
            come from, if the same code made them.
        make: carries out cells and leaves their reports in the lab's store: `lab.make`, or one that uses a cluster.

    Raises:
        ValueError: if a part is unknown, if a seed is given twice, if `"cross"` has only one seed, or if the file holds
            results of another dataset or budget.
    """
    if unknown := set(parts) - set(PARTS):
        raise ValueError(f"parts must be some of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    if len(set(seeds)) != len(seeds) or not seeds:
        raise ValueError(f"seeds must be different, and at least one, got {list(seeds)}")
    if "cross" in parts and len(seeds) < 2:
        raise ValueError("to cross classifiers and reformers takes at least two seeds")
    rows = {row.identity: row for row in (read_rows(path, Row) if path.exists() else [])}
    ours = (lab.data.name, lab.budget.name)
    if others := {(row.dataset, row.budget) for row in rows.values()} - {ours}:
        raise ValueError(f"{path} holds results of {sorted(others)}, these are of {ours}: name another file")
    images = len(lab.test)
    steps = [cells_of_seed(lab.budget, seed, parts, images) for seed in seeds]
    if "cross" in parts:
        steps.append(crossed_cells(lab.budget, seeds, images))
    for number, wanted in enumerate(steps, start=1):
        cells = without_known(lab, wanted, rows.values())
        there = f", {len(wanted) - len(cells)} of {len(wanted)} are in the file" if len(cells) < len(wanted) else ""
        text = f"step {number} of {len(steps)}: {len(cells)} cells, {lab.data.title}, {lab.budget.name} budget{there}"
        print(text, file=sys.stderr)
        try:
            make(cells)
        finally:
            done = [row for cell in cells for row in rows_of(lab, cell)]
            rows |= {row.identity: row for row in done}
            write_rows(path, rows.values())
    return list(rows.values())
