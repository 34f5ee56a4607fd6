"""Two threads with one network, what a library may not touch, and devices that this machine need not have."""

import subprocess
import sys
import threading
import warnings
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from test_side_effects import partly_frozen, training
from tiny import tiny_classifier, tiny_images
from traces import state, surroundings
from world import World

from magnet_helpers.attacks import FGSM, PGD, SPSA, ZOO, CarliniWagner, Square, base
from magnet_helpers.device import full_precision, plain_circumstances
from magnet_helpers.fast.switch import sooner
from magnet_helpers.inference import apply_model, frozen, predict
from magnet_helpers.jacobian import jacobian_frobenius_squared
from magnet_helpers.seeds import global_numbers, initial_weights_from

CPU = torch.device("cpu")

# ---- two threads


def run(attack):
    def call(world):
        got = attack.run(world.classifier, world.images, world.labels)
        return got.adversarial, torch.tensor([got.forward_passes, got.backward_passes])

    return call


CALLS = {
    "FGSM": run(FGSM(0.2, "given")),
    "Carlini & Wagner": run(CarliniWagner(iterations=3, searches=1, first_c=10)),
    "PGD": run(PGD(0.2, "given", steps=2, restarts=2)),
    "SPSA": run(SPSA(0.2, steps=2, samples=4)),
    "ZOO": run(ZOO(iterations=2, searches=1, pixels=16)),
    "Square": run(Square(0.2, queries=8)),
    "predict": lambda world: (apply_model(world.classifier, world.images), predict(world.classifier, world.images)),
}


@pytest.mark.parametrize("second", CALLS)
@pytest.mark.parametrize("first", CALLS)
def test_a_call_in_the_middle_of_another_changes_neither(first, second):
    """The second runs as a whole, or begins and has to wait, while the first is in the network."""
    expected = [CALLS[first](World()), CALLS[second](World())]
    world, got, calls = World(), {}, []
    training(world)
    partly_frozen(world)
    before, around = state(world), surroundings()
    done = threading.Event()

    def other():
        got["second"] = CALLS[second](world)
        done.set()

    thread, own = threading.Thread(target=other), threading.get_ident()

    def in_the_middle():
        calls.append(threading.get_ident())
        if calls.count(own) == 3 and thread.ident is None:
            thread.start()
            done.wait(0.2)

    world.watched.hook = in_the_middle
    got["first"] = CALLS[first](world)
    if thread.ident is None:
        thread.start()
    thread.join()
    world.watched.hook = None
    for ours, alone in zip((got["first"], got["second"]), expected, strict=True):
        assert all(torch.equal(*pair) for pair in zip(ours, alone, strict=True))
    assert state(world) == before
    assert surroundings() == around


def test_a_network_stays_frozen_until_the_last_block_ends():
    world = World()
    training(world)
    partly_frozen(world)
    before = state(world)
    first, second = frozen(world.magnet), frozen(world.classifier)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not any(module.training for module in world.classifier.modules())
    assert not any(parameter.requires_grad for parameter in world.classifier.parameters())
    assert world.reformer.training
    second.__exit__(None, None, None)
    assert state(world) == before


