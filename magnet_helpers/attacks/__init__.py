"""The attacks of the course: one interface, settings as values, a library's code wherever there is one.

- `base`: what they have in common
- `threat`: who attacks, with what knowledge
- `gradient`: bounded attacks that follow the gradient (FGSM, I-FGSM, MI-FGSM, PGD)
- `minimal_norm`: attacks that look for the smallest change (C&W, EAD, DDN, JSMA)
- `black_box`: attacks that only ask the model (SPSA, ZOO, Square, HopSkipJump)
- `noise`: the attack that does not even ask
- `substitute`: the attack on a copy that the attacker trains
- `adaptive`: attacks on a whole defence
- `ensemble`: the mean over random draws, or over several networks
"""

from magnet_helpers.attacks.adaptive import (
    BPDA,
    DetectorAwareCarliniWagner,
    DetectorAwarePGD,
    RejectedAsClass,
    Transferred,
)
from magnet_helpers.attacks.base import Attack, AttackResult
from magnet_helpers.attacks.black_box import SPSA, ZOO, HopSkipJump, Square
from magnet_helpers.attacks.ensemble import Ensemble, ExpectationOverTransformation
from magnet_helpers.attacks.gradient import FGSM, IFGSM, MIFGSM, PGD, PGDL2, GradientAttack
from magnet_helpers.attacks.minimal_norm import DDN, JSMA, CarliniWagner, ElasticNet, MinimalNormAttack
from magnet_helpers.attacks.noise import RandomNoise
from magnet_helpers.attacks.threat import Knowledge, Threat

__all__ = [
    "BPDA",
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
    "AttackResult",
    "CarliniWagner",
    "DetectorAwareCarliniWagner",
    "DetectorAwarePGD",
    "ElasticNet",
    "Ensemble",
    "ExpectationOverTransformation",
    "GradientAttack",
    "HopSkipJump",
    "Knowledge",
    "MinimalNormAttack",
    "RandomNoise",
    "RejectedAsClass",
    "Square",
    "Threat",
    "Transferred",
]
