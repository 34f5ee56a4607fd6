"""Networks attacked together, and the mean over random draws."""

import pytest
import torch
from tiny import steep_classifier, tiny_autoencoder, tiny_classifier
from torch import nn

from magnet_helpers.attacks import PGD, Ensemble, ExpectationOverTransformation
from magnet_helpers.inference import predict
from magnet_helpers.magnet import MagNet, RandomReformer

IMAGES = 0.5 + 0.1 * torch.randn(12, 1, 28, 28, generator=torch.Generator().manual_seed(0))
IMAGES = IMAGES.clamp(0, 1)


@pytest.fixture(scope="module")
def linear() -> nn.Module:
    return steep_classifier(10)


def test_the_mean_over_draws_is_that_of_the_probabilities(linear):
    pick = nn.Sequential(RandomReformer([nn.Identity(), tiny_autoencoder()], seed=3), linear)
    with torch.no_grad():
        got = ExpectationOverTransformation(pick, 1000)(IMAGES).softmax(dim=1)
        both = [linear(reformer(IMAGES)).softmax(dim=1) for reformer in pick[0].autoencoders]
    torch.testing.assert_close(got, (both[0] + both[1]) / 2, atol=0.05, rtol=0)
    assert (both[0] - both[1]).abs().max() > 0.3, "else a wrong mean would pass"


def test_several_networks_are_their_mean():
    models = [tiny_classifier(seed) for seed in range(3)]
    expected = torch.stack([model(IMAGES).softmax(dim=1) for model in models]).mean(dim=0)
    torch.testing.assert_close(Ensemble(models)(IMAGES).softmax(dim=1), expected)


def test_what_fools_all_fools_the_random_pick(linear):
    """Against a pick that turns images upside down or not, the mean over draws beats one draw."""

    class Flip(nn.Module):
        def forward(self, images):
            return images.flip(2)

    picked = MagNet(linear, RandomReformer([nn.Identity(), Flip()]), {}).reformed
    both = Ensemble([linear, nn.Sequential(Flip(), linear)])
    labels = predict(both, IMAGES)
    attack = PGD(0.15, "given", steps=30, step_size=0.02)
    fooled = {}
    for name, target in {"one": linear, "mean": ExpectationOverTransformation(picked, 8)}.items():
        images = attack.perturb(target, IMAGES, labels)
        fooled[name] = torch.stack([predict(picked, images) != labels for _ in range(8)]).float().mean().item()
    assert fooled["mean"] > fooled["one"]
