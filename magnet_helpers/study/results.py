"""Results: what each attack leaves of each defence, one row for each measurement, asked with defences and threats."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from magnet_helpers.attacks import Threat
from magnet_helpers.data import title_of
from magnet_helpers.intervals import Accuracy, Estimate, difference, estimate
from magnet_helpers.lab.budget import Budget, get_budget
from magnet_helpers.study.results_file import Row, kept_results, read_rows, unpack_bits, unpack_sizes
from magnet_helpers.study.threats import CLEAN, Threats, all_threats


class Named(Protocol):
    """A defence: `defenses.Defense`, or `magnet.MagNetSpec`."""

    @property
    def label(self) -> str:
        """Its name in tables, figures and results files."""


Key = tuple[Named, Threat]


def measured(right: Tensor) -> Accuracy | Estimate:
    """Return the share of (S, N) booleans with its interval: of one seed Wilson's, to which 0 of n is not "never"."""
    return Accuracy(int(right.sum()), right.numel()) if len(right) == 1 else estimate(right)


class Results:
    """Rows of one dataset and one budget, asked with defences and threats.

    Args:
        rows: as `results_file.read_rows` returns them.

    Raises:
        ValueError: if the rows are of several datasets or budgets: such numbers are never mixed. And if two are of one
            measurement.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)
        kinds = {(row.dataset, row.budget) for row in self.rows}
        if len(kinds) > 1:
            raise ValueError(f"rows must be of one dataset and one budget, got {sorted(kinds)}")
        if len({row.identity for row in self.rows}) != len(self.rows):
            row = next(row for row, count in Counter(row.identity for row in self.rows).items() if count > 1)
            raise ValueError(f"rows must be of different measurements, got two of {row}")
        lengths = {row.classifier_epochs for row in self.rows}
        self.epochs = lengths.pop() if len(lengths) == 1 else self._budget.classifier_epochs

    @property
    def seeds(self) -> list[int]:
        """Every seed of a reformer or classifier."""
        return sorted({seed for row in self.rows for seed in (row.classifier_seed, row.reformer_seed)})

    def without(self, seeds: Iterable[int], among: Iterable[int] | None = None) -> str:
        """Return in words which seeds, by default of all of these results, are missing; empty if none is."""
        missing = sorted(set(self.seeds if among is None else among) - set(seeds))
        return f"without seed{'s' * (len(missing) > 1)} {', '.join(map(str, missing))}" if missing else ""

    @property
    def note(self) -> str:
        """Dataset, budget, seeds and number of images: they stand with every number."""
        if not self.rows:
            return "no results"
        first, sizes = self.rows[0], sorted({row.n for row in self.rows})
        budget = f"{first.budget} budget" + ("" if get_budget(first.budget).is_papers else " (not the paper's)")
        seeds = f"seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}"
        images = " or ".join(f"{n:,}" for n in sizes)
        return f"{title_of(first.dataset)} · {budget} · {seeds} · n = {images}"

    def under(self, threat: Threat) -> "Results":
        """Return the rows of one attack, whatever the attackers know, so that `note` names their images alone."""
        return Results(row for row in self.rows if row.attack == repr(threat.attack))

    def find(self, defense: Named, threat: Threat = CLEAN, epochs: int | None = None) -> dict[int, Row]:
        """Return the rows by seed, reformer and classifier of the same seed; empty if it was not measured.

        Args:
            defense: which defence.
            threat: which attack, and what the attackers know.
            epochs: of the classifier's training; default: the budget's.
        """
        return {
            row.reformer_seed: row
            for row in self._all_seeds(defense, threat, epochs)
            if row.classifier_seed == row.reformer_seed
        }

    def _all_seeds(self, defense: Named, threat: Threat, epochs: int | None = None) -> list[Row]:
        setting = (defense.label, repr(threat.attack), threat.knows, self.epochs if epochs is None else epochs)
        return [row for row in self.rows if (row.defense, row.attack, row.knows, row.classifier_epochs) == setting]

    def not_fooled(
        self, defense: Named, threat: Threat, seeds: Sequence[int] | None = None, epochs: int | None = None
    ) -> Tensor:
        """Return which images were rejected or answered rightly, booleans (S, N), for these seeds (default: all).

        Raises:
            KeyError: if it was not measured.
            ValueError: if its seeds were not measured on the same images.
        """
        rows = self.find(defense, threat, epochs)
        if not rows:
            raise KeyError(f"{defense.label} was not measured under {threat.name}")
        _check_images(rows.values())
        return torch.stack([unpack_bits(rows[seed].not_fooled, rows[seed].n) for seed in seeds or sorted(rows)])

    def accuracy(self, defense: Named, threat: Threat, epochs: int | None = None) -> Accuracy | Estimate | None:
        """Return the share that was not fooled, over all seeds; None if it was not measured."""
        is_there = bool(self.find(defense, threat, epochs))
        return measured(self.not_fooled(defense, threat, epochs=epochs)) if is_there else None

    def gain(self, first: Key, second: Key) -> Estimate | None:
        """Return by how much the second is more accurate than the first, paired; None if they share no seed.

        Raises:
            ValueError: if they were not measured on the same images.
        """
        seeds = sorted(set(self.find(*first)) & set(self.find(*second)))
        _check_images(self.find(*each)[seed] for each in (first, second) for seed in seeds)
        return difference(self.not_fooled(*first, seeds), self.not_fooled(*second, seeds)) if seeds else None

    # ---- the worst case over attacks

    def worst_case(self, defense: Named, threats: Sequence[Threat] | None = None) -> Tensor | None:
        """Return which images no attack fools, booleans (S, N); None if nothing was measured.

        Args:
            defense: which defence.
            threats: the attacks; default: those within ε of this budget.

        Raises:
            ValueError: if the attacks are not on the same images and seeds.
        """
        candidates = self._threats.within_epsilon if threats is None else threats
        bits = [self.not_fooled(defense, threat) for threat in self._paired(defense, candidates)]
        return torch.stack(bits).all(dim=0) if bits else None

    def _paired(self, defense: Named, candidates: Iterable[Threat]) -> list[Threat]:
        """Return what of these was measured, on the same images and seeds: what is taken per image has to be."""
        tried = [threat for threat in candidates if self.find(defense, threat)]
        kinds = {(seed, row.n) for threat in tried for seed, row in self.find(defense, threat).items()}
        if any(len(self.find(defense, threat)) != len(kinds) for threat in tried):
            raise ValueError(f"this is per image: attacks on {defense.label} need the same seeds and images")
        return tried

    def sizes(self, defense: Named, threat: Threat) -> Tensor | None:
        """Return the change in L2 that fooled each image, (S, N), ∞ where none did; None without such an attack."""
        rows = [row for _, row in sorted(self.find(defense, threat).items()) if row.l2]
        if not rows:
            return None
        right = torch.stack([unpack_bits(row.not_fooled, row.n) for row in rows])
        return torch.stack([unpack_sizes(row.l2) for row in rows]).masked_fill(right, torch.inf)

    def smallest_change(self, defense: Named, threats: Sequence[Threat] | None = None) -> Tensor:
        """Return the smallest change in L2 that fooled each image, over several attacks, (S, N); ∞ where none did.

        Args:
            defense: which defence.
            threats: the attacks; default: those without a bound of this budget.

        Raises:
            ValueError: if none of these attacks was measured, or not on the same images and seeds.
        """
        candidates = self._threats.without_bound if threats is None else threats
        unbounded = [threat for threat in candidates if any(row.l2 for row in self.find(defense, threat).values())]
        tried = self._paired(defense, unbounded)
        sizes = [changes for threat in tried if (changes := self.sizes(defense, threat)) is not None]
        if not sizes:
            names = ", ".join(threat.name for threat in candidates)
            raise ValueError(f"there is no attack without a bound on {defense.label} among {names}")
        return torch.stack(sizes).amin(dim=0)

    def security_curve(
        self, defense: Named, sizes: Sequence[float], threats: Sequence[Threat] | None = None
    ) -> list[Accuracy | Estimate]:
        """Return what attackers leave who may change an image by no more than each size in L2, in pixel units.

        Errors as in `smallest_change`.
        """
        least = self.smallest_change(defense, threats)
        return [measured(least > size) for size in sizes]

    @property
    def _budget(self) -> Budget:
        return get_budget(self.rows[0].budget if self.rows else None)

    @property
    def _threats(self) -> Threats:
        return all_threats(self._budget)

    # ---- of contractive autoencoders, and of crossed seeds

    def jacobian(self, defense: Named, threat: Threat = CLEAN) -> dict[int, float]:
        """Return the measured ‖J‖²_F of a contractive autoencoder by seed, of the seeds that have this threat."""
        rows = self.find(defense, threat)
        return {seed: row.jacobian for seed, row in rows.items() if row.jacobian is not None}

    def gain_at_equal_jacobian(self, defense: Named, curve: Sequence[Named], threat: Threat) -> Estimate | None:
        """Return by how much a defence is more accurate than one of a family with the same measured ‖J‖²_F would be.

        For each seed and image, the answer of the family at that norm is interpolated, linearly in log ‖J‖²_F, between
        its two nearest members. Seeds where the norm lies outside of the family's are left out.

        Args:
            defense: a contractive autoencoder.
            curve: the family, for example the paper's penalty for several λ.
            threat: which attack, and what the attackers know.

        Returns:
            The paired difference; None if no seed is left.
        """
        pairs = []
        for seed, own in self.jacobian(defense, threat).items():
            norms = [(norm, member) for member in curve if (norm := self.jacobian(member, threat).get(seed))]
            below = [pair for pair in norms if pair[0] <= own]
            above = [pair for pair in norms if pair[0] >= own]
            if own and below and above:  # a collapsed one's norm is 0
                ends = max(below, key=lambda pair: pair[0]), min(above, key=lambda pair: pair[0])
                low, high = (math.log(norm) for norm, _ in ends)
                share_of_high = (math.log(own) - low) / (high - low) if high > low else 0.0
                _check_images(self.find(member, threat)[seed] for member in (defense, *(member for _, member in ends)))
                first, second = (self.not_fooled(member, threat, [seed])[0].double() for _, member in ends)
                interpolated = (1 - share_of_high) * first + share_of_high * second
                pairs.append((interpolated, self.not_fooled(defense, threat, [seed])[0].double()))
        if not pairs:
            return None
        return difference(*(torch.stack(side) for side in zip(*pairs, strict=True)))

    def crossed(self, defense: Named, threat: Threat) -> dict[tuple[int, int], float]:
        """Return the accuracy for each pair (classifier's seed, reformer's seed) that was measured."""
        rows = self._all_seeds(defense, threat)
        _check_images(rows)
        return {(row.classifier_seed, row.reformer_seed): row.right / row.n for row in rows}


def _check_images(rows: Iterable[Row]) -> None:
    """Raise a ValueError unless these rows, which are compared or averaged, are of equally many images."""
    by_size = {row.n: f"{row.n:,} (seed {row.reformer_seed} of {row.defense} under {row.attack})" for row in rows}
    if len(by_size) > 1:
        raise ValueError(f"what is compared needs the same images, got n = {' and '.join(by_size.values())}")


def load_results(budget: str) -> Results:
    """Return the results that the project has run itself with a budget and keeps in `data/results/`.

    Args:
        budget: `"fast"` or `"paper"`.

    Raises:
        FileNotFoundError: if there is no such file, see `results_file.kept_results`.
    """
    return Results(read_rows(kept_results(f"{budget}.csv"), Row))


def load_attack_results(budget: str) -> Results:
    """Return the attack study that the project has run itself with a budget and keeps in `data/results/`.

    Raises:
        FileNotFoundError: if there is no such file, see `results_file.kept_results`.
    """
    return Results(read_rows(kept_results(f"{budget}_attacks.csv"), Row))
