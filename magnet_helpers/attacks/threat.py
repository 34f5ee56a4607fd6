"""Who attacks: what they know of the defence, and which attack they make with it."""

from dataclasses import dataclass, field
from enum import StrEnum

from magnet_helpers.attacks.base import Attack
from magnet_helpers.contracts import check_choice


class Knowledge(StrEnum):
    """What an attacker knows of the defence: on what they make their images."""

    NOTHING = "nothing"  # nobody attacks: the images are clean
    CLASSIFIER = "classifier"  # the paper's grey box
    OWN_AUTOENCODERS = "own autoencoders"  # the classifier, and reformers that the attackers trained themselves
    REFORMER = "reformer"  # the defender's reformer and classifier, the paper's white box
    EVERYTHING = "everything"  # the detectors as well

    @property
    def label(self) -> str:
        """The name in tables and figures: the paper's words where it has some."""
        return {
            Knowledge.NOTHING: "clean",
            Knowledge.CLASSIFIER: "grey box",
            Knowledge.OWN_AUTOENCODERS: "own autoencoders",
            Knowledge.REFORMER: "white box",
            Knowledge.EVERYTHING: "detectors known",
        }[self]

    @property
    def needs_no_defense(self) -> bool:
        """Whether the attackers' images are the same for every defence."""
        return self in (Knowledge.CLASSIFIER, Knowledge.OWN_AUTOENCODERS)


@dataclass(frozen=True)
class Threat:
    """An attack, and what the attackers make it on.

    Two threats are equal if attack and knowledge are.

    Args:
        attack: with its settings. Of `Knowledge.NOTHING` it says which attack the clean images are the control of.
        knows: what the attackers know.
        name: in tables and figures; by default the attack's class and the knowledge, for example `"FGSM, white box"`.

    Raises:
        TypeError, ValueError: for what is no attack or no knowledge, and for an attack on the detectors by attackers
            who do not know them.
    """

    attack: Attack
    knows: Knowledge
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.attack, Attack):
            raise TypeError(f"a threat is an attack with its settings, for example FGSM(0.3), got {self.attack!r}")
        check_choice("knows", self.knows, tuple(Knowledge))
        object.__setattr__(self, "knows", Knowledge(self.knows))
        if self.attack.needs_detectors and self.knows not in (Knowledge.EVERYTHING, Knowledge.NOTHING):
            raise ValueError(
                f"{type(self.attack).__name__} is made on the detectors too: its attackers know everything, got "
                f"{str(self.knows)!r}"
            )
        object.__setattr__(self, "name", self.name or f"{type(self.attack).__name__}, {self.knows.label}")
