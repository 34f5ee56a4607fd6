"""The lessons' way to trained networks and their reports: each is loaded if it is there, else made and kept.

Every lesson calls the same methods, so lessons run in any order and nothing is trained twice.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from magnet_helpers.attacks import FGSM, GradientAttack
from magnet_helpers.contracts import as_count
from magnet_helpers.data import ImageData, LabeledImages, can_be_loaded_again, load_images
from magnet_helpers.defenses import NO_REFORMER, Defense
from magnet_helpers.detectors import Detector, DetectorSpec
from magnet_helpers.device import choose_device
from magnet_helpers.evaluation import DefenseReport
from magnet_helpers.lab.budget import Budget, get_budget
from magnet_helpers.lab.measurements import AttackedImages, Report
from magnet_helpers.lab.scheduler import Crew, Processes, Streams, carry_out, is_made, make, missing, usable_cores
from magnet_helpers.lab.store import Artifact, Store
from magnet_helpers.lab.tasks import Task
from magnet_helpers.lab.trainings import TrainingSpec, TrainingSpecs
from magnet_helpers.lab.trials import Calibration
from magnet_helpers.magnet import MagNet, MagNetSpec
from magnet_helpers.seeds import read_seed
from magnet_helpers.training import Epoch, History
from magnet_helpers.workspace import artifacts_folder

PAPER_ATTACK = FGSM(epsilon=0.3)


def get_seed() -> int:
    """Return the course's seed: `MAGNET_SEED`, else 0.

    Raises:
        ValueError: if it is no whole number, 0 or more.
    """
    try:
        return read_seed(os.environ.get("MAGNET_SEED") or "0")
    except ValueError as error:
        raise ValueError(f"MAGNET_SEED: {error}") from error


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
        if not isinstance(self.budget, Budget):
            raise TypeError(f"budget must be a Budget, got {self.budget!r}: take get_budget of its name")
        if not isinstance(self.data, ImageData):
            raise TypeError(
                f"data must be an ImageData, got a {type(self.data).__name__}: take load_images of its name"
            )
        if not isinstance(self.store, Store):
            raise TypeError(f"store must be a Store, got {self.store!r}: Store(folder) makes one")
        self.seed, self.device = as_count("seed", self.seed), torch.device(self.device)
        self._networks: dict[str, tuple[nn.Module, History]] = {}
        self._attacked: dict[str, Tensor] = {}
        self._magnets: dict[MagNetSpec, MagNet] = {}
        n_images = self.budget.test_images
        self.test = self.data.test.spread(n_images and min(n_images, len(self.data.test)))

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

    def result(self, task: Task) -> Artifact:
        """Return the outcome of a task with its provenance; load it, or make and keep it, and all that it needs."""
        return make(task, self.data, self.store, self.device)

    def make(self, tasks: Iterable[Task], crew: Crew | None = None) -> None:
        """Make what of these tasks, and of all that they need, is not there.

        Args:
            tasks: in any order.
            crew: who makes it. By default worker processes, one on each core, or a GPU's streams, where that is worth
                it; what a crew does not take is made here.
        """
        tasks = list(tasks)
        todo = missing(tasks, self.data, self.store)
        if todo and crew:
            carry_out(todo, crew)
        elif todo and (own := self._crew(len(todo))):
            with own:
                carry_out(todo, own)
        for task in tasks:
            if not is_made(task, self.data, self.store):
                self.result(task)

    def _crew(self, tasks: int) -> Crew | None:
        if self.device.type == "cuda":
            return Streams(self.data, self.store, self.device)
        processes = min(self.budget.processes or usable_cores(), tasks)
        if self.device.type != "cpu" or processes < 2 or not can_be_loaded_again(self.data):
            return None
        return Processes(processes, self.data, self.store)

    def network(self, spec: TrainingSpec) -> tuple[nn.Module, History]:
        """Return a trained network and how its training went; load it, or train and keep it."""
        if spec.key not in self._networks:
            made = self.result(spec)
            history = History(tuple(Epoch(**epoch) for epoch in made.record["epochs"]), made.record["collapsed"])
            self._networks[spec.key] = spec.restored(made.tensors, self.device), history
        return self._networks[spec.key]

    def classifier(self) -> nn.Module:
        """Return the trained classifier."""
        return self.network(self.specs.classifier())[0]

    def reformer(self, defense: Defense) -> nn.Module:
        """Return the trained reformer of a defence."""
        return self.network(self.specs.reformer(defense))[0]

    def stages(self, defense: Defense) -> list[nn.Module]:
        """Return the pretrained stages of a stack, as they were before the joint training.

        Raises:
            ValueError: if it is no (stacked) denoising autoencoder.
        """
        if defense.family not in ("denoising", "stacked_denoising"):
            raise ValueError(f"only stacked denoising autoencoders have stages, got {defense.label}: take lab.reformer")
        return [self.network(spec)[0] for spec in self.specs.stages(defense)]

    def history(self, defense: Defense) -> History:
        """Return how a reformer's training went (of a stack: the joint training); of no reformer: the classifier's."""
        if defense == NO_REFORMER:
            return self.network(self.specs.classifier())[1]
        return self.network(self.specs.reformer(defense))[1]

    def detectors(self, specs: Iterable[DetectorSpec]) -> list[Detector]:
        """Return detectors made of trained autoencoders and the classifier."""
        return [spec.build(self.reformer(spec.defense), self.classifier()) for spec in specs]

    def magnet(self, spec: MagNetSpec) -> MagNet:
        """Return a MagNet of trained networks, its thresholds chosen on the validation images."""
        if spec not in self._magnets:
            calibration = Calibration(spec, self.specs)
            networks = {training.key: self.network(training)[0] for training in calibration.needs}
            self._magnets[spec] = calibration.build(networks, self.result(calibration))
        return self._magnets[spec]

    def cell(self, defense: Defense, attack: GradientAttack = PAPER_ATTACK) -> Report:
        """Return the task of a cell of this lab's table: the report of this defence under this attack."""
        if not isinstance(defense, Defense):
            raise TypeError(
                f"a report is of a Defense, for example denoising(0.4), got {defense!r}: a whole MagNet is "
                "`lab.magnet(spec)`, and judges images itself"
            )
        reformer = None if defense == NO_REFORMER else self.specs.reformer(defense)
        return Report(defense, self.specs.classifier(), reformer, attack, len(self.test), self.seed)

    def report(self, defense: Defense, attack: GradientAttack = PAPER_ATTACK) -> DefenseReport:
        """Return what a defence answers to the test images: clean, grey box and white box."""
        made = self.result(self.cell(defense, attack))
        return DefenseReport.restore(made.tensors, made.record)

    def attacked(self, attack: GradientAttack = PAPER_ATTACK) -> Tensor:
        """Return the test images after an attack on the classifier alone: the grey-box images of every defence."""
        task = AttackedImages(attack, self.specs.classifier(), (), len(self.test), spares_wrong=False)
        if task.key not in self._attacked:
            self._attacked[task.key] = self.result(task).tensors["adversarial"]
        return self._attacked[task.key]

    def train(self, defenses: Iterable[Defense]) -> None:
        """Train the classifier and the reformers of many defences, several at once.

        Without this call everything comes out the same, one after the other.
        """
        reformers = [self.specs.reformer(defense) for defense in defenses if defense != NO_REFORMER]
        self.make([self.specs.classifier(), *reformers])

    def prepare(self, defenses: Iterable[Defense], attack: GradientAttack = PAPER_ATTACK) -> None:
        """Do what `train` does, and make the reports of these defences, several at once."""
        self.make([self.cell(defense, attack) for defense in defenses])
