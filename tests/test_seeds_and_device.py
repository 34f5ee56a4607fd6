import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import equal, tiny_images, weights
from torch import nn

from magnet_helpers.device import (
    _multiplies_bfloat16,
    choose_device,
    device_of,
    full_precision,
    noise_device,
    place,
    precision_on,
    reduced_precision,
)
from magnet_helpers.models import ConvAutoencoder
from magnet_helpers.seeds import derived_seed, initial_weights_from, new_generator, read_seed

# ---- seeds


def test_derived_seeds_stay_what_they_are():
    """Were they to change, no stored number could be made again."""
    assert derived_seed(0, "initial weights") == 1_127_407_204_323_782_063
    assert derived_seed(7, "noise, epoch 3") == 3_546_454_041_755_835_862


def test_derived_seeds_depend_on_both_arguments():
    pairs = [(seed, purpose) for seed in (0, 1, 11, 2**40) for purpose in ("", "order", "1/order", "noise, epoch 1")]
    seeds = [derived_seed(*pair) for pair in pairs]
    assert len(set(seeds)) == len(pairs)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generators_are_independent_of_the_global_one_and_of_each_other():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = torch.rand(100, generator=new_generator(0, "noise"))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again, other = new_generator(0, "noise"), new_generator(0, "order")
    assert other.device.type == "cpu"
    mixed = [torch.rand(1, generator=again) for _ in range(100) if torch.rand(1, generator=other) >= 0]
    assert torch.equal(torch.cat(mixed), first)
    assert not torch.equal(torch.rand(100, generator=new_generator(1, "noise")), first)
    assert not torch.equal(torch.rand(100, generator=new_generator(0, "order")), first)


@pytest.mark.parametrize("fails", [False, True])
def test_initial_weights_leave_the_global_generator_as_it_was(fails):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    try:
        with initial_weights_from(0):
            nn.Linear(3, 3)
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert torch.equal(torch.get_rng_state(), state)


def test_initial_weights_follow_their_seed_alone():
    layers = []
    for seed, global_seed in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(global_seed)
        with initial_weights_from(seed):
            layers.append(weights(nn.Linear(3, 3)))
    assert equal(layers[0], layers[1])
    assert not equal(layers[0], layers[2])


