"""Who switches the fast path on, for whom and for how long; and what happens where there is none."""

import copy
import hashlib
import pickle
import threading
from pathlib import Path

import pytest
import torch
from small_network import EVERYTHING, close, fast, plainly, small_autoencoder, small_images
from tiny import tiny_images

from magnet_helpers.attacks import FGSM
from magnet_helpers.attacks.base import _counted
from magnet_helpers.attacks.substitute import _slopes
from magnet_helpers.fast import cuda_graphs, primitives
from magnet_helpers.fast.switch import is_on, sooner
from magnet_helpers.inference import apply_model, predict
from magnet_helpers.losses import ClassificationLoss, ContractiveLoss, ReconstructionLoss
from magnet_helpers.models import ContractiveAutoencoder, ConvAutoencoder, ConvClassifier
from magnet_helpers.training import TrainingConfig, fit

CPU = torch.device("cpu")
DIGITS = tiny_images(4)
ONCE = TrainingConfig(1, 4, precision="float32")


def is_clean(model):
    return not any("forward" in vars(module) for module in model.modules())


def failing(model, images, labels, generator):
    model(images)
    raise KeyboardInterrupt


def train_in_vain(model):
    with pytest.raises(KeyboardInterrupt):
        fit(model, failing, DIGITS, DIGITS, ONCE, device=CPU)


USES = {
    "fit": lambda model: fit(model, ClassificationLoss(), DIGITS, DIGITS, ONCE, device=CPU),
    "fit, interrupted": train_in_vain,
    "apply_model": lambda model: apply_model(model, DIGITS.images),
    "predict": lambda model: predict(model, DIGITS.images),
    "attack": lambda model: FGSM(0.3).perturb(model, DIGITS.images, DIGITS.labels),
    "attack, counted": lambda model: FGSM(0.3).run(model, DIGITS.images, DIGITS.labels),
    "slopes of a substitute": lambda model: _slopes(model, DIGITS),
}


@pytest.mark.parametrize("use", USES)
def test_those_in_charge_switch_it_on_and_leave_nothing_behind(use, calls):
    model = ConvClassifier()
    keys = [set(vars(module)) for module in model.modules()]
    model(DIGITS.images)
    assert not calls
    USES[use](model)
    assert {"FirstLayer", "Pool"} <= set(calls)
    assert [set(vars(module)) for module in model.modules()] == keys
    calls.clear()
    model(DIGITS.images)
    assert not calls


def test_both_passes_of_a_training_are_fast(calls):
    fit(ConvAutoencoder(), ReconstructionLoss(), DIGITS, DIGITS, ONCE, device=CPU)
    assert calls == 3 * EVERYTHING  # a step, the validation, and whether it has collapsed
    calls.clear()
    fit(ContractiveAutoencoder(), ContractiveLoss(1e-3), DIGITS, DIGITS, ONCE, device=CPU)
    assert calls == 3 * EVERYTHING


def test_the_counting_of_passes_costs_no_speed(calls):
    model = small_autoencoder()
    with _counted(model) as passes:
        fast(model, small_images()).sum().backward()
    assert (passes.forward, passes.backward) == (3, 3)
    assert calls == EVERYTHING


def test_blocks_may_be_nested(calls):
    model = small_autoencoder()
    with sooner(model):
        with sooner(model.encoder), pytest.raises(KeyError), sooner(model):
            raise KeyError
        assert is_on(model.encoder)
        model(small_images())
        assert calls == EVERYTHING
    assert is_clean(model)


def test_a_block_is_for_its_thread_alone(calls):
    model, images = small_autoencoder(), small_images()
    expected, seen = plainly(model, images), []

    def look():
        seen.append((is_on(model.encoder), model(images)))

    with sooner(model):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert not calls
    assert not seen[0][0]
    assert torch.equal(seen[0][1], expected)


def test_threads_that_predict_and_read_at_once_get_what_they_asked_for():
    model, images = small_autoencoder().requires_grad_(False), small_images()
    plain, quick, wrong = plainly(model, images), fast(model, images), []
    close(plain, quick)

    def repeat(ask, expected):
        wrong.extend(number for number in range(200) if not torch.equal(ask(model, images), expected))

    asks = [(fast, quick), (fast, quick), (plainly, plain)]
    threads = [threading.Thread(target=repeat, args=ask) for ask in asks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert is_clean(model)


def test_another_network_in_a_block_stays_plain(calls):
    with sooner(small_autoencoder()):
        plainly(small_autoencoder(), small_images())
    assert not calls


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "copy": copy.copy,
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_that_is_made_in_a_block_is_a_network_of_its_own(name, calls):
    model = small_autoencoder()
    with sooner(model):
        twin = COPIES[name](model)
    if name != "copy":  # which shares the layers
        with torch.no_grad():
            twin.encoder[0].weight.zero_()
        assert not torch.equal(twin.encoder(small_images()), model.encoder(small_images()))
    assert not calls
    close(fast(twin, small_images()), plainly(twin, small_images()))
    assert calls == EVERYTHING


def test_saved_weights_are_the_same_in_a_block():
    model = small_autoencoder()
    before = list(model.state_dict()), str(model)
    with sooner(model):
        assert (list(model.state_dict()), str(model)) == before


def test_a_forward_that_is_set_in_a_block_stays():
    model = small_autoencoder()
    with sooner(model):
        model.encoder.forward = torch.zeros_like
    assert model.encoder(small_images()).eq(0).all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("error::torch.jit.TracerWarning")
@pytest.mark.parametrize("build", [ConvClassifier, ConvAutoencoder, ContractiveAutoencoder])
def test_networks_can_be_traced_and_exported(build):
    model, images = build().eval(), DIGITS.images
    fit(model, ReconstructionLoss() if build is not ConvClassifier else ClassificationLoss(), DIGITS, DIGITS, ONCE)
    with torch.no_grad():
        expected = model(images)
        torch.testing.assert_close(torch.jit.trace(model, images)(images), expected)
        program = torch.export.export(model, (images,))
        torch.testing.assert_close(program.module()(images), expected)
        with sooner(model):
            traced = torch.jit.trace(model, images)
        torch.testing.assert_close(traced(images), expected)
    names = {str(node.target) for node in program.graph.nodes}
    assert any("conv2d" in name for name in names)
    assert any("max_pool2d" in name for name in names)


# ---- where there is none


def test_it_can_be_switched_off(monkeypatch, calls):
    monkeypatch.setenv("MAGNET_FAST", "0")
    model = small_autoencoder()
    with sooner(model):
        assert is_clean(model)
        model(small_images())
    assert not calls
    assert not cuda_graphs.are_usable(torch.device("cuda"))


def test_the_loops_name_the_primitives_that_they_were_compiled_with():
    """numba keeps compiled loops until their own file changes: a change of the primitives has to change them too."""
    digest = hashlib.sha256(Path(primitives.__file__).read_bytes()).hexdigest()[:12]
    for name in ("first_layer", "later_layers"):
        text = Path(primitives.__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        assert f"sha256 {digest}" in text, f"write sha256 {digest} into {name}.py"
