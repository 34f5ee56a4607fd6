"""What many attacks leave of each defence, over one seed or several: the worst case per image, and a results file."""

import base64
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from magnet_helpers.attacks import CarliniWagner, ElasticNet, MinimalNormAttack
from magnet_helpers.intervals import Accuracy, Estimate, estimate
from magnet_helpers.lab.budget import Budget
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.trainings import TRAINING_CODE
from magnet_helpers.study.grid import MAGNETS_PARTS, UNDER_ATTACK
from magnet_helpers.study.result_files import (
    check_one_kind,
    kept_results,
    note_of,
    pack_bits,
    read_rows,
    unpack_bits,
    write_rows,
)
from magnet_helpers.study.threats import WITHIN_EPSILON, WITHOUT_BOUND, all_threats, confident_threats
from magnet_helpers.study.trials import (
    ATTACK_CODE,
    Trial,
    all_trials,
    is_stored,
    restore,
    run_trial_artifact,
    run_trials,
)


@dataclass(frozen=True)
class TrialRow:
    """One line of the results: one defence under one threat, one seed.

    Attributes:
        dataset, budget, seed: of the classifier and every autoencoder.
        defence, threat, attack, knows: what was attacked; `attack` with all its settings, `knows` as in `Threat`.
        n: test images.
        rejected, accepted_right, accepted_wrong: of them; they add up to n.
        made: images that fool what they were made on: for a grey-box attack, the classifier.
        median_l2: of the changes that fooled the defence; None if none did.
        forward_passes, backward_passes: of one image through what was attacked, on average.
        seconds: of the attack.
        device, torch, python, training_code, attack_code: what the number was made with.
        not_fooled: for each test image in order whether it was rejected or answered rightly: bits in base64.
        l2: of an attack without a bound: each image's change in L2, as float16 in base64; else empty.
    """

    dataset: str
    budget: str
    seed: int
    defence: str
    threat: str
    attack: str
    knows: str
    n: int
    rejected: int
    accepted_right: int
    accepted_wrong: int
    made: int
    median_l2: float | None
    forward_passes: float
    backward_passes: float
    seconds: float
    device: str
    torch: str
    python: str
    training_code: str
    attack_code: str
    not_fooled: str
    l2: str

    @property
    def identity(self) -> tuple[object, ...]:
        """What two rows of one file must not have in common."""
        return (self.dataset, self.budget, self.seed, self.defence, self.threat, self.attack, self.n)


def row_of(lab: Lab, trial: Trial) -> TrialRow:
    """Return the row of a trial, which is made if it is missing."""
    artifact = run_trial_artifact(lab, trial)
    report, record = restore(artifact), artifact.record
    counts, sizes = report.outcome.counts, report.norms["L2"]
    theirs = sizes[~report.not_fooled]
    unbounded = isinstance(trial.threat.attack, MinimalNormAttack) and not trial.needs_no_defense
    return TrialRow(
        dataset=lab.data.name,
        budget=lab.budget.name,
        seed=lab.seed,
        defence=trial.defense.label,
        threat=trial.threat.name,
        attack=repr(trial.threat.attack),
        knows=trial.threat.knows,
        n=len(sizes),
        rejected=counts["rejected"],
        accepted_right=counts["accepted and right"],
        accepted_wrong=counts["accepted and wrong"],
        made=int(report.success.sum()),
        median_l2=round(float(theirs.median()), 3) if len(theirs) else None,
        forward_passes=round(report.forward_passes, 1),
        backward_passes=round(report.backward_passes, 1),
        seconds=round(report.seconds, 1),
        device=record["device"],
        torch=record["versions"]["torch"],
        python=record["versions"]["python"],
        training_code=TRAINING_CODE,
        attack_code=ATTACK_CODE,
        not_fooled=pack_bits(report.not_fooled),
        l2=base64.b64encode(sizes.numpy().astype("<f2").tobytes()).decode() if unbounded else "",
    )


def measured(right: Tensor) -> Accuracy | Estimate:
    """Return the share of (S, N) booleans with its interval: of one seed Wilson's, to which 0 of n is not "never"."""
    return Accuracy(int(right.sum()), right.numel()) if len(right) == 1 else estimate(right)


