import pytest
import torch
from tiny import tiny_classifier, tiny_images
from torch import nn

from magnet_helpers.attacks import FGSM, Transferred
from magnet_helpers.attacks import substitute as substitute_module
from magnet_helpers.attacks.substitute import _slopes, train_substitute
from magnet_helpers.data import LabeledImages
from magnet_helpers.inference import predict

IMAGES = tiny_images(40).images


class OnlyAnswers(nn.Module):
    """A model that gives no scores and no gradient, and counts what it is asked."""

    def __init__(self):
        super().__init__()
        self.model = tiny_classifier()
        with torch.no_grad():
            self.model[1].weight.mul_(30)
        self.asked = []

    def forward(self, images):
        self.asked.append(len(images))
        with torch.no_grad():
            return torch.nn.functional.one_hot(self.model(images).argmax(dim=1), 10).float()


def test_a_substitute_learns_the_answers_and_its_adversarial_images_transfer():
    victim = OnlyAnswers()
    substitute = train_substitute(victim, IMAGES, rounds=3, epochs=30, build=tiny_classifier)
    assert victim.asked == [40, 80, 160], "the images double each round"
    fresh = tiny_images(50, seed=9).images
    labels = predict(victim, fresh)
    assert (predict(substitute, fresh) == labels).float().mean() >= 0.75, "chance is 0.1"
    got = Transferred(FGSM(0.3, "given"), substitute, "a substitute").run(victim, fresh, labels)
    noise = (fresh + 0.3 * torch.randn(fresh.shape, generator=torch.Generator().manual_seed(0)).sign()).clamp(0, 1)
    assert got.success.float().mean() >= 0.5
    assert got.success.float().mean() > (predict(victim, noise) != labels).float().mean() + 0.2


def test_the_augmentation_by_hand(monkeypatch):
    pools = []
    plain = substitute_module.fit
    monkeypatch.setattr(
        substitute_module,
        "fit",
        lambda model, loss, train, *rest, **named: pools.append(train) or plain(model, loss, train, *rest, **named),
    )
    slopes = []
    true = substitute_module._slopes
    monkeypatch.setattr(substitute_module, "_slopes", lambda *args: slopes.append(true(*args)) or slopes[-1])
    victim = OnlyAnswers()
    train_substitute(victim, IMAGES, rounds=3, epochs=1, step=0.2, build=tiny_classifier)
    assert [len(pool) for pool in pools] == [40, 80, 160]
    assert torch.equal(pools[1].images[:40], IMAGES)
    assert torch.equal(pools[1].images[40:], (IMAGES + 0.2 * slopes[0].sign()).clamp(0, 1))
    assert torch.equal(pools[2].images[80:], (pools[1].images - 0.2 * slopes[1].sign()).clamp(0, 1)), "and back"
    for pool in pools:
        assert torch.equal(pool.labels, predict(victim, pool.images)), "labels are the model's answers"


def test_slopes_are_those_of_the_probability_of_the_answer():
    model = tiny_classifier().double()
    images = IMAGES[:4].double()
    labels = torch.tensor([3, 1, 4, 1])
    weight = model[1].weight.detach()
    shares = model(images).softmax(dim=1).detach()
    # ∂p_y/∂x = p_y (w_y − Σ_j p_j w_j)
    expected = shares.gather(1, labels[:, None]) * (weight[labels] - shares @ weight)
    got = _slopes(model.float(), LabeledImages(images.float(), labels))
    torch.testing.assert_close(got.flatten(1).double(), expected, rtol=1e-4, atol=1e-6)


def test_the_seed_fixes_it():
    first, again, other = (train_substitute(OnlyAnswers(), IMAGES, rounds=2, epochs=1, seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_the_seed_fixes_the_initial_weights_too(monkeypatch):
    monkeypatch.setattr(substitute_module, "fit", lambda *_, **__: None)
    first, other = (train_substitute(OnlyAnswers(), IMAGES, rounds=1, seed=seed) for seed in (0, 1))
    assert not any(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("images", "rounds", "message"),
    [(IMAGES, 0, "got 0 and 40"), (IMAGES[:1], 1, "got 1 and 1"), (2 * IMAGES, 1, r"must lie in \[0, 1\]")],
)
def test_what_is_refused(images, rounds, message):
    with pytest.raises(ValueError, match=message):
        train_substitute(OnlyAnswers(), images, rounds=rounds)
