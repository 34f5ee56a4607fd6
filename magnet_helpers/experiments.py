"""The paper's grid, as data: which defences stand in which of its tables."""

from magnet_helpers.defenses import NO_REFORMER, VANILLA, Defense, contractive, denoising, stacked

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
