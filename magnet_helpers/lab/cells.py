"""One cell of a results table: which classifier behind which reformer, under which attack, on how many images."""

from collections.abc import Iterable
from dataclasses import dataclass

from magnet_helpers.attacks import GradientAttack
from magnet_helpers.defenses import Defense
from magnet_helpers.lab.code_version import code_version
from magnet_helpers.lab.trainings import TrainingSpec, longest_first, with_parents

EVALUATION_CODE = code_version(
    *("device", "inference", "attacks._advertorch", "attacks.base", "attacks.gradient", "defenses", "evaluation")
)


@dataclass(frozen=True)
class Cell:
    """What one report is about.

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

    @property
    def networks(self) -> list[TrainingSpec]:
        """The classifier's spec and, if there is one, the reformer's."""
        return [self.classifier] if self.reformer is None else [self.classifier, self.reformer]

    def settings(self, data_fingerprint: str) -> dict[str, object]:
        """Return what the key of the report is made from."""
        measured = {"jacobian_images": self.jacobian_images} if self.jacobian_images else {}
        return {**_settings("report", self.defense.label, self, self.networks, data_fingerprint), **measured}

    def attacked_settings(self, data_fingerprint: str) -> dict[str, object]:
        """Return what the key of the grey-box images is made from: the reformer does not enter."""
        name = f"{self.attack} on the classifier"
        return _settings("attacked", name, self, [self.classifier], data_fingerprint)


def _settings(
    kind: str, name: str, cell: Cell, networks: list[TrainingSpec], data_fingerprint: str
) -> dict[str, object]:
    return {
        "kind": kind,
        "name": name,
        "attack": repr(cell.attack),
        "networks": [spec.settings(data_fingerprint) for spec in networks],
        "images": cell.images,
        "code": EVALUATION_CODE,
    }


def trainings(cells: Iterable[Cell]) -> list[TrainingSpec]:
    """Return every training that the cells need, each once, in the order in which workers should take them."""
    return longest_first(with_parents(spec for cell in cells for spec in cell.networks))
