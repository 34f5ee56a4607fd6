"""Numbers that other papers print about MagNet on MNIST, each with its source, in percent.

Where MagNet has detectors, an adversarial image that is rejected counts as right.
"""

from collections.abc import Mapping

# P.-H. Lu et al., "On the limitation of MagNet defense against L1-based adversarial examples" (2018): images that are
# made on the undefended classifier to be wrong by κ logits, EAD with β = 0.1.
LU_CONFIDENCES = (0, 5, 10, 15, 20, 25, 30, 35, 40)
LU: Mapping[tuple[str, str], tuple[float, ...]] = {
    ("C&W", "reformer and detectors"): (98.7, 94.7, 91.5, 90.0, 91.4, 93.9, 96.2, 97.7, 98.5),
    ("C&W", "detectors alone"): (52.8, 64.5, 74.8, 83.3, 89.9, 93.6, 96.2, 97.7, 98.5),
    ("C&W", "reformer alone"): (98.5, 92.2, 68.0, 36.0, 12.5, 3.3, 0.4, 0.1, 0.0),
    ("EAD", "reformer and detectors"): (78.1, 26.6, 11.7, 9.8, 12.1, 16.8, 22.6, 28.6, 33.2),
    ("EAD", "MagNet, complete"): (81.6, 44.4, 48.3, 47.3, 47.2, 51.2, 51.7, 55.2, 60.3),  # with the divergences
}

# D. Meng and H. Chen, "MagNet: a Two-Pronged Defense against Adversarial Examples" (2017): accuracy without and with
# MagNet, attacks that know the classifier alone. Sizes in pixel units.
MAGNETS_OWN_CLAIMS: Mapping[str, tuple[float, float]] = {
    "no attack": (99.4, 99.1),
    "FGSM, ε = 0.005": (96.8, 100.0),
    "FGSM, ε = 0.01": (91.1, 100.0),
    "I-FGSM, ε = 0.01": (72.0, 100.0),
    "iterative L2, ε = 1": (76.6, 100.0),
    "C&W, κ = 0": (0.0, 99.5),
}

# P. Samangouei et al., "Defense-GAN" (2018): MagNet as a baseline in the white box, the lowest and the highest of four
# classifiers.
SAMANGOUEI: Mapping[str, tuple[float, float]] = {"FGSM, ε = 0.3": (8.2, 19.1), "C&W": (2.0, 4.0)}
