"""A MagNet's thresholds and a defence under one threat, as tasks, and what came of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from magnet_helpers.attacks import Knowledge, Threat
from magnet_helpers.attacks.base import NORMS
from magnet_helpers.data import ImageData
from magnet_helpers.defenses import NO_REFORMER, Defense, denoising
from magnet_helpers.detectors import Detector, Threshold
from magnet_helpers.lab.measurements import AttackedImages, attack_images
from magnet_helpers.lab.store import Artifact, Settings
from magnet_helpers.lab.tasks import Inputs, Task
from magnet_helpers.lab.trainings import TrainingSpec, TrainingSpecs
from magnet_helpers.magnet import MAGNETS_FALSE_POSITIVE_RATE, MagNet, MagNetSpec, Outcome
from magnet_helpers.training import Checkpoint

# What attackers train for themselves who know how the defence is made, but not its weights.
_ATTACKERS_OWN: tuple[Defense, ...] = (denoising(0.2), denoising(0.3))


@dataclass(frozen=True)
class Calibration(Task):
    """The thresholds of a MagNet's detectors, chosen on the validation images.

    Attributes:
        magnet: the MagNet by the names of its parts.
        specs: how its networks are trained.
    """

    magnet: MagNetSpec
    specs: TrainingSpecs
    plural: ClassVar[str] = "calibrations"

    @property
    def needs(self) -> tuple[TrainingSpec, ...]:
        """The MagNet's networks."""
        return self.specs.networks(self.magnet)

    def settings(self, fingerprint: str) -> Settings:
        """Return what the key of the thresholds is made from."""
        return {
            "kind": "thresholds",
            "name": self.magnet.label,
            "magnet": repr(self.magnet),
            "false_positive_rate": MAGNETS_FALSE_POSITIVE_RATE,
            "networks": [need.settings(fingerprint) for need in self.needs],
            "code": self.code,
        }

    def run(
        self, inputs: Inputs, data: ImageData, device: torch.device, checkpoint: Checkpoint | None = None
    ) -> Artifact:
        """Choose the thresholds, in the order of the detectors."""
        classifier, reformer, detectors = self.parts(_restored(self.needs, inputs, device))
        clean = data.validation.images
        chosen = MagNet.calibrated(classifier, reformer, detectors, clean, MAGNETS_FALSE_POSITIVE_RATE).thresholds
        values = torch.tensor([threshold.value for threshold in chosen], dtype=torch.float64)
        rejected = torch.tensor([threshold.rejected for threshold in chosen], dtype=torch.int64)
        return Artifact({"value": values, "rejected": rejected}, {"total": len(clean)})

    def parts(self, networks: Mapping[str, nn.Module]) -> tuple[nn.Module, nn.Module | None, list[Detector]]:
        """Return classifier, reformer and detectors, made of the trained networks by their specs' keys."""

        def network(defense: Defense) -> nn.Module:
            return networks[self.specs.reformer(defense).key]

        classifier = networks[self.specs.classifier().key]
        reformer = None if self.magnet.reformer == NO_REFORMER else network(self.magnet.reformer)
        return classifier, reformer, [spec.build(network(spec.defense), classifier) for spec in self.magnet.detectors]

    def build(self, networks: Mapping[str, nn.Module], made: Artifact) -> MagNet:
        """Return the MagNet of trained networks, by their specs' keys, with the thresholds that `run` chose."""
        classifier, reformer, detectors = self.parts(networks)
        columns = (made.tensors[name].tolist() for name in ("value", "rejected"))
        thresholds = [
            Threshold(value, MAGNETS_FALSE_POSITIVE_RATE, rejected, made.record["total"])
            for value, rejected in zip(*columns, strict=True)
        ]
        named = {
            detector.label: (detector, threshold) for detector, threshold in zip(detectors, thresholds, strict=True)
        }
        return MagNet(classifier, reformer, named)


