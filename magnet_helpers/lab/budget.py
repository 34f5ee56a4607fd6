"""How much work the course does: every epoch, image and iteration count, in one place.

`PAPER` is what the paper spends. `FAST` is for a lesson on a laptop or a free notebook host: it makes up for few steps
with a larger learning rate that falls to zero. `SMOKE` shows that everything runs; its numbers mean nothing.
"""

import os
from dataclasses import dataclass, fields
from typing import get_args

from magnet_helpers.contracts import as_number, check_choice, set_counts, set_numbers
from magnet_helpers.training import Schedule


@dataclass(frozen=True)
class Budget:
    """Every count that decides how long the course takes.

    Attributes:
        name: `"smoke"`, `"fast"` or `"paper"`.
        classifier_images: training images of the classifier (None: all).
        classifier_epochs: epochs of the classifier.
        autoencoder_images: training images of every autoencoder (None: all).
        vanilla_epochs: epochs of the vanilla autoencoder. It has to copy nearly perfectly, and has no noise to learn.
        denoising_epochs: epochs of a single denoising autoencoder.
        pretraining_epochs: epochs of each stage of a stack before the stages are joined.
        stack_epochs: epochs of the joined stack.
        contractive_epochs: epochs of a contractive autoencoder.
        magnet_epochs: epochs of MagNet's own two autoencoders, which are tiny.
        classifier_batch_size: images per training step of the classifier.
        classifier_learning_rate: Adam's step size at the start of the classifier's training.
        autoencoder_batch_size: images per training step of an autoencoder.
        autoencoder_learning_rate: Adam's step size at the start of an autoencoder's training.
        magnet_batch_size: images per training step of MagNet's own autoencoders.
        magnet_learning_rate: Adam's step size at the start of their training.
        classifier_schedule: how the classifier's step size falls (see `training.TrainingConfig`).
        autoencoder_schedule: the same for autoencoders.
        validation_images: validation images whose loss is measured after each epoch (None: all).
        test_images: test images of every accuracy (None: all).
        curve_images: test images of each point of an accuracy-over-ε curve.
        curve_epsilons: number of points of such a curve.
        jacobian_images: test images whose exact Jacobian norm is computed.
        projections: random projections drawn to show that they are unbiased.
        attacked_images: test images of an attack of many steps.
        trial_images: test images of each defence under each of many attacks.
        attack_steps: steps of PGD and its kin.
        attack_restarts: random points that PGD begins at.
        search_steps: steps of C&W and its kin for each value of their constant.
        searches: values of that constant.
        confidences: κ of C&W and its kin, in logits.
        queries: questions that an attack without gradients asks for each image.
        processes: networks trained at once on a CPU (None: one on each core). Starting a process takes seconds.
    """

    name: str
    classifier_images: int | None
    classifier_epochs: int
    autoencoder_images: int | None
    vanilla_epochs: int
    denoising_epochs: int
    pretraining_epochs: int
    stack_epochs: int
    contractive_epochs: int
    magnet_epochs: int
    classifier_batch_size: int
    classifier_learning_rate: float
    autoencoder_batch_size: int
    autoencoder_learning_rate: float
    magnet_batch_size: int
    magnet_learning_rate: float
    classifier_schedule: Schedule
    autoencoder_schedule: Schedule
    validation_images: int | None
    test_images: int | None
    curve_images: int
    curve_epsilons: int
    jacobian_images: int
    projections: int
    attacked_images: int
    trial_images: int
    attack_steps: int
    attack_restarts: int
    search_steps: int
    searches: int
    confidences: tuple[float, ...]
    queries: int
    processes: int | None = None

    def __post_init__(self) -> None:
        for setting in fields(self):
            if setting.name.endswith("_schedule"):
                check_choice(setting.name, getattr(self, setting.name), get_args(Schedule))
            elif setting.name.endswith("_rate"):
                set_numbers(self, setting.name, above=0)
            elif setting.name not in ("name", "confidences") and getattr(self, setting.name) is not None:
                set_counts(self, **{setting.name: 0 if setting.name == "attack_restarts" else 1})
        confidences = tuple(as_number("confidences", confidence, least=0) for confidence in self.confidences)
        object.__setattr__(self, "confidences", confidences)

    @property
    def is_papers(self) -> bool:
        """Whether results made with this budget may stand beside the paper's without a warning."""
        return self == PAPER


