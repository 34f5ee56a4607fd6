"""CUDA graphs without CUDA: an imitated graph runs nothing when recorded, and the recorded step when replayed."""

from contextlib import contextmanager

import pytest
import torch
from tiny import MemoryCheckpoint, equal, tiny_autoencoder, tiny_images, weights

from magnet_helpers import training
from magnet_helpers.fast import cuda_graphs
from magnet_helpers.fast.cuda_graphs import captured
from magnet_helpers.losses import DenoisingLoss
from magnet_helpers.training import TrainingConfig, fit

CPU = torch.device("cpu")


class ImitatedCuda:
    """The part of `torch.cuda` that the module uses, on the CPU."""

    def __init__(self):
        self.replays, self.generators, self.recording = 0, [], False

    def Stream(self):  # noqa: N802
        return self

    def current_stream(self):
        return self

    def wait_stream(self, stream):
        assert stream is self

    @contextmanager
    def stream(self, stream):
        yield

    def CUDAGraph(self):  # noqa: N802
        return self

    def register_generator_state(self, generator):
        self.generators.append(generator)

    @contextmanager
    def graph(self, graph, stream, capture_error_mode):
        assert capture_error_mode == "thread_local"
        self.recording = True
        yield
        self.recording = False

    def replay(self):
        self.replays += 1
        self.step(self.batch)


@pytest.fixture
def cuda(monkeypatch) -> ImitatedCuda:
    """Let every training be a graph."""
    imitated = ImitatedCuda()

    def recorded(step, state, batch, noise):
        imitated.step, imitated.batch = step, batch

        def one(some):
            if not imitated.recording:  # what is recorded is not carried out
                step(some)

        return captured(one, state, batch, noise)

    for name in ("Stream", "current_stream", "stream", "CUDAGraph", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(imitated, name))
    monkeypatch.setattr(training, "are_usable", lambda device: True)
    monkeypatch.setattr(training, "captured", recorded)
    return imitated


def train(config: TrainingConfig, checkpoint=None):
    model = tiny_autoencoder()
    history = fit(
        model, DenoisingLoss(0.3), tiny_images(50), tiny_images(8, 1), config, device=CPU, checkpoint=checkpoint
    )
    return weights(model), [(epoch.training_loss, epoch.validation_loss) for epoch in history.epochs]


CONFIG = TrainingConfig(epochs=3, batch_size=16, schedule="linear", learning_rate=0.01, seed=5)


def test_a_graph_trains_like_the_step_itself(monkeypatch, request):
    expected = train(CONFIG)
    cuda = request.getfixturevalue("cuda")
    found = train(CONFIG)
    # Not to the bit: a graph reads its step size as a float32.
    torch.testing.assert_close(found[0], expected[0], rtol=1e-4, atol=1e-5)
    assert found[1] == [pytest.approx(losses, rel=1e-5) for losses in expected[1]]
    assert cuda.replays == 9  # three whole batches in each epoch: the last two images go by themselves
    assert [type(each) for each in cuda.generators] == [torch.Generator]


def test_warming_up_leaves_no_trace_on_a_training_taken_up_again(cuda):
    expected, checkpoint = train(CONFIG), MemoryCheckpoint()
    model = tiny_autoencoder()
    with pytest.raises(KeyboardInterrupt):
        fit(
            model,
            StopsAt(DenoisingLoss(0.3), epoch=2),
            tiny_images(50),
            tiny_images(8, 1),
            CONFIG,
            device=CPU,
            checkpoint=checkpoint,
        )
    assert checkpoint.times == 1
    assert equal(train(CONFIG, checkpoint)[0], expected[0])


class StopsAt:
    """A loss that is interrupted after the validation of an epoch, told by the validation images that come along."""

    def __init__(self, loss, epoch):
        self.loss, self.epoch, self.validated = loss, epoch, 0

    def __call__(self, model, images, labels, generator):
        self.validated += not model.training
        if self.validated == self.epoch:
            raise KeyboardInterrupt
        return self.loss(model, images, labels, generator)


def test_fewer_images_than_a_batch_need_no_graph(cuda):
    train(TrainingConfig(epochs=1, batch_size=64))
    assert cuda.replays == 0


def test_only_cuda_has_graphs():
    assert [cuda_graphs.are_usable(torch.device(name)) for name in ("cpu", "mps", "cuda", "cuda:1")] == [
        False,
        False,
        True,
        True,
    ]
