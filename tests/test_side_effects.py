"""Whatever is asked of a network leaves everything as it was, and gives the same numbers in all circumstances."""

from contextlib import contextmanager, nullcontext
from itertools import product

import numpy as np
import pytest
import torch
from traces import bits, state, surroundings
from world import ENTRIES, World

ONLY_ASK = ("RandomNoise", "SPSA", "ZOO", "Square", "HopSkipJump", "train_substitute", "fit", "predict", "apply_model")
ONLY_ASK += ("detector", "evaluate_accuracy", "judge", "calibrated", "rejections", "n_classes_of")


@pytest.fixture(scope="module")
def expected():
    return {name: bits(call(World(name))) for name, call in ENTRIES.items()}


# ---- what a caller may bring along


def training(world):
    for network in world.networks:
        network.train()
    world.classifier[3].eval()
    world.reformer[2].eval()


def partly_frozen(world):
    world.classifier[2].weight.requires_grad_(False)
    world.reformer[1].bias.requires_grad_(False)


def gradients_present(world):
    for network in world.networks:
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, 3)
    world.images.requires_grad_()
    world.images.grad = torch.full_like(world.images, 2)


def inside_a_graph(world):
    world.images = (torch.cat([world.images, world.images]).requires_grad_() * 1)[:5]


def views(world):
    base = torch.zeros(28, 28, 5, 2)
    base[..., 0] = world.images[:, 0].permute(1, 2, 0)
    world.images = base[..., 0].permute(2, 0, 1)[:, None]


def images_of_inference(world):
    with torch.inference_mode():
        world.images, world.labels = world.images.clone(), world.labels.clone()
    world.test = type(world.test)(world.images, world.labels)


BROUGHT = [training, partly_frozen, gradients_present, inside_a_graph, views, images_of_inference]


# ---- what a caller may have set


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def default_device(name):
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


SET = {
    "nothing": nullcontext,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "another device": lambda: default_device("meta"),
    "more threads": threads,
    "numpy's errors": lambda: np.errstate(all="raise"),
}


def asked(name, world, circumstances, expected):
    """Return what is wrong with a call, in words."""
    with circumstances():
        before, around = state(world), surroundings()
        got = bits(ENTRIES[name](world))
        wrong = [key for key, value in surroundings().items() if value != around[key]]
    wrong += [key for key, value in state(world).items() if value != before.get(key)]
    return wrong + ["the numbers"] * (got != expected[name])


@pytest.mark.parametrize("bring", BROUGHT, ids=lambda bring: bring.__name__)
@pytest.mark.parametrize("name", ENTRIES)
def test_what_the_caller_brings_along_stays_and_changes_no_number(name, bring, expected):
    world = World(name)
    bring(world)
    assert not asked(name, world, nullcontext, expected)


# A loss is trained in the precision that its training sets: there autocast is wanted.
BOTH = [each for each in product(ENTRIES, SET) if each != ("random Jacobian", "autocast")]


@pytest.mark.parametrize(("name", "circumstances"), BOTH)
def test_what_the_caller_has_set_stays_and_changes_no_number(name, circumstances, expected):
    wrong = asked(name, World(name), SET[circumstances], expected)
    assert wrong in ([], ["the numbers"] * (circumstances == "more threads")), "more threads sum in another order"


@pytest.mark.parametrize("name", ENTRIES)
def test_weights_made_in_inference_mode_are_asked_or_refused_in_words(name, expected):
    with torch.inference_mode():
        world = World(name)
    before, around = state(world), surroundings()
    refusal = (
        r"Inference tensors cannot be saved|whose weights were made in torch.inference_mode\(\): make them outside"
    )
    with pytest.raises((ValueError, RuntimeError), match=refusal) if not name.startswith(ONLY_ASK) else nullcontext():
        assert bits(ENTRIES[name](world)) == expected[name]
    assert state(world) == before
    assert surroundings() == around


@pytest.mark.parametrize(("call", "error"), [(1, RuntimeError), (3, KeyboardInterrupt)])
@pytest.mark.parametrize("name", ENTRIES)
def test_an_error_on_the_way_leaves_nothing_behind(name, call, error):
    world = World(name)
    training(world)
    partly_frozen(world)
    before, around, calls = state(world), surroundings(), []

    def fail():
        calls.append(1)
        if len(calls) == call:
            raise error("on the way")

    world.watched.hook = fail
    try:
        ENTRIES[name](world)
        assert len(calls) < call
    except error as caught:
        assert "on the way" in str(caught)  # noqa: PT017
    assert state(world) == before
    assert surroundings() == around
