"""What is measured in the paper's way, as tasks: attacked images, and the report of a defence."""

import time
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from magnet_helpers.attacks import Attack, Ensemble, GradientAttack
from magnet_helpers.data import ImageData, LabeledImages
from magnet_helpers.defenses import Defense, ReformedClassifier
from magnet_helpers.device import device_of
from magnet_helpers.evaluation import check_reportable, evaluate_defense
from magnet_helpers.jacobian import jacobian_frobenius_squared
from magnet_helpers.lab.store import Artifact, Settings
from magnet_helpers.lab.tasks import Inputs, Task, provenance
from magnet_helpers.lab.trainings import TrainingSpec
from magnet_helpers.models import ContractiveAutoencoder
from magnet_helpers.training import Checkpoint


@dataclass(frozen=True)
class AttackedImages(Task):
    """Test images after an attack that needs no defence: they are the same for every defence.

    Attributes:
        attack: with its settings.
        classifier: how the attacked classifier is trained.
        own: how the attackers' own reformers are trained; with them, the attack is on all of these at once.
        images: number of test images.
        spares_wrong: whether images that fool the classifier already stay as they are (`Attack.run`), or every image
            is attacked (`Attack.perturb`), as the paper does it.
    """

    attack: Attack
    classifier: TrainingSpec
    own: tuple[TrainingSpec, ...]
    images: int
    spares_wrong: bool
    plural: ClassVar[str] = "attacks"

    @property
    def entries(self) -> tuple[object, ...]:
        """Its class and its attack's."""
        return (type(self), type(self.attack))

    @property
    def needs(self) -> tuple[Task, ...]:
        """The networks that are attacked."""
        return (self.classifier, *self.own)

    def settings(self, fingerprint: str) -> Settings:
        """Return what the key of the images is made from: no reformer of the defender's enters."""
        return {
            "kind": "attacked",
            "name": f"{self.attack} without the defence",
            "attack": repr(self.attack),
            "networks": [need.settings(fingerprint) for need in self.needs],
            "images": self.images,
            "spares_wrong": self.spares_wrong,
            "code": self.code,
        }

    def run(
        self, inputs: Inputs, data: ImageData, device: torch.device, checkpoint: Checkpoint | None = None
    ) -> Artifact:
        """Make the images: `adversarial`, and where wrong ones are spared what `Trial` keeps of each image."""
        classifier, *reformers = (
            spec.restored(inputs[spec.key].tensors, device) for spec in (self.classifier, *self.own)
        )
        reformed = [ReformedClassifier(reformer, classifier) for reformer in reformers]
        source = Ensemble([classifier, *reformed]) if reformed else classifier
        test = data.test.spread(self.images)
        if self.spares_wrong:
            return attack_images(self.attack, source, test)
        adversarial = self.attack.perturb(source, test.images, test.labels)
        return Artifact({"adversarial": adversarial}, provenance(device_of(source)))


@dataclass(frozen=True)
class Report(Task):
    """One cell of a results table: which classifier behind which reformer, under which attack, on how many images.

    Attributes:
        defense: names the reformer.
        classifier: how the classifier is trained.
        reformer: how the reformer is trained; None for none.
        attack: made on the classifier (grey box) and on both together (white box).
        images: number of test images.
        reformer_seed: the seed that the reformer's own seeds derive from, to name it in tables.
        jacobian_images: of a contractive reformer: test images whose exact Jacobian norm is measured too.
    """

    defense: Defense
    classifier: TrainingSpec
    reformer: TrainingSpec | None
    attack: GradientAttack
    images: int
    reformer_seed: int = 0
    jacobian_images: int = 0
    plural: ClassVar[str] = "reports"

    def __post_init__(self) -> None:
        check_reportable(self.attack)

    @property
    def entries(self) -> tuple[object, ...]:
        """Its class and its attack's."""
        return (type(self), type(self.attack))

    @property
    def networks(self) -> list[TrainingSpec]:
        """How the classifier and, if there is one, the reformer are trained."""
        return [self.classifier] if self.reformer is None else [self.classifier, self.reformer]

    @property
    def grey_box(self) -> AttackedImages:
        """The images that are made on the classifier alone."""
        return AttackedImages(self.attack, self.classifier, (), self.images, spares_wrong=False)

    @property
    def needs(self) -> tuple[Task, ...]:
        """The networks, and the grey box's images."""
        return (*self.networks, self.grey_box)

    def settings(self, fingerprint: str) -> Settings:
        """Return what the key of the report is made from."""
        measured = {"jacobian_images": self.jacobian_images} if self.jacobian_images else {}
        return {
            "kind": "report",
            "name": self.defense.label,
            "attack": repr(self.attack),
            "networks": [spec.settings(fingerprint) for spec in self.networks],
            "images": self.images,
            "code": self.code,
            **measured,
        }

    def run(
        self, inputs: Inputs, data: ImageData, device: torch.device, checkpoint: Checkpoint | None = None
    ) -> Artifact:
        """Return the answers and the record of the report (see `evaluation.DefenseReport`)."""
        started = time.perf_counter()
        networks = [spec.restored(inputs[spec.key].tensors, device) for spec in self.networks]
        classifier, reformer = networks[0], networks[1] if self.reformer else None
        grey_box_images = inputs[self.grey_box.key].tensors["adversarial"]
        test = data.test.spread(self.images)
        report = evaluate_defense(classifier, reformer, test, self.attack, grey_box_images=grey_box_images)
        seconds = time.perf_counter() - started
        jacobian = None
        if isinstance(reformer, ContractiveAutoencoder) and self.jacobian_images:
            images = data.test.spread(self.jacobian_images).images.to(device)
            with torch.no_grad():
                jacobian = float(jacobian_frobenius_squared(reformer.encode, images).mean())
        facts = {"jacobian": jacobian, "seconds": seconds, **provenance(device_of(classifier))}
        return Artifact(report.tensors(), {**report.facts(), **facts})


def attack_images(attack: Attack, target: nn.Module, test: LabeledImages) -> Artifact:
    """Attack the images that do not fool the target yet, and return what came of it (see `attacks.AttackResult`)."""
    result = attack.run(target, test.images, test.labels)
    passes = {"forward_passes": result.forward_passes, "backward_passes": result.backward_passes}
    tensors = {"adversarial": result.adversarial, "success": result.success, **result.norms}
    return Artifact(tensors, {**passes, "seconds": result.seconds, **provenance(device_of(target))})
