"""The hash of this package's own code: what a training and an attack execute counts, and other attacks do not."""

import ast
import dataclasses
import shutil
import sys
from pathlib import Path
from types import CodeType

import pytest
import torch

import magnet_helpers
from magnet_helpers.attacks import DDN, FGSM, PGD, DetectorAwarePGD
from magnet_helpers.data import LabeledImages, load_images
from magnet_helpers.defenses import contractive, stacked
from magnet_helpers.detectors import ReconstructionDetector
from magnet_helpers.inference import predict
from magnet_helpers.lab.budget import SMOKE
from magnet_helpers.lab.code_version import code_version, reached
from magnet_helpers.lab.trainings import TrainingSpecs
from magnet_helpers.lab.work import train_network
from magnet_helpers.magnet import MagNet
from magnet_helpers.models import ConvClassifier, MagNetAutoencoder2
from magnet_helpers.study import trials

PACKAGE = Path(magnet_helpers.__file__).parent
TINY = dataclasses.replace(SMOKE, classifier_images=64, autoencoder_images=64, validation_images=8, classifier_epochs=1)

TRAINING = ("lab.work:train_network", "data.loading:load_images")
TRIAL = ("study.trials:_attack", "magnet:MagNet")
EVALUATION = ("lab.work:evaluate_cell", "lab.work:attack_classifier")


def copied(folder: Path, *edits: tuple[str, str, str]) -> Path:
    """Copy this package to `folder/magnet_helpers`, with some texts replaced: (file, old, new)."""
    shutil.copytree(PACKAGE, folder / "magnet_helpers", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for name, old, new in edits:
        path = folder / "magnet_helpers" / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}"
        path.write_text(text.replace(old, new), encoding="utf-8")
    return folder


def test_layout_comments_and_quotes_of_the_whole_package_do_not_count(tmp_path):
    root = copied(tmp_path)
    for path in (root / "magnet_helpers").rglob("*.py"):
        path.write_text(ast.unparse(ast.parse(path.read_text(encoding="utf-8"))), encoding="utf-8")
    for entries in (TRAINING, TRIAL, EVALUATION):
        assert code_version(*entries, root=root) == code_version(*entries)


def test_a_training_on_the_test_images_is_another_training(tmp_path):
    edit = ("lab/work.py", "_at_most(spec.images, data.train)", "_at_most(spec.images, data.test)")
    root = copied(tmp_path, edit)
    assert code_version(*TRAINING, root=root) != code_version(*TRAINING)
    assert code_version(*EVALUATION, root=root) == code_version(*EVALUATION)


@pytest.mark.parametrize(
    "edit",
    [
        ("seeds.py", "hashlib.sha256(", "hashlib.sha512("),
        ("fast/kernels.py", "if number == types.uint16:", "if number == types.int16:"),
        ("training.py", "adam_epsilon: float = 1e-7", "adam_epsilon: float = 1e-8"),
        ("lab/trainings.py", '"stage inputs"', '"inputs of a stage"'),
        ("inference.py", "BATCH_SIZE = ", "BATCH_SIZE = 1 + "),
    ],
    ids=lambda edit: edit[0],
)
def test_what_a_training_passes_through_counts(tmp_path, edit):
    assert code_version(*TRAINING, root=copied(tmp_path, edit)) != code_version(*TRAINING)


def test_a_change_of_one_attack_leaves_the_others(tmp_path):
    root = copied(tmp_path, ("attacks/adaptive.py", "GROWTH = 1.1", "GROWTH = 1.2"))
    for attack in ("FGSM", "PGD", "DDN", "Square", "DetectorAwareCarliniWagner"):
        assert code_version(*TRIAL, f"attacks:{attack}", root=root) == code_version(*TRIAL, f"attacks:{attack}")
    aware = (*TRIAL, "attacks:DetectorAwarePGD")
    assert code_version(*aware, root=root) != code_version(*aware)
    before, after = reached(*aware), reached(*aware, root=root)
    # Its own definition names the constant, so both say that they are others.
    assert {name for name in before if before[name] != after[name]} == {
        "attacks.adaptive.GROWTH",
        "attacks.adaptive._reweighted",
    }


def executed(function, *arguments) -> set[str]:
    """Return the definitions of this package, as `reached` names them, whose code runs in a call."""
    codes: set[CodeType] = set()

    def note(frame, event, _argument):
        if event == "call":
            codes.add(frame.f_code)

    function(*arguments)  # compiles the fast loops, which takes minutes while it is watched
    sys.setprofile(note)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    names = set()
    for code in codes:
        path, name = Path(code.co_filename), code.co_qualname.split(".")[0]
        if path.is_relative_to(PACKAGE) and not name.startswith("<"):
            module = [part for part in path.relative_to(PACKAGE).with_suffix("").parts if part != "__init__"]
            names.add(".".join([*module, name]))
    return names


@pytest.fixture(scope="module")
def digits():
    return load_images("digits")


@pytest.mark.filterwarnings("ignore::magnet_helpers.training.CollapseWarning")
@pytest.mark.parametrize("kind", ["classifier", "stack", "contractive"])
def test_all_code_that_a_training_executes_counts(digits, kind):
    specs = TrainingSpecs(TINY, 0)
    defense = {"stack": stacked(2, 0.4), "contractive": contractive(1e-3)}.get(kind)
    spec = specs.classifier() if defense is None else specs.reformer(defense)
    parents = [parent.untrained() for parent in spec.parents]
    made = executed(train_network, spec, parents, digits, torch.device("cpu"))
    assert made > {"training.fit", "lab.work.train_network"}
    assert made <= set(reached(*TRAINING, spec.build, type(spec.loss)))


@pytest.mark.parametrize(
    "attack", [FGSM(0.3), PGD(0.3, steps=2), DDN(2), DetectorAwarePGD(0.3, "given", steps=2)], ids=str
)
def test_all_code_that_an_attack_executes_counts(digits, attack):
    detector = ReconstructionDetector(MagNetAutoencoder2(), p=1)
    torch.manual_seed(0)
    magnet = MagNet.calibrated(
        ConvClassifier().eval(), MagNetAutoencoder2(), [detector], digits.validation.images, 0.01
    )
    images = digits.test.images[:8]
    test = LabeledImages(images, predict(magnet, images))  # right answers, else there is nothing to attack
    target = magnet if isinstance(attack, DetectorAwarePGD) else magnet.reformed
    made = executed(trials._attack, trials.Threat("", attack, "reformer"), target, test)
    made |= executed(magnet.judge, images, test.labels)
    entries = {type(attack), *(type(part) for part in magnet.modules())}
    assert f"{type(attack).__module__}.{type(attack).__name__}".removeprefix("magnet_helpers.") in made
    assert made <= set(reached(*TRIAL, *entries))
