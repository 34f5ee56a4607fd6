"""The paper's grid, as data: which defences stand in which of its tables."""

from magnet_helpers.defenses import MAGNETS_OWN, NO_REFORMER, VANILLA, Defense, contractive, denoising, stacked
from magnet_helpers.detectors import DetectorSpec
from magnet_helpers.magnet import MagNetSpec

NOISE_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5)
STACK_SIZES = (1, 2, 3)
PENALTY_WEIGHTS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)

TABLE_2: tuple[Defense, ...] = tuple(stacked(size, noise_std) for size in STACK_SIZES for noise_std in NOISE_LEVELS)
# λ = 0 is ours: the same network without the penalty, the control that the paper lacks.
TABLE_3: tuple[Defense, ...] = tuple(contractive(weight) for weight in (0.0, *PENALTY_WEIGHTS))
TABLE_4: tuple[Defense, ...] = (
    NO_REFORMER,
    VANILLA,
    denoising(0.3),
    denoising(0.4),
    stacked(2, 0.4),
    stacked(3, 0.4),
    contractive(1e-3),
)
GRID: tuple[Defense, ...] = (NO_REFORMER, VANILLA, *TABLE_2, *TABLE_3)

# The penalties that are not the text's, each for several λ: they are compared at equal λ and at equal measured ‖J‖².
OTHER_PENALTIES: dict[str, tuple[Defense, ...]] = {
    "dense layer": tuple(contractive(weight).but(penalty="dense layer") for weight in (1e-3, 1e-2, 1e-1, 1.0)),
    "published": tuple(contractive(weight).but(penalty="published") for weight in (1e-5, 1e-4, 1e-3)),
}

# The paper's text calls the noise level a variance. For the level 0.4 that is this standard deviation.
VARIANCE_AS_STD = 0.4**0.5

# What the paper's text and its author's program do differently, each beside the text's own way.
VARIANTS: tuple[Defense, ...] = (
    denoising(0.4),
    denoising(VARIANCE_AS_STD),
    denoising(0.4).but(noise="fixed"),
    denoising(0.4).but(decoder_width=64),
    *(stacked(size, 0.4) for size in (2, 3)),
    *(stacked(size, 0.4).but(stage_inputs="noisy") for size in (2, 3)),
    contractive(0.0),
    contractive(1e-3),
    *OTHER_PENALTIES["dense layer"],
    *OTHER_PENALTIES["published"],
    # What the paper saw collapse, begun as its program begins.
    denoising(0.1).but(start="keras"),
    denoising(0.2).but(start="keras"),
    denoising(0.4).but(start="keras"),
)

# MagNet's detectors for MNIST. Which of the first two has p = 1 and which p = 2 is exchanged between its paper and its
# program; this is the program's way. The paper uses the divergences on CIFAR-10; Lu et al. 2018 add them on MNIST.
DETECTORS: tuple[DetectorSpec, ...] = (
    DetectorSpec(MAGNETS_OWN[0], p=2),
    DetectorSpec(MAGNETS_OWN[1], p=1),
    DetectorSpec(MAGNETS_OWN[0], temperature=10),
    DetectorSpec(MAGNETS_OWN[0], temperature=40),
)

# Lesson 09, under every attack: reformers of Table 4, and MagNet's own reformer, without detectors and with all four.
MAGNET = MagNetSpec("MagNet, complete", MAGNETS_OWN[0], DETECTORS)
UNDER_ATTACK: tuple[MagNetSpec, ...] = (
    *(MagNetSpec(defense.label, defense) for defense in TABLE_4 if defense != denoising(0.3)),
    MagNetSpec("MagNet's reformer", MAGNETS_OWN[0]),
    MAGNET,
)
# MagNet and its parts, as Lu et al. 2018 take it apart: the detectors by divergence are an addition of theirs on MNIST.
MAGNETS_PARTS: tuple[MagNetSpec, ...] = (
    MagNetSpec("classifier alone", NO_REFORMER),
    MagNetSpec("reformer alone", MAGNETS_OWN[0]),
    MagNetSpec("detectors alone", NO_REFORMER, DETECTORS[:2]),
    MagNetSpec("reformer and detectors", MAGNETS_OWN[0], DETECTORS[:2]),
    MAGNET,
)