@pytest.mark.parametrize("context", [full_precision, base._quietly, lambda: plain_circumstances(CPU)])
def test_the_last_thread_puts_back_what_the_first_one_found(context, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    torch.set_default_dtype(torch.float64)
    try:
        before = surroundings()
        first, second = context(), context()
        threads = [threading.Thread(target=step) for step in (first.__enter__, second.__enter__)]
        threads += [
            threading.Thread(target=step, args=(None, None, None)) for step in (first.__exit__, second.__exit__)
        ]
        for number, thread in enumerate(threads):
            thread.start()
            thread.join()
            inside = surroundings()
            assert inside["cudnn"] == before["cudnn"] or number < 3
        assert surroundings() == before
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_thread_in_the_fast_path_changes_no_number_of_another():
    world = World("exact Jacobian")
    expected = jacobian_frobenius_squared(world.encoder.encode, world.images[:2])
    with ExitStack() as stack:
        thread = threading.Thread(target=lambda: stack.enter_context(sooner(world.encoder)))
        thread.start()
        thread.join()
        assert "forward" in vars(world.encoder.encoder)
        assert torch.equal(jacobian_frobenius_squared(world.encoder.encode, world.images[:2]), expected)
        leaving = threading.Thread(target=stack.pop_all().close)
        leaving.start()
        leaving.join()


# ---- devices


class StaysWhereItIs(torch.nn.Sequential):
    """Refuses to be moved: it may be on a device that a library does not know."""

    def _apply(self, function, recurse=True):
        raise AssertionError("it was moved")


@pytest.mark.parametrize("attack", [ZOO(iterations=1, searches=1, pixels=8), Square(0.2, queries=3)])
def test_arts_attacks_move_no_network(attack):
    model = StaysWhereItIs(*tiny_classifier())
    images = tiny_images(3).images
    assert attack.perturb(model, images, predict(model, images)).shape == images.shape


class Numbers:
    """Stands in for the random numbers of a device."""

    def __init__(self):
        self.state, self.log = "as it was", []

    def get(self):
        return self.state

    def put(self, state):
        self.state = state

    def seed(self, seed):
        self.state = f"from {seed}"
        self.log.append(seed)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_random_numbers_of_all_devices_come_back(kind, monkeypatch):
    numbers, all_ = Numbers(), "_all" if kind == "cuda" else ""
    for name, function in (
        ("get_rng_state", numbers.get),
        ("set_rng_state", numbers.put),
        ("manual_seed", numbers.seed),
    ):
        monkeypatch.setattr(getattr(torch, kind), name + all_, function)
    there = (torch.cuda, "is_initialized") if kind == "cuda" else (torch.backends.mps, "is_available")
    monkeypatch.setattr(*there, lambda: True)
    with global_numbers(7):
        assert numbers.state == "from 7"
        numbers.state = "drawn from"
    assert numbers.state == "as it was"
    with global_numbers():
        assert numbers.state == "as it was"
        numbers.state = "drawn from"
    assert (numbers.state, numbers.log) == ("as it was", [7])


def test_a_gpu_that_is_not_in_use_is_not_seeded(monkeypatch):
    """PyTorch would remember the seed for it until it is."""
    queued, model, images = [], tiny_classifier(), tiny_images(3).images
    monkeypatch.setattr(torch.cuda, "manual_seed_all", queued.append)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    SPSA(0.1, steps=1, samples=2).perturb(model, images, predict(model, images))
    with initial_weights_from(3):
        torch.nn.Linear(2, 2)
    assert not queued


# ---- libraries


LOGGING = """
import logging, pathlib, sys
import torch
from magnet_helpers.attacks import ZOO
log = logging.getLogger("tests")
log.addHandler(handler := logging.FileHandler(sys.argv[1], mode="w"))
log.setLevel(logging.WARNING)
log.warning("before")
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
ZOO(iterations=1, searches=1, pixels=2).perturb(model, torch.rand(1, 1, 4, 4), torch.tensor([0]))
log.warning("after")
assert (log.level, log.handlers) == (logging.WARNING, [handler]), (log.level, log.handlers)
print(pathlib.Path(sys.argv[1]).read_text().split())
"""


def test_the_callers_log_goes_on(tmp_path):
    command = [sys.executable, "-c", LOGGING, tmp_path / "log"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "['before', 'after']", done.stderr


def test_warnings_of_the_callers_network_are_the_callers():
    class Warns(torch.nn.Module):
        def forward(self, images):
            warnings.warn("of the caller's network", stacklevel=1)
            return images.flatten(1)[:, :10]

    with pytest.warns(UserWarning, match="of the caller's network"):
        FGSM(0.1).perturb(Warns(), tiny_images(3).images)


def test_numpys_and_pythons_numbers_are_no_others_after_an_attack():
    import random

    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    expected = (np.random.rand(), random.random())  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    model, images = tiny_classifier(), tiny_images(3).images
    Square(0.1, queries=3).perturb(model, images, predict(model, images))
    assert (np.random.rand(), random.random()) == expected  # noqa: NPY002
