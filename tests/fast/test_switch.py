"""Who switches the fast path on, for whom and for how long; and what happens where there is none."""

import copy
import hashlib
import pickle
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
import torch
from small_network import EVERYTHING, close, fast, plainly, small_autoencoder, small_images
from tiny import tiny_images

from magnet_helpers.attacks import FGSM
from magnet_helpers.attacks.base import _counted
from magnet_helpers.attacks.substitute import _slopes
from magnet_helpers.fast import cuda_graphs, first_layer, later_layers, loops, primitives
from magnet_helpers.fast.first_layer import FirstLayer
from magnet_helpers.fast.switch import is_on, sooner
from magnet_helpers.inference import apply_model, predict
from magnet_helpers.jacobian import codes_and_frobenius_squared
from magnet_helpers.losses import ClassificationLoss, ContractiveLoss, ReconstructionLoss
from magnet_helpers.models import ContractiveAutoencoder, ConvAutoencoder, ConvClassifier
from magnet_helpers.seeds import new_generator
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


WITHOUT = {
    "absent": ("import sys; sys.modules['numba'] = None", None),
    "broken": ("BROKEN = 'raise ImportError(\"wrong numpy\")'", "ImportError: wrong numpy"),
    "broken otherwise": ("BROKEN = 'raise SystemError(\"bad library\")'", "SystemError: bad library"),
    "without its library": ("BROKEN = 'import llvmlite_is_gone'", "ModuleNotFoundError: No module named"),
    "not compiling": ("import os; os.environ['NUMBA_DISABLE_JIT'] = '1'", None),
}

SCRIPT = """
BROKEN = None
{preparation}
import sys, warnings
if BROKEN:
    from pathlib import Path
    Path(sys.argv[1], "numba.py").write_text(BROKEN)
    sys.path.insert(0, sys.argv[1])
warnings.filterwarnings("ignore", category=DeprecationWarning)
import torch
from magnet_helpers.fast.switch import sooner
from magnet_helpers.inference import apply_model
from magnet_helpers.jacobian import jacobian_frobenius_squared
from magnet_helpers.models import ContractiveAutoencoder
model, images = ContractiveAutoencoder(), torch.rand(3, 1, 28, 28)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        outputs = apply_model(model, images)
    with torch.no_grad():
        assert torch.equal(outputs, model(images))
        norm = jacobian_frobenius_squared(model.encode, images[:1])
        again = jacobian_frobenius_squared(lambda images: model.encode(images), images[:1])
        torch.testing.assert_close(norm, again, rtol=1e-4, atol=0)
print(*[str(warning.message) for warning in caught if "numba" in str(warning.message)], sep="\\n")
"""


@pytest.mark.parametrize("case", WITHOUT)
def test_without_numba_everything_is_plain(case, tmp_path):
    preparation, message = WITHOUT[case]
    script = SCRIPT.format(preparation=preparation)
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    assert len(lines) == (message is not None), "said once, or not at all"
    assert message is None or message in lines[0]


class Broken:
    """A loop that numba cannot compile, or finds damaged on the disk."""

    def __call__(self, *_):
        raise pickle.UnpicklingError("pickle data was truncated\nand more")


LOOPS = ["pool", "pool_gradient", "last_layer", "last_layer_gradient", *FirstLayer._fields]


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("build", [ConvAutoencoder, ContractiveAutoencoder])
def test_a_loop_that_breaks_is_done_without(name, build, monkeypatch):
    monkeypatch.setattr(loops, "_given_up", False)
    model, images = build(), DIGITS.images.clone().requires_grad_()

    def gradients():
        if build is ContractiveAutoencoder:
            codes, norms = codes_and_frobenius_squared(model.encode, images, generator=new_generator(0, "directions"))
            return torch.autograd.grad(codes.sum() + norms.sum(), [images, *model.encoder.parameters()])
        return torch.autograd.grad(model(images).square().sum(), [images, *model.parameters()])

    expected = gradients()
    if name in FirstLayer._fields:
        sound = first_layer.first_layer
        monkeypatch.setattr(first_layer, "first_layer", lambda size: sound(size)._replace(**{name: Broken()}))
    else:
        monkeypatch.setattr(later_layers, name, Broken())
    with warnings.catch_warnings(record=True) as caught, sooner(model):
        warnings.simplefilter("always")
        for _ in range(2):
            torch.testing.assert_close(gradients(), expected, rtol=1e-3, atol=1e-5)
    said = [str(warning.message) for warning in caught if "numba" in str(warning.message)]
    uses = not (build is ConvAutoencoder and name == "along") and not (
        build is ContractiveAutoencoder and "last" in name
    )
    assert len(said) == uses, "said once, or not at all"
    assert all("UnpicklingError: pickle data was truncated" in text and "and more" not in text for text in said)


def test_damaged_files_of_compiled_loops_are_done_without(tmp_path):
    (tmp_path / "cache").mkdir()
    script = f"""
import os
os.environ["NUMBA_CACHE_DIR"] = {str(tmp_path / "cache")!r}
from magnet_helpers.fast import primitives
index, damaged = primitives.choose._cache._cache_file._index_path, b"garbage"
from pathlib import Path
Path(index).write_bytes(damaged)
""" + SCRIPT.format(preparation="")
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.strip().splitlines()
    assert "numba's loops do not run (" in line
    assert str(tmp_path / "cache") in line


def test_the_loops_name_the_primitives_that_they_were_compiled_with():
    """numba keeps compiled loops until their own file changes: a change of the primitives has to change them too."""
    digest = hashlib.sha256(Path(primitives.__file__).read_bytes()).hexdigest()[:12]
    for name in ("first_layer", "later_layers"):
        text = Path(primitives.__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        assert f"sha256 {digest}" in text, f"write sha256 {digest} into {name}.py"
