import dataclasses
import math
from contextlib import nullcontext

import pytest
import torch
from tiny import InterruptedLoss, MemoryCheckpoint, equal, tiny_autoencoder, tiny_classifier, tiny_images, weights
from torch.nn import functional as F

from magnet_helpers.losses import ClassificationLoss, DenoisingLoss, ReconstructionLoss
from magnet_helpers.models import ConvClassifier
from magnet_helpers.seeds import initial_weights_from, new_generator
from magnet_helpers.training import TrainingConfig, fit

CPU = torch.device("cpu")
TRAIN, VALIDATION = tiny_images(22), tiny_images(9, seed=1)
# 22 images: the last batch holds 6. What is compared number by number is trained in float32 everywhere.
CONFIG = TrainingConfig(epochs=3, batch_size=8, seed=5, precision="float32")
NOISY = DenoisingLoss(0.3)


def stop():
    raise KeyboardInterrupt


def trained(loss=NOISY, config=CONFIG, model=None, **keywords):
    model = model or tiny_autoencoder()
    history = fit(model, loss, TRAIN, VALIDATION, config, device=CPU, **keywords)
    return model, history


def losses(history):
    return [(epoch.training_loss, epoch.validation_loss) for epoch in history.epochs]


# ---- what a training does


def test_training_lowers_both_losses():
    _, history = trained(ReconstructionLoss(), TrainingConfig(epochs=5, batch_size=8, learning_rate=1e-2))
    for name in ("training_loss", "validation_loss"):
        values = [getattr(epoch, name) for epoch in history.epochs]
        assert values == sorted(values, reverse=True)
        assert values[-1] < 0.9 * values[0]


def test_training_teaches_the_papers_classifier():
    with initial_weights_from(0):
        model = ConvClassifier()
    images = tiny_images(40)
    history = fit(model, ClassificationLoss(), images, images, TrainingConfig(4, batch_size=10), device=CPU)
    assert math.isclose(history.epochs[0].training_loss, math.log(10), rel_tol=0.2)
    assert history.epochs[-1].validation_loss < 0.5


def test_history_has_one_record_per_epoch():
    model, history = trained()
    assert len(history.epochs) == CONFIG.epochs
    assert all(epoch.seconds > 0 for epoch in history.epochs)
    assert math.isclose(history.seconds, sum(epoch.seconds for epoch in history.epochs))
    assert not history.collapsed
    assert not model.training


@pytest.mark.parametrize("schedule", ["constant", "linear", "linear tail"])
def test_it_agrees_with_adam_written_out(schedule):
    """Kingma and Ba 2015, algorithm 1, with the same order and noise."""
    model = tiny_autoencoder()
    parameters = list(model.parameters())
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    step, means = 0, []
    for epoch in range(CONFIG.epochs):
        order = torch.randperm(22, generator=new_generator(5, f"order, epoch {epoch}"))
        noise = new_generator(5, f"noise, epoch {epoch}")
        total = 0.0
        for start in (0, 8, 16):
            images = TRAIN.images[order[start : start + 8]]
            noisy = (images + 0.3 * torch.randn(images.shape, generator=noise)).clamp(0, 1)
            loss = ((model(noisy) - images) ** 2).sum() / len(images)
            gradients = torch.autograd.grad(loss, parameters)
            done = (step + 0.5) / 9  # nine steps in all, each at its middle
            falling = {"linear": min(done / 0.1, (1 - done) / 0.9), "linear tail": min(1, (1 - done) / 0.25)}
            rate = 1e-3 * falling.get(schedule, 1)
            step += 1
            with torch.no_grad():
                for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
                    m.copy_(0.9 * m + 0.1 * g)
                    v.copy_(0.999 * v + 0.001 * g**2)
                    p -= rate * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-7)
            total += loss.item() * len(images)
        means.append(total / 22)
    ours, history = trained(config=dataclasses.replace(CONFIG, schedule=schedule))
    assert [epoch.training_loss for epoch in history.epochs] == pytest.approx(means, rel=1e-5)
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-4, atol=1e-6)