PAPER = Budget(
    name="paper",
    classifier_images=None,
    classifier_epochs=30,
    autoencoder_images=None,
    vanilla_epochs=20,
    denoising_epochs=20,
    pretraining_epochs=10,
    stack_epochs=20,
    contractive_epochs=20,
    magnet_epochs=100,
    classifier_batch_size=64,
    classifier_learning_rate=1e-3,
    autoencoder_batch_size=64,
    autoencoder_learning_rate=1e-3,
    magnet_batch_size=256,
    magnet_learning_rate=1e-3,
    classifier_schedule="constant",
    autoencoder_schedule="constant",
    validation_images=None,
    test_images=None,
    curve_images=1_000,
    curve_epsilons=13,
    jacobian_images=200,
    projections=1_000,
    attacked_images=1_000,
    trial_images=1_000,
    attack_steps=100,
    attack_restarts=5,
    search_steps=100,
    searches=2,
    confidences=(0, 5, 10, 15, 20, 25, 30, 35, 40),
    queries=500,
)
FAST = Budget(
    name="fast",
    classifier_images=None,
    classifier_epochs=4,
    autoencoder_images=5_000,
    vanilla_epochs=12,
    denoising_epochs=6,
    pretraining_epochs=6,
    stack_epochs=3,
    contractive_epochs=3,
    magnet_epochs=8,
    classifier_batch_size=128,
    classifier_learning_rate=3e-3,
    autoencoder_batch_size=32,
    autoencoder_learning_rate=5e-3,
    magnet_batch_size=64,
    magnet_learning_rate=3e-2,
    classifier_schedule="linear tail",
    autoencoder_schedule="linear",
    validation_images=500,
    test_images=4_000,
    curve_images=300,
    curve_epsilons=9,
    jacobian_images=40,
    projections=300,
    attacked_images=500,
    trial_images=60,
    attack_steps=40,
    attack_restarts=1,
    search_steps=50,
    searches=2,
    confidences=(0, 5, 10, 15, 20),
    queries=100,
)
SMOKE = Budget(
    name="smoke",
    classifier_images=640,
    classifier_epochs=2,
    autoencoder_images=320,
    vanilla_epochs=1,
    denoising_epochs=1,
    pretraining_epochs=1,
    stack_epochs=1,
    contractive_epochs=1,
    magnet_epochs=1,
    classifier_batch_size=32,
    classifier_learning_rate=1e-3,
    autoencoder_batch_size=16,
    autoencoder_learning_rate=3e-3,
    magnet_batch_size=16,
    magnet_learning_rate=3e-2,
    classifier_schedule="linear tail",
    autoencoder_schedule="linear",
    validation_images=100,
    test_images=100,
    curve_images=50,
    curve_epsilons=4,
    jacobian_images=2,
    projections=30,
    attacked_images=20,
    trial_images=10,
    attack_steps=5,
    attack_restarts=1,
    search_steps=5,
    searches=1,
    confidences=(0, 20),
    queries=20,
    processes=1,
)
BUDGETS = {budget.name: budget for budget in (SMOKE, FAST, PAPER)}


def get_budget(name: str | None = None) -> Budget:
    """Return the budget of that name (default: `MAGNET_BUDGET`, else `"fast"`).

    Raises:
        ValueError: if there is no budget of that name.
    """
    name = name or os.environ.get("MAGNET_BUDGET") or FAST.name
    if name not in BUDGETS:
        raise ValueError(f"budget must be one of {', '.join(BUDGETS)}, got {name!r}")
    return BUDGETS[name]
