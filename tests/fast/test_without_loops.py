"""What happens where there is no numba, where it is broken, and where a loop breaks: PyTorch's own layers run."""

import pickle
import subprocess
import sys
import warnings

import pytest
import torch
from tiny import tiny_images

from magnet_helpers.fast import first_layer, later_layers, loops
from magnet_helpers.fast.first_layer import FirstLayer
from magnet_helpers.fast.switch import sooner
from magnet_helpers.jacobian import codes_and_frobenius_squared
from magnet_helpers.models import ContractiveAutoencoder, ConvAutoencoder
from magnet_helpers.seeds import new_generator

DIGITS = tiny_images(4)

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