def test_it_agrees_with_pytorchs_plain_adam():
    model = tiny_autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2, (0.8, 0.99), 1e-5, fused=False, foreach=False)
    for epoch in range(2):
        order = torch.randperm(22, generator=new_generator(5, f"order, epoch {epoch}"))
        for batch in (order[:8], order[8:16], order[16:]):
            optimizer.zero_grad()
            F.mse_loss(model(TRAIN.images[batch]), TRAIN.images[batch]).mul(784).backward()
            optimizer.step()
    config = TrainingConfig(2, 8, learning_rate=1e-2, betas=(0.8, 0.99), adam_epsilon=1e-5, seed=5, precision="float32")
    ours, _ = trained(ReconstructionLoss(), config)
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_validation_loss_is_measured_on_all_images_with_the_same_noise(monkeypatch):
    monkeypatch.setattr("magnet_helpers.training._VALIDATION_BATCH_SIZE", 4)  # 9 images: 4, 4 and 1
    model, history = trained(config=dataclasses.replace(CONFIG, epochs=1))
    generator = new_generator(5, "validation noise")
    total = 0.0
    for images in VALIDATION.images.split(4):
        noisy = (images + 0.3 * torch.randn(images.shape, generator=generator)).clamp(0, 1)
        total += ((model(noisy) - images) ** 2).sum().item()
    assert history.epochs[0].validation_loss == pytest.approx(total / 9, rel=1e-5)
    still = TrainingConfig(epochs=3, batch_size=8, learning_rate=1e-30)
    _, history = trained(config=still)
    assert len({epoch.validation_loss for epoch in history.epochs}) == 1, "noise differs between epochs"
    assert len({epoch.training_loss for epoch in history.epochs}) == 3, "training noise does not"


def test_it_learns_in_training_mode_and_validates_in_evaluation_mode():
    seen = []

    def loss(model, images, labels, generator):
        seen.append((model.training, torch.is_grad_enabled(), len(images)))
        return ReconstructionLoss()(model, images, labels, generator)

    trained(loss, dataclasses.replace(CONFIG, epochs=2), model=tiny_autoencoder().eval())
    assert seen == [(True, True, 8), (True, True, 8), (True, True, 6), (False, False, 9)] * 2


def test_every_image_is_seen_once_per_epoch_in_a_new_order():
    seen = []

    def loss(model, images, labels, generator):
        seen.extend(images.sum(dim=(1, 2, 3)).tolist() if model.training else [])
        return ReconstructionLoss()(model, images, labels, generator)

    trained(loss, dataclasses.replace(CONFIG, epochs=2))
    everything = sorted(TRAIN.images.sum(dim=(1, 2, 3)).tolist())
    assert sorted(seen[:22]) == pytest.approx(everything)
    assert sorted(seen[22:]) == pytest.approx(everything)
    assert seen[:22] != seen[22:]


def test_labels_follow_their_images():
    label_of = {image.numpy().tobytes(): label for image, label in zip(TRAIN.images, TRAIN.labels, strict=True)}

    def loss(model, images, labels, generator):
        if model.training:
            assert all(label_of[image.numpy().tobytes()] == label for image, label in zip(images, labels, strict=True))
        return ClassificationLoss()(model, images, labels, generator)

    trained(loss, model=tiny_classifier())


@pytest.mark.parametrize("fails", [False, True])
def test_the_number_of_threads_holds_for_the_training_alone(fails):
    before, seen = torch.get_num_threads(), set()

    def loss(model, images, labels, generator):
        seen.add(torch.get_num_threads())
        if fails:
            raise KeyboardInterrupt
        return ReconstructionLoss()(model, images, labels, generator)

    for wanted, expected in ((before + 2, before + 2), (1, 1), (None, before)):
        seen.clear()
        config = dataclasses.replace(CONFIG, epochs=1, cpu_threads=wanted)
        with pytest.raises(KeyboardInterrupt) if fails else nullcontext():
            trained(loss, config)
        assert seen == {expected}
        assert torch.get_num_threads() == before


# ---- the same numbers again


def test_the_seed_decides_the_weights_bit_for_bit():
    runs = []
    for seed, global_seed in ((5, 1), (5, 2), (6, 1)):
        torch.manual_seed(global_seed)
        model, history = trained(config=dataclasses.replace(CONFIG, seed=seed))
        runs.append((weights(model), losses(history)))
    assert equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not equal(runs[0][0], runs[2][0])


def test_the_global_generator_is_left_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    trained(checkpoint=MemoryCheckpoint())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_finished_training_is_not_repeated():
    checkpoint = MemoryCheckpoint()
    model, history = trained(checkpoint=checkpoint)
    again, found = trained(InterruptedLoss(NOISY, 1, stop), model=tiny_autoencoder(9), checkpoint=checkpoint)
    assert equal(weights(again), weights(model))
    assert found == history
    assert not again.training
    assert checkpoint.times == CONFIG.epochs


def test_a_caller_without_gradients_trains_all_the_same():
    expected, _ = trained()
    with torch.no_grad():
        model, _ = trained()
        assert not torch.is_grad_enabled()
    assert equal(weights(model), weights(expected))
