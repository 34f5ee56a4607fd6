"""The attacks of the course: one interface, settings as values, a library's code wherever there is one.

- `base`: what they have in common
- `gradient`: bounded attacks that follow the gradient (FGSM, I-FGSM, MI-FGSM, PGD)
- `smallest_change`: attacks that look for the smallest change (C&W, EAD, DDN, JSMA)
- `queries`: attacks that only ask the model (SPSA, ZOO, Square, HopSkipJump), or not even that (noise)
- `substitute`: the attack on a copy that the attacker trains
- `adaptive`: attacks on a whole defence
"""

from magnet_helpers.attacks.adaptive import (
    DetectorAwareCarliniWagner,
    DetectorAwarePGD,
    OverDraws,
    RejectedAsClass,
    StraightThrough,
    Together,
    Transferred,
)
from magnet_helpers.attacks.base import Attack, Attacked
from magnet_helpers.attacks.gradient import FGSM, IFGSM, MIFGSM, PGD, PGDL2, GradientAttack
from magnet_helpers.attacks.queries import SPSA, ZOO, HopSkipJump, RandomNoise, Square
from magnet_helpers.attacks.smallest_change import DDN, JSMA, CarliniWagner, ElasticNet, SmallestChange

__all__ = [
    "DDN",
    "FGSM",
    "IFGSM",
    "JSMA",
    "MIFGSM",
    "PGD",
    "PGDL2",
    "SPSA",
    "ZOO",
    "Attack",
    "Attacked",
    "CarliniWagner",
    "DetectorAwareCarliniWagner",
    "DetectorAwarePGD",
    "ElasticNet",
    "GradientAttack",
    "HopSkipJump",
    "OverDraws",
    "RandomNoise",
    "RejectedAsClass",
    "SmallestChange",
    "Square",
    "StraightThrough",
    "Together",
    "Transferred",
]
