"""The lessons' way to trained networks and their reports: each is loaded if it is there, else made and kept.

Every lesson calls the same methods, so lessons run in any order and nothing is trained twice.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import methodcaller
from pathlib import Path

import torch
from torch import Tensor, nn

from magnet_helpers.attacks import FGSM, GradientAttack
from magnet_helpers.data import ImageData, LabeledImages, can_be_loaded_again, load_images
from magnet_helpers.defenses import NO_REFORMER, Defense
from magnet_helpers.detectors import Detector, DetectorSpec
from magnet_helpers.device import choose_device
from magnet_helpers.evaluation import DefenseReport
from magnet_helpers.lab.budget import Budget, get_budget
from magnet_helpers.lab.cells import Cell, trainings
from magnet_helpers.lab.parallel import for_each, for_each_in_streams, usable_cores
from magnet_helpers.lab.store import Artifact, Settings, Store
from magnet_helpers.lab.trainings import TrainingSpec, TrainingSpecs
from magnet_helpers.lab.work import attack_classifier, evaluate_cell, restore_network, train_network
from magnet_helpers.magnet import MAGNETS_FALSE_POSITIVE_RATE, MagNet, MagNetSpec
from magnet_helpers.training import Epoch, History, warn_collapsed
from magnet_helpers.workspace import artifacts_folder

PAPER_ATTACK = FGSM(epsilon=0.3)


def get_seed() -> int:
    """Return the course's seed: `MAGNET_SEED`, else 0.

    Raises:
        ValueError: if it is no whole number, 0 or more.
    """
    text = os.environ.get("MAGNET_SEED") or "0"
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"MAGNET_SEED must be a whole number, 0 or more, got {text!r}")
    return int(text)


@dataclass
class Lab:
    """A budget, a dataset, a seed and a store: what a lesson's networks and numbers follow from.

    Attributes:
        budget: how much work everything is.
        data: training, validation and test images.
        seed: fixes initial weights, order and noise of every training.
        store: where trained networks and reports are kept.
        device: where everything is computed.
    """

    budget: Budget = field(default_factory=get_budget)
    data: ImageData = field(default_factory=lambda: load_images(os.environ.get("MAGNET_DATASET") or "auto"))
    seed: int = field(default_factory=get_seed)
    store: Store = field(default_factory=lambda: Store(artifacts_folder()))
    device: torch.device = field(default_factory=choose_device)

    def __post_init__(self) -> None:
        self._networks: dict[str, tuple[nn.Module, History]] = {}
        self._attacked: dict[str, Tensor] = {}
        self._magnets: dict[MagNetSpec, MagNet] = {}
        wanted = self.budget.test_images
        self.test = self.data.test.spread(wanted and min(wanted, len(self.data.test)))

    @property
    def setting(self) -> str:
        """Dataset, budget and seed: they stand in every figure."""
        budget = f"{self.budget.name} budget" + ("" if self.budget.is_papers else " (not the paper's)")
        return f"{self.data.title} · {budget} · seed {self.seed}"

    @property
    def note(self) -> str:
        """The setting and the number of test images: they stand with every accuracy."""
        return self.note_for(len(self.test))

    def note_for(self, n: int) -> str:
        """Return the note for numbers that come from `n` images."""
        return f"{self.setting} · n = {n:,}"

    @property
    def examples(self) -> LabeledImages:
        """The first test image of each class that has one: of MNIST, of each digit from 0 to 9."""
        labels = self.data.test.labels
        first = torch.stack([(labels == number).nonzero()[0, 0] for number in labels.unique()])
        return LabeledImages(self.data.test.images[first], self.data.test.labels[first])

    @property
    def specs(self) -> TrainingSpecs:
        """How every network of the course is trained with this budget and seed."""
        return TrainingSpecs(self.budget, self.seed, self.data.n_classes)

    def network(self, spec: TrainingSpec) -> tuple[nn.Module, History]:
        """Return a trained network and how its training went; load it, or train and keep it."""
        settings = spec.settings(self.data.fingerprint)

        def make() -> None:
            parents = [self.network(parent)[0] for parent in spec.parents]
            checkpoint = self.store.checkpoint(settings)
            weights, record = train_network(spec, parents, self.data, self.device, checkpoint)
            self.store.save(settings, weights, record)
            epochs, seconds = len(record["epochs"]), sum(epoch["seconds"] for epoch in record["epochs"])
            text = f"{epochs} epoch{'s' * (epochs > 1)} of {record['images']:,} images, {seconds:.0f} s"
            print(f"trained {spec.name}: {text}")

        key = self.store.folder(settings).name
        if key not in self._networks:
            artifact = self.load_or_make(settings, make)
            epochs = tuple(Epoch(**epoch) for epoch in artifact.record["epochs"])
            history = History(epochs, artifact.record["collapsed"])
            self._networks[key] = restore_network(spec, artifact.tensors, self.device), history
        return self._networks[key]

    def load_or_make(self, settings: Settings, make: Callable[[], None]) -> Artifact:
        """Return the artifact with these settings; if it is not there, `make` has to store it.

        One process at a time makes it.
        """
        artifact = self.store.load(settings)
        if artifact is None:
            with self.store.lock(settings):
                artifact = self.store.load(settings, discard_damaged=True)
                if artifact is None:
                    make()
                    artifact = self.store.load(settings)
        elif artifact.record.get("collapsed"):
            warn_collapsed(settings["name"])
        if artifact is None:
            raise RuntimeError(f"{self.store.folder(settings)} was written and cannot be read: is the disk sound?")
        return artifact

    def classifier(self) -> nn.Module:
        """Return the trained classifier."""
        return self.network(self.specs.classifier())[0]

    def reformer(self, defense: Defense) -> nn.Module:
        """Return the trained reformer of a defence."""
        return self.network(self.specs.reformer(defense))[0]

    def detectors(self, specs: Iterable[DetectorSpec]) -> list[Detector]:
        """Return detectors made of trained autoencoders and the classifier."""
        return [each.build(self.reformer(each.defense), self.classifier()) for each in specs]

    def magnet(self, spec: MagNetSpec) -> MagNet:
        """Return a MagNet of trained networks, its thresholds chosen on the validation images."""
        if spec not in self._magnets:
            reformer = None if spec.reformer == NO_REFORMER else self.reformer(spec.reformer)
            parts = (self.classifier(), reformer, self.detectors(spec.detectors))
            clean = self.data.validation.images
            self._magnets[spec] = MagNet.calibrated(*parts, clean, MAGNETS_FALSE_POSITIVE_RATE)
        return self._magnets[spec]

    def history(self, defense: Defense) -> History:
        """Return how a reformer's training went (of a stack: the joint training); of no reformer: the classifier's."""
        if defense == NO_REFORMER:
            return self.network(self.specs.classifier())[1]
        return self.network(self.specs.reformer(defense))[1]

    def stages(self, defense: Defense) -> list[nn.Module]:
        """Return the pretrained stages of a stack, as they were before the joint training."""
        return [self.network(spec)[0] for spec in self.specs.stages(defense)]

    def cell(self, defense: Defense, attack: GradientAttack = PAPER_ATTACK) -> Cell:
        """Return the cell of this lab's table: this defence under this attack."""
        reformer = None if defense == NO_REFORMER else self.specs.reformer(defense)
        return Cell(defense, self.specs.classifier(), reformer, attack, len(self.test), self.seed)

    def attacked(self, attack: GradientAttack = PAPER_ATTACK) -> Tensor:
        """Return the test images after an attack on the classifier alone: the grey-box images of every defence."""
        return self.attacked_in(self.cell(NO_REFORMER, attack))

    def attacked_in(self, cell: Cell) -> Tensor:
        """Return the grey-box images of a cell; load them, or make and keep them."""
        settings = cell.attacked_settings(self.data.fingerprint)

        def make() -> None:
            self.store.save(settings, *attack_classifier(cell, self.network(cell.classifier)[0], self.data))

        key = self.store.folder(settings).name
        if key not in self._attacked:
            self._attacked[key] = self.load_or_make(settings, make).tensors["images"]
        return self._attacked[key]

    def report(self, defense: Defense, attack: GradientAttack = PAPER_ATTACK) -> DefenseReport:
        """Return what a defence answers to the test images: clean, grey box and white box."""
        return self.evaluate(self.cell(defense, attack))

    def evaluate(self, cell: Cell) -> DefenseReport:
        """Return the report of a cell; load it, or train what it needs, make and keep it."""
        artifact = self.stored_report(cell)
        return DefenseReport.restore(artifact.tensors, artifact.record)

    def stored_report(self, cell: Cell) -> Artifact:
        """Return the report of a cell as it is stored, with its provenance."""
        settings = cell.settings(self.data.fingerprint)

        def make() -> None:
            networks = [self.network(spec)[0] for spec in cell.networks]
            self.store.save(settings, *evaluate_cell(cell, networks, self.attacked_in(cell), self.data))

        return self.load_or_make(settings, make)

    def train(self, defenses: Iterable[Defense]) -> None:
        """Train the classifier and the reformers of many defences, several at once.

        Without this call everything comes out the same, one after the other.
        """
        cells = [self.cell(defense) for defense in (NO_REFORMER, *defenses)]
        self._make_at_once(self._missing_networks(cells), [], "trainings")

    def prepare(self, defenses: Iterable[Defense], attack: GradientAttack = PAPER_ATTACK) -> None:
        """Do what `train` does, and make the reports of these defences, several at once."""
        self.make([self.cell(defense, attack) for defense in defenses])

    def make(self, cells: Iterable[Cell]) -> None:
        """Train what many cells need and make their reports, several at once."""
        missing = [each for each in cells if self.store.load(each.settings(self.data.fingerprint)) is None]
        reports = [methodcaller("evaluate", cell) for cell in missing]
        self._make_at_once(self._missing_networks(missing), reports, "trainings and evaluations")
        for cell in missing:
            self.evaluate(cell)  # loaded, or, where nothing is made at once, made now

    def at_once(self, calls: Sequence["Call"], label: str) -> bool:
        """Carry out calls that take a lab, in worker processes, one on each core, where that is worth it.

        Args:
            calls: can be pickled; what they make, they keep in the lab's store.
            label: says what they are.

        Returns:
            Whether they were carried out. A GPU, a single core, or images that a worker cannot load are left to
            the caller.
        """
        processes = min(self.budget.processes or usable_cores(), len(calls))
        if self.device.type != "cpu" or processes < 2 or not can_be_loaded_again(self.data):
            return False
        tasks = [_Task(self.budget, self.data.source, self.seed, self.store, call) for call in calls]
        for_each(_carry_out, tasks, f"{len(tasks)} {label}", processes)
        return True

    def _missing_networks(self, cells: Iterable[Cell]) -> list[methodcaller]:
        return [
            methodcaller("network", spec)
            for spec in trainings(cells)
            if self.store.load(spec.settings(self.data.fingerprint)) is None
        ]

    def _make_at_once(self, networks: list[methodcaller], reports: list[methodcaller], label: str) -> None:
        if self.device.type == "cuda":  # there the reports take a second each, and share the classifier
            for_each_in_streams(lambda call: call(self), networks, label)
        self.at_once([*networks, *reports], label)


Call = Callable[[Lab], object]


@dataclass(frozen=True)
class _Task:
    budget: Budget
    dataset: str
    seed: int
    store: Store
    call: Call


@cache
def _lab_of_worker(budget: Budget, dataset: str, seed: int, root: Path) -> Lab:
    return Lab(budget, load_images(dataset), seed, Store(root), torch.device("cpu"))


def _carry_out(task: _Task) -> None:
    task.call(_lab_of_worker(task.budget, task.dataset, task.seed, task.store.root))
