"""Several answers as one: the mean over a network's random draws, or over several networks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from magnet_helpers.contracts import as_count, warn_of_probabilities


class ExpectationOverTransformation(nn.Module):
    """A network that draws random numbers, as its mean over many draws: expectation over transformation.

    Its gradient is the one to follow against such a network (Athalye et al. 2018, "Synthesizing robust adversarial
    examples"). Returns the logarithm of the mean probability.

    Args:
        model: maps images to logits; another time to others.
        draws: at least 1.
    """

    def __init__(self, model: nn.Module, draws: int) -> None:
        super().__init__()
        self.model = model
        self.draws = as_count("draws", draws, least=1)
        self._is_new = True

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K)."""
        return _log_mean(self, [self.model(images) for _ in range(self.draws)])


class Ensemble(nn.Module):
    """Several networks as one, by their mean probability: what fools all of them may fool one that is not among them.

    For the attacker who trains autoencoders of his own (N. Carlini and D. Wagner, "MagNet and 'Efficient Defenses
    Against Adversarial Attacks' are Not Robust to Adversarial Examples", 2017).

    Args:
        models: at least one, each maps images to logits.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        if not models:
            raise ValueError("there must be at least one model, got none")
        self.models = nn.ModuleList(models)
        self._is_new = True

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K)."""
        return _log_mean(self, [model(images) for model in self.models])


def _log_mean(network: ExpectationOverTransformation | Ensemble, logits: Sequence[Tensor]) -> Tensor:
    if network._is_new and len(logits[0]):
        network._is_new = False  # once for each network is enough
        for outputs in logits:
            warn_of_probabilities(outputs, f"the mean of {type(network).__name__}")
    return torch.stack([output.log_softmax(dim=1) for output in logits]).logsumexp(dim=0)