def test_threads_do_not_draw_from_each_others_initial_weights():
    def build(seed):
        with initial_weights_from(seed):
            weights = []
            for _ in range(3):
                weights.append(torch.rand(2))
                time.sleep(0.01)
            return torch.cat(weights)

    expected = [build(seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(build, range(6)))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@given(st.text(max_size=8) | st.integers().map(str))
def test_a_written_seed_is_a_whole_number_or_refused_in_one_line(text):
    if text.isascii() and text.isdecimal():
        assert read_seed(text) == int(text) >= 0
    else:
        with pytest.raises(ValueError, match=r"\A[^\n]*0 or more, got [^\n]*\Z"):
            read_seed(text)


# ---- devices


@pytest.fixture
def machine(monkeypatch):
    """Return a function that says which devices the machine has and what `MAGNET_DEVICE` says."""

    def has(*, cuda=False, mps=False, wanted=None):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.delenv("MAGNET_DEVICE", raising=False)
        if wanted is not None:
            monkeypatch.setenv("MAGNET_DEVICE", wanted)

    return has


@pytest.mark.parametrize(
    ("cuda", "mps", "wanted", "expected"),
    [
        (False, False, None, "cpu"),
        (True, False, None, "cuda"),
        (False, True, None, "mps"),
        (True, True, None, "cuda"),
        (True, True, "mps", "mps"),
        (True, False, "cpu", "cpu"),
        (True, False, "cuda:1", "cuda:1"),
        (True, False, "", "cuda"),
    ],
)
def test_the_device(machine, cuda, mps, wanted, expected):
    machine(cuda=cuda, mps=mps, wanted=wanted)
    assert choose_device() == torch.device(expected)


@pytest.mark.parametrize(
    ("wanted", "cuda", "present"),
    [("cuda", False, "cpu"), ("mps", True, "cuda, cpu"), ("gpu", False, "cpu"), ("cpu0", False, "cpu")],
)
def test_a_device_that_is_not_there(machine, wanted, cuda, present):
    machine(cuda=cuda, wanted=wanted)
    with pytest.raises(ValueError, match=f"MAGNET_DEVICE must be one of {present} here, got '{wanted}'"):
        choose_device()


def test_a_gpu_that_is_one_too_many(machine):
    machine(cuda=True, wanted="cuda:2")
    with pytest.raises(ValueError, match=r"MAGNET_DEVICE must name one of the 2 GPUs .*'cuda:2'"):
        choose_device()


@pytest.mark.parametrize("wanted", ["cpu:x", "cpu:"])
def test_a_device_that_pytorch_does_not_know(machine, wanted):
    machine(wanted=wanted)
    with pytest.raises(ValueError, match=f"MAGNET_DEVICE .*'{wanted}'"):
        choose_device()


def test_the_device_of_a_model():
    assert device_of(nn.Linear(1, 1)) == torch.device("cpu")
    assert device_of(nn.Linear(1, 1, device="meta")) == torch.device("meta")
    assert device_of(nn.Identity()) == torch.device("cpu")


def test_placing_a_model_changes_its_layout_and_no_value():
    with initial_weights_from(0):
        model = ConvAutoencoder()
    images = tiny_images(3).images
    before, outputs = weights(model), model(images).detach()
    assert place(model, torch.device("cpu")) is model
    assert equal(weights(model), before)
    assert model.encoder[3].weight.is_contiguous(memory_format=torch.channels_last)
    assert not model.encoder[3].weight.is_contiguous()
    torch.testing.assert_close(model(images).detach(), outputs, rtol=1e-5, atol=1e-6)


def test_noise_is_drawn_on_the_cpu_but_for_cuda():
    drawn = {name: noise_device(torch.device(name)) for name in ("cpu", "mps", "cuda", "cuda:1")}
    assert {name: str(device) for name, device in drawn.items()} == {
        "cpu": "cpu",
        "mps": "cpu",
        "cuda": "cuda",
        "cuda:1": "cuda:1",
    }


# ---- precision


@pytest.mark.parametrize(("feature", "expected"), [("amx_bf16", True), ("avx512_bf16", True), ("avx512_f", False)])
def test_bfloat16_needs_instructions_of_its_own(monkeypatch, feature, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": False, feature: True})
    assert _multiplies_bfloat16() is expected


def test_an_older_pytorch_cannot_say(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert _multiplies_bfloat16() is False


@pytest.mark.parametrize(
    ("device", "precision", "in_hardware", "expected"),
    [
        ("cpu", "auto", True, torch.bfloat16),
        ("cpu", "auto", False, torch.float32),
        ("cpu", "float32", True, torch.float32),
        ("cpu", "bfloat16", False, torch.bfloat16),
    ],
)
def test_the_precision_of_products(monkeypatch, device, precision, in_hardware, expected):
    monkeypatch.setattr("magnet_helpers.device._multiplies_bfloat16", lambda: in_hardware)
    one = torch.ones(2, 2)
    assert precision_on(torch.device(device), precision) == str(expected).removeprefix("torch.")
    with reduced_precision(torch.device(device), precision):
        assert (one @ one).dtype == expected
    assert (one @ one).dtype == torch.float32


@pytest.mark.parametrize("device", ["cuda", "mps"])
@pytest.mark.filterwarnings("error")
def test_a_gpu_keeps_to_its_own_default(monkeypatch, device):
    monkeypatch.setattr("magnet_helpers.device._multiplies_bfloat16", lambda: True)
    with reduced_precision(torch.device(device), "auto"):
        assert not torch.is_autocast_enabled(device)


@pytest.mark.parametrize(("rounded", "name"), [(True, "tf32"), (False, "float32")])
def test_the_name_of_what_cuda_does(monkeypatch, rounded, name):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", rounded)
    assert precision_on(torch.device("cuda"), "auto") == name
    assert precision_on(torch.device("cuda"), "bfloat16") == "bfloat16"
    assert precision_on(torch.device("mps"), "auto") == "float32"


@pytest.mark.parametrize("before", [True, False])
def test_full_precision_puts_back_what_was(monkeypatch, before):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", before)

    def fail():
        assert not torch.backends.cudnn.allow_tf32
        raise KeyError

    with pytest.raises(KeyError), full_precision():
        fail()
    assert torch.backends.cudnn.allow_tf32 is before
