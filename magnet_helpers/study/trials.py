"""One defence under one threat: made once, kept, and several at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from magnet_helpers.attacks import Ensemble
from magnet_helpers.attacks.base import NORMS
from magnet_helpers.data import LabeledImages
from magnet_helpers.defenses import NO_REFORMER, Defense, ReformedClassifier
from magnet_helpers.device import device_of
from magnet_helpers.lab.code_version import code_version
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.store import Artifact, Settings
from magnet_helpers.lab.trainings import TrainingSpec
from magnet_helpers.lab.work import versions
from magnet_helpers.magnet import MAGNETS_FALSE_POSITIVE_RATE, MagNetSpec, Outcome
from magnet_helpers.study.grid import ATTACKERS_OWN
from magnet_helpers.study.threats import Threat

ATTACK_CODE = code_version(
    *("device", "inference", "attacks._advertorch", "defenses", "detectors", "magnet", "study.trials"),
    *(f"attacks.{name}" for name in ("base", "gradient", "minimal_norm", "black_box", "adaptive", "ensemble")),
)


@dataclass(frozen=True)
class Trial:
    """One defence under one threat.

    Attributes:
        defense: what is attacked.
        threat: how, and with what knowledge.
        images: number of test images.
    """

    defense: MagNetSpec
    threat: Threat
    images: int

    @property
    def needs_no_defense(self) -> bool:
        """Whether the attacker's images are the same for every defence."""
        return self.threat.knows in ("classifier", "own autoencoders")


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


def all_trials(defenses: Iterable[MagNetSpec], threats: Sequence[Threat], images: int) -> list[Trial]:
    """Return each defence under each threat; where there are no detectors, no attacker has to know them."""
    return [
        Trial(defense, threat, images)
        for defense in defenses
        for threat in threats
        if defense.detectors or threat.knows != "everything"
    ]


def is_stored(lab: Lab, trial: Trial) -> bool:
    """Return whether the report of a trial is there, and need not be made."""
    return lab.store.load(_settings(lab, trial)) is not None


def run_trials(lab: Lab, some: Sequence[Trial]) -> list[TrialReport]:
    """Return the reports of many trials; what is missing is made, several at once, and kept."""
    missing = [each for each in some if not is_stored(lab, each)]
    if missing:
        lab.train(dict.fromkeys(defense for trial in missing for defense in _autoencoders(trial)))
        shared = dict.fromkeys((each.threat, each.images) for each in missing if each.needs_no_defense)
        first = [partial(attack_without_defense, threat=threat, images=images) for threat, images in shared]
        lab.at_once([*first, *(partial(run_trial, trial=each) for each in missing)], "attacks")
    return [run_trial(lab, each) for each in some]


def run_trial(lab: Lab, trial: Trial) -> TrialReport:
    """Return the report of a trial; load it, or make and keep it."""
    return restore(run_trial_artifact(lab, trial))


def run_trial_artifact(lab: Lab, trial: Trial) -> Artifact:
    """Return the report of a trial as it is stored, with its provenance."""
    settings, test = _settings(lab, trial), lab.data.test.spread(trial.images)

    def make() -> None:
        magnet = lab.magnet(trial.defense)
        if trial.needs_no_defense:
            tensors, facts = attack_without_defense(lab, trial.threat, trial.images)
        else:
            target = magnet if trial.threat.knows == "everything" else magnet.reformed
            tensors, facts = _attack(trial.threat, target, test)
        outcome = magnet.judge(tensors.pop("adversarial"), test.labels)
        lab.store.save(settings, {**tensors, **vars(outcome)}, {**facts, "counts": outcome.counts})

    return lab.load_or_make(settings, make)


def restore(artifact: Artifact) -> TrialReport:
    """Return the report that was stored."""
    tensors, record = artifact.tensors, artifact.record
    outcome = Outcome(*(tensors[name] for name in ("labels", "answers", "rejected")))
    facts = (record[name] for name in ("forward_passes", "backward_passes", "seconds"))
    return TrialReport(outcome, tensors["success"], {name: tensors[name] for name in NORMS}, *facts)


def attack_without_defense(lab: Lab, threat: Threat, images: int) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Return the images that this attacker makes without the defence, and how; load them, or make and keep them."""
    own = ATTACKERS_OWN if threat.knows == "own autoencoders" else ()
    specs = [lab.specs.classifier(), *(lab.specs.reformer(each) for each in own)]
    settings = _common("attacked", f"{threat.name} without the defence", lab, threat, images, specs)

    def make() -> None:
        classifier = lab.classifier()
        reformed = [ReformedClassifier(lab.reformer(each), classifier) for each in own]
        source = Ensemble([classifier, *reformed]) if own else classifier
        lab.store.save(settings, *_attack(threat, source, lab.data.test.spread(images)))

    artifact = lab.load_or_make(settings, make)
    facts = {name: artifact.record[name] for name in ("forward_passes", "backward_passes", "seconds", "device")}
    return artifact.tensors, {**facts, "versions": artifact.record["versions"]}


def _attack(threat: Threat, target: nn.Module, test: LabeledImages) -> tuple[dict[str, Tensor], dict[str, object]]:
    got = threat.attack.run(target, test.images, test.labels)
    passes = {"forward_passes": got.forward_passes, "backward_passes": got.backward_passes, "seconds": got.seconds}
    where = {"device": str(device_of(target)), "versions": versions()}
    return {"adversarial": got.adversarial, "success": got.success, **got.norms}, {**passes, **where}


def _autoencoders(trial: Trial) -> list[Defense]:
    """Return every autoencoder that a trial needs, the attacker's too."""
    theirs = [trial.defense.reformer, *(detector.defense for detector in trial.defense.detectors)]
    own = ATTACKERS_OWN if trial.threat.knows == "own autoencoders" else ()
    return [each for each in (*theirs, *own) if each != NO_REFORMER]


def _settings(lab: Lab, trial: Trial) -> Settings:
    specs = [lab.specs.classifier(), *(lab.specs.reformer(each) for each in _autoencoders(trial))]
    name = f"{trial.threat.name} on {trial.defense.label}"
    defense = {"defense": repr(trial.defense), "false_positive_rate": MAGNETS_FALSE_POSITIVE_RATE}
    return {**_common("trial", name, lab, trial.threat, trial.images, specs), **defense}


def _common(kind: str, name: str, lab: Lab, threat: Threat, images: int, specs: Sequence[TrainingSpec]) -> Settings:
    networks = [spec.settings(lab.data.fingerprint) for spec in specs]
    attack = {"attack": repr(threat.attack), "knows": threat.knows, "images": images}
    return {"kind": kind, "name": name, **attack, "networks": networks, "code": ATTACK_CODE}