@dataclass(frozen=True)
class Trial(Task):
    """One defence under one threat.

    Attributes:
        defense: what is attacked.
        threat: how, and with what knowledge.
        images: number of test images.
        specs: how the networks are trained, the attackers' own too.
    """

    defense: MagNetSpec
    threat: Threat
    images: int
    specs: TrainingSpecs
    plural: ClassVar[str] = "attacks"

    def __post_init__(self) -> None:
        if self.threat.knows is Knowledge.NOTHING:
            raise ValueError("a trial needs an attacker who knows something: clean images are `magnet.judge`'s")

    @property
    def entries(self) -> tuple[object, ...]:
        """Its class and its attack's."""
        return (type(self), type(self.threat.attack))

    @property
    def networks(self) -> tuple[TrainingSpec, ...]:
        """The networks of the defence."""
        return self.specs.networks(self.defense)

    @property
    def calibration(self) -> Calibration:
        """The defence's thresholds."""
        return Calibration(self.defense, self.specs)

    @property
    def without_defense(self) -> AttackedImages | None:
        """The attackers' images, if they are the same for every defence."""
        if not self.threat.knows.needs_no_defense:
            return None
        own = _ATTACKERS_OWN if self.threat.knows is Knowledge.OWN_AUTOENCODERS else ()
        reformers = tuple(self.specs.reformer(defense) for defense in own)
        return AttackedImages(self.threat.attack, self.specs.classifier(), reformers, self.images, spares_wrong=True)

    @property
    def needs(self) -> tuple[Task, ...]:
        """The networks, the thresholds, and the attackers' images if no defence enters them."""
        elsewhere = self.without_defense
        return (*self.networks, self.calibration, *([] if elsewhere is None else [elsewhere]))

    def settings(self, fingerprint: str) -> Settings:
        """Return what the key of the trial is made from."""
        return {
            "kind": "trial",
            "name": f"{self.threat.name} on {self.defense.label}",
            "attack": repr(self.threat.attack),
            "knows": str(self.threat.knows),
            "images": self.images,
            "defense": repr(self.defense),
            "false_positive_rate": MAGNETS_FALSE_POSITIVE_RATE,
            "networks": [need.settings(fingerprint) for need in self._all_networks()],
            "code": self.code,
        }

    def run(
        self, inputs: Inputs, data: ImageData, device: torch.device, checkpoint: Checkpoint | None = None
    ) -> Artifact:
        """Attack the defence, have it judge the images, and return what `TrialReport.restore` reads."""
        magnet = self.calibration.build(_restored(self.networks, inputs, device), inputs[self.calibration.key])
        test = data.test.spread(self.images)
        if self.without_defense is not None:
            attacked = inputs[self.without_defense.key]
        else:
            target = magnet if self.threat.knows is Knowledge.EVERYTHING else magnet.reformed
            attacked = attack_images(self.threat.attack, target, test)
        tensors = dict(attacked.tensors)
        outcome = magnet.judge(tensors.pop("adversarial"), test.labels)
        facts = {name: attacked.record[name] for name in (*_FACTS, "device", "versions")}
        return Artifact({**tensors, **vars(outcome)}, {**facts, "counts": outcome.counts})

    def _all_networks(self) -> tuple[TrainingSpec, ...]:
        elsewhere = self.without_defense
        return (*self.networks, *(elsewhere.own if elsewhere is not None else ()))


_FACTS = ("forward_passes", "backward_passes", "seconds")


@dataclass(frozen=True)
class TrialReport:
    """What became of N attacked images.

    Attributes:
        outcome: rejected, or answered how.
        success: whether the image fooled what it was made on, shape (N,).
        norms: sizes of each image's change by name (`attacks.base.NORMS`), each of shape (N,).
        forward_passes: as in `attacks.AttackResult`.
        backward_passes: the same.
        seconds: that the attack took, however many defences it was then tried on.
    """

    outcome: Outcome
    success: Tensor
    norms: dict[str, Tensor]
    forward_passes: float
    backward_passes: float
    seconds: float

    @property
    def not_fooled(self) -> Tensor:
        """Which images were rejected or answered rightly, booleans (N,)."""
        return self.outcome.rejected | (self.outcome.answers == self.outcome.labels)

    @classmethod
    def restore(cls, made: Artifact) -> "TrialReport":
        """Return the report of what `Trial.run` made."""
        outcome = Outcome(*(made.tensors[name] for name in ("labels", "answers", "rejected")))
        norms = {name: made.tensors[name] for name in NORMS}
        return cls(outcome, made.tensors["success"], norms, *(made.record[name] for name in _FACTS))


def all_trials(
    defenses: Iterable[MagNetSpec], threats: Sequence[Threat], images: int, specs: TrainingSpecs
) -> list[Trial]:
    """Return each defence under each threat; where there are no detectors, no attacker has to know them."""
    return [
        Trial(defense, threat, images, specs)
        for defense in defenses
        for threat in threats
        if defense.detectors or threat.knows is not Knowledge.EVERYTHING
    ]


def _restored(specs: Iterable[TrainingSpec], inputs: Inputs, device: torch.device) -> dict[str, nn.Module]:
    return {spec.key: spec.restored(inputs[spec.key].tensors, device) for spec in specs}
