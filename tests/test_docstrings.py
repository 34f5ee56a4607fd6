import ast
import doctest
import importlib
import re
import warnings
from pathlib import Path

import pytest
import torch
from matplotlib import pyplot as plt

import magnet_helpers

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "magnet_helpers"
WITH_EXAMPLES = sorted(path for path in PACKAGE.rglob("*.py") if "    >>> " in path.read_text(encoding="utf-8"))
# Names that lessons use most; each shows how.
USED_MOST = """
show_figure plot_image_grid plot_accuracy_curves ReformedClassifier denoising stacked contractive new_generator
add_noise squared_error DenoisingLoss Accuracy choose_threshold ConvClassifier ConvAutoencoder StackedAutoencoder
predict apply_model is_constant jacobian_frobenius_squared sigmoid_layer_frobenius_squared FGSM evaluate_accuracy
LabeledImages TrainingConfig
"""
# What a lesson derives under the name of what contains it.
INSIDE = {"jensen_shannon": "DivergenceDetector"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_examples_say_the_truth(path):
    before = torch.random.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # PyTorch's own, about what its first forward-mode derivative imports.
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
        result = doctest.testmod(importlib.import_module(module_name(path)), optionflags=doctest.ELLIPSIS)
    torch.random.set_rng_state(before)
    plt.close("all")
    assert result.attempted
    assert not result.failed, "run `python -m pytest --doctest-modules` on this file to see what differs"


@pytest.mark.parametrize("name", USED_MOST.split())
def test_what_lessons_use_most_has_an_example(name):
    assert ">>> " in getattr(magnet_helpers, name).__doc__


def derived() -> list[tuple[str, str]]:
    """Return the name and the lesson of everything whose docstring says where it is derived."""
    pairs = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                said = " ".join((ast.get_docstring(node) or "").split())
                pairs += [(node.name, lesson) for lesson in re.findall(r"[Bb]y hand in lesson (\d\d)", said)]
    return sorted(pairs)


@pytest.mark.parametrize(("name", "lesson"), derived())
def test_where_it_is_derived_the_lesson_does_it_by_hand(name, lesson):
    (source,) = (ROOT / "notebooks" / "source").glob(f"{lesson}_*.py")
    text = source.read_text(encoding="utf-8")
    assert re.search(r"[Bb]y[ _]hand", text)
    assert re.search(rf"\b{INSIDE.get(name, name)}\b", text)


def test_each_lesson_that_derives_something_is_named():
    assert {lesson for _, lesson in derived()} >= {f"{lesson:02}" for lesson in range(10)}
