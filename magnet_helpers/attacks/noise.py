"""What any attack has to beat: noise, which does not even ask the model."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from magnet_helpers.attacks.base import Attack, check_inputs, set_epsilon
from magnet_helpers.contracts import set_counts
from magnet_helpers.inference import detached
from magnet_helpers.seeds import new_generator


@dataclass(frozen=True)
class RandomNoise(Attack):
    """Every pixel up or down by ε at random: what any attack has to beat.

    Args:
        epsilon: ε, in pixel units, in [0, 1].
        seed: of the signs.
    """

    epsilon: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        set_epsilon(self)
        set_counts(self, seed=0)

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the noisy images, as `Attack.perturb` does; the model is not asked."""
        check_inputs(model, images, labels)
        generator = new_generator(self.seed, "random noise")
        signs = torch.randint(0, 2, images.shape, generator=generator, device="cpu").mul(2).sub(1).float()
        return (detached(images) + self.epsilon * signs).clamp(0, 1)