class AttackResults:
    """Rows of trials, asked by defence and threat.

    Args:
        rows: of one dataset and one budget.

    Raises:
        ValueError: if they are of several.
    """

    def __init__(self, rows: Iterable[TrialRow]) -> None:
        self.rows = list(rows)
        check_one_kind(self.rows)

    @property
    def seeds(self) -> list[int]:
        """Every seed."""
        return sorted({row.seed for row in self.rows})

    @property
    def note(self) -> str:
        """Dataset, budget, seeds and number of images: they stand with every number."""
        return note_of(self.rows, self.seeds)

    def find(self, defence: str, threat: str) -> dict[int, TrialRow]:
        """Return the rows of a defence under a threat by seed; empty if it was not measured."""
        return {row.seed: row for row in self.rows if (row.defence, row.threat) == (defence, threat)}

    def not_fooled(self, defence: str, threat: str) -> Tensor:
        """Return which images were rejected or answered rightly, booleans (S, N).

        Raises:
            KeyError: if it was not measured.
        """
        found = self.find(defence, threat)
        if not found:
            raise KeyError(f"{defence} was not measured under {threat}")
        return torch.stack([unpack_bits(found[seed].not_fooled, found[seed].n) for seed in sorted(found)])

    def accuracy(self, defence: str, threat: str) -> Accuracy | Estimate:
        """Return the share that was not fooled, over all seeds; errors as in `not_fooled`."""
        return measured(self.not_fooled(defence, threat))

    def worst_case(self, defence: str, threats: Sequence[str] = WITHIN_EPSILON) -> Tensor | None:
        """Return which images no attack fools, booleans (S, N); None if nothing was measured.

        Raises:
            ValueError: if the attacks are not on the same images and seeds.
        """
        tried = [threat for threat in threats if self.find(defence, threat)]
        kinds = {(seed, row.n) for threat in tried for seed, row in self.find(defence, threat).items()}
        if any(len(self.find(defence, threat)) != len(kinds) for threat in tried):
            raise ValueError(f"the worst case is per image: attacks on {defence} need the same seeds and images")
        each = [self.not_fooled(defence, threat) for threat in tried]
        return torch.stack(each).all(dim=0) if each else None

    def sizes(self, defence: str, threat: str) -> Tensor | None:
        """Return the change in L2 that fooled each image, (S, N), ∞ where none did; None without such an attack."""
        found = self.find(defence, threat)
        rows = [found[seed] for seed in sorted(found) if found[seed].l2]
        if not rows:
            return None
        each = [np.frombuffer(base64.b64decode(row.l2), "<f2").astype(np.float32) for row in rows]
        right = torch.stack([unpack_bits(row.not_fooled, row.n) for row in rows])
        return torch.from_numpy(np.stack(each)).masked_fill(right, torch.inf)

    def smallest_change(self, defence: str, threats: Sequence[str] = WITHOUT_BOUND) -> Tensor:
        """Return the smallest change in L2 that fooled each image, over several attacks, (S, N); ∞ where none did.

        Raises:
            ValueError: if none of these attacks was measured.
        """
        found = [each for threat in threats if (each := self.sizes(defence, threat)) is not None]
        if not found:
            raise ValueError(f"there is no attack without a bound on {defence} among {', '.join(threats)}")
        return torch.stack(found).amin(dim=0)

    def security_curve(
        self, defence: str, sizes: Sequence[float], threats: Sequence[str] = WITHOUT_BOUND
    ) -> list[Accuracy | Estimate]:
        """Return what an attacker leaves who may change an image by no more than each size in L2, in pixel units.

        Errors as in `smallest_change`.
        """
        least = self.smallest_change(defence, threats)
        return [measured(least > size) for size in sizes]


def load_attack_results(budget: str) -> AttackResults:
    """Return the attack study that the project has run itself with a budget and keeps in `data/results/`.

    Raises:
        FileNotFoundError: if there is no such file, see `result_files.kept_results`.
    """
    return AttackResults(read_rows(kept_results(f"{budget}_attacks.csv"), TrialRow))


def run_attacks(lab: Lab, some: Sequence[Trial]) -> AttackResults:
    """Carry out trials, several at once, and return their results."""
    run_trials(lab, some)
    return AttackResults(row_of(lab, each) for each in some)


def attack_study(budget: Budget) -> list[Trial]:
    """Return every trial of lesson 09: all defences under all threats, MagNet's parts under confident images."""
    confident = [*confident_threats(budget, CarliniWagner), *confident_threats(budget, ElasticNet)]
    images = budget.trial_images
    return all_trials(UNDER_ATTACK, all_threats(budget), images) + all_trials(MAGNETS_PARTS, confident, images)


def run_study(lab: Lab, seeds: Sequence[int], path: Path) -> AttackResults:
    """Carry out the whole study, one seed after the other, and add its rows to a results file after each.

    Every trained network and every trial is kept when it is done, so a run that was stopped goes on from there; the
    rows of what was done are in the file then, too. What the file holds already is not made again, wherever it comes
    from, if the same code made it.

    Args:
        lab: its budget, data and store.
        seeds: of the classifier and every autoencoder.
        path: of the results file.

    Raises:
        ValueError: if a seed is given twice, or if the file holds results of another dataset or budget.
    """
    if len(set(seeds)) != len(seeds) or not seeds:
        raise ValueError(f"seeds must be different, and at least one, got {list(seeds)}")
    rows = _read(path)
    ours = (lab.data.name, lab.budget.name)
    if others := {(row.dataset, row.budget) for row in rows} - {ours}:
        raise ValueError(f"{path} holds results of {sorted(others)}, these are of {ours}: name another file")
    for number, seed in enumerate(seeds, start=1):
        of_seed = replace(lab, seed=seed)
        some = _without_known(of_seed, attack_study(lab.budget), _read(path))
        text = f"seed {seed}, {number} of {len(seeds)}: {len(some)} trials, {lab.data.title}, {lab.budget.name} budget"
        print(text, file=sys.stderr)
        try:
            run_trials(of_seed, some)
        finally:
            write_attack_results(path, [row_of(of_seed, trial) for trial in some if is_stored(of_seed, trial)])
    return AttackResults(_read(path))


def _without_known(lab: Lab, trials: Iterable[Trial], rows: Iterable[TrialRow]) -> list[Trial]:
    today = (TRAINING_CODE, ATTACK_CODE)
    known = {row.identity for row in rows if (row.training_code, row.attack_code) == today}
    ours = (lab.data.name, lab.budget.name, lab.seed)

    def identity(trial: Trial) -> tuple[object, ...]:
        images = len(lab.data.test.spread(trial.images))
        return (*ours, trial.defense.label, trial.threat.name, repr(trial.threat.attack), images)

    return [trial for trial in trials if identity(trial) not in known]


def _read(path: Path) -> list[TrialRow]:
    return read_rows(path, TrialRow) if path.exists() else []


def write_attack_results(path: Path, rows: Iterable[TrialRow]) -> None:
    """Write rows as a results file; rows that are in it already and are not among them stay."""
    kept = {row.identity: row for row in _read(path)}
    write_rows(path, (kept | {row.identity: row for row in rows}).values())
