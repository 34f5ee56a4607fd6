"""The versions of the code of this package's own tasks: all that a number passes through counts, and nothing else."""

import ast
import dataclasses
import shutil
import sys
from pathlib import Path
from types import CodeType

import pytest
import torch

import magnet_helpers
from magnet_helpers.attacks import (
    DDN,
    FGSM,
    PGD,
    DetectorAwareCarliniWagner,
    DetectorAwarePGD,
    Knowledge,
    Square,
    Threat,
)
from magnet_helpers.data import load_images
from magnet_helpers.defenses import MAGNETS_OWN, NO_REFORMER, VANILLA, contractive, stacked
from magnet_helpers.detectors import DetectorSpec
from magnet_helpers.lab.budget import SMOKE
from magnet_helpers.lab.code_version import code_version, reached
from magnet_helpers.lab.measurements import Report
from magnet_helpers.lab.store import Artifact
from magnet_helpers.lab.tasks import _APART, with_needs
from magnet_helpers.lab.trainings import TrainingSpec, TrainingSpecs
from magnet_helpers.lab.trials import Trial
from magnet_helpers.magnet import MagNetSpec
from magnet_helpers.study.grid import GRID, VARIANTS
from magnet_helpers.study.plan import attack_study

PACKAGE = Path(magnet_helpers.__file__).parent
TINY = dataclasses.replace(SMOKE, classifier_images=64, autoencoder_images=64, validation_images=8, classifier_epochs=1)

SPECS = TrainingSpecs(TINY, 0)
REPORT = Report(VANILLA, SPECS.classifier(), SPECS.reformer(VANILLA), FGSM(), 8)
WHOLE = MagNetSpec("MagNet", MAGNETS_OWN[0], (DetectorSpec(MAGNETS_OWN[1], p=1),))


def trial(attack, knows=Knowledge.EVERYTHING):
    return Trial(WHOLE, Threat(attack, knows), 8, SPECS)


def version(task, root=None):
    return code_version(*task.entries, apart=_APART, root=root)


TASKS = [SPECS.classifier(), SPECS.reformer(contractive(1e-3)), REPORT, trial(PGD()), trial(DetectorAwarePGD())]
BY_TASK = pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.plural} {task.entries[1].__name__}")


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
    for task in TASKS:
        assert version(task, root) == version(task) == task.code


def test_a_training_on_the_test_images_is_another_training(tmp_path):
    edit = ("lab/trainings.py", "_at_most(self.images, data.train)", "_at_most(self.images, data.test)")
    root = copied(tmp_path, edit)
    for task in TASKS:
        assert version(task, root) != version(task), "all start from a training"


def test_moved_definitions_and_another_order_do_not_count(tmp_path):
    root = copied(tmp_path)
    folder = root / "magnet_helpers"
    (folder / "elsewhere.py").write_text((folder / "seeds.py").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "seeds.py").unlink()
    for path in folder.rglob("*.py"):
        path.write_text(path.read_text(encoding="utf-8").replace("magnet_helpers.seeds", "magnet_helpers.elsewhere"))
    for task in TASKS:
        assert version(task, root) == task.code


def test_what_names_defences_and_budgets_is_in_the_key_and_not_in_the_code(tmp_path):
    edits = [
        ("lab/budget.py", "denoising_epochs=20,", "denoising_epochs=21,"),
        (
            "defenses.py",
            "return ContractiveLoss(self.penalty_weight)",
            "return ContractiveLoss(2 * self.penalty_weight)",
        ),
        ("lab/trainings.py", "cpu_threads=1,  # several", "cpu_threads=2,  # several"),
    ]
    root = copied(tmp_path, *edits)
    for task in TASKS:
        assert version(task, root) == task.code


@pytest.mark.parametrize(
    "edit",
    [
        ("seeds.py", "hashlib.sha256(", "hashlib.sha512("),
        ("fast/primitives.py", "if number == types.uint16:", "if number == types.int16:"),
        ("training.py", "adam_epsilon: float = 1e-7", "adam_epsilon: float = 1e-8"),
        ("lab/trainings.py", '"stage inputs"', '"inputs of a stage"'),
        ("inference.py", "BATCH_SIZE = ", "BATCH_SIZE = 1 + "),
    ],
    ids=lambda edit: edit[0],
)
def test_what_a_training_passes_through_counts(tmp_path, edit):
    root = copied(tmp_path, edit)
    for task in TASKS:
        assert version(task, root) != task.code


@pytest.mark.parametrize(
    "edit",
    [
        ("evaluation.py", "white_box_images = attack.perturb(defended", "white_box_images = attack.perturb(classifier"),
        ("lab/measurements.py", "data.test.spread(self.images)\n        report", "data.train.first(9)\n        report"),
    ],
    ids=lambda edit: edit[0],
)
def test_what_a_report_passes_through_counts_for_reports_alone(tmp_path, edit):
    root = copied(tmp_path, edit)
    assert [version(task, root) != task.code for task in TASKS] == [False, False, True, False, False]


def test_a_change_of_one_loss_leaves_the_other_trainings(tmp_path):
    root = copied(tmp_path, ("losses.py", "return error + self.penalty_weight * norms.mean()", "return error"))
    assert version(SPECS.reformer(contractive(1e-3)), root) != SPECS.reformer(contractive(1e-3)).code
    assert version(SPECS.reformer(stacked(2, 0.4)), root) == SPECS.reformer(stacked(2, 0.4)).code


def test_a_change_of_one_attack_leaves_the_others(tmp_path):
    root = copied(tmp_path, ("attacks/adaptive.py", "GROWTH = 1.1", "GROWTH = 1.2"))
    for attack in (FGSM(), PGD(), DDN(), Square(), DetectorAwareCarliniWagner()):
        assert version(trial(attack), root) == trial(attack).code
    aware = trial(DetectorAwarePGD())
    assert version(aware, root) != aware.code
    before, after = (reached(*aware.entries, apart=_APART, root=place) for place in (None, root))
    # Its own definition names the constant, so both say that they are others.
    assert {name for name in before if before[name] != after[name]} == {
        "attacks.adaptive._GROWTH",
        "attacks.adaptive._reweighted",
    }


def test_keras_start_counts_for_the_networks_that_begin_so(tmp_path):
    root = copied(tmp_path, ("models.py", "xavier_uniform_(layer.weight)", "xavier_uniform_(layer.weight, gain=2)"))
    for defense in (VANILLA, contractive(1e-3), stacked(2, 0.4)):
        ours, keras = SPECS.reformer(defense), SPECS.reformer(defense.but(start="keras"))
        assert version(ours, root) == ours.code
        for spec in with_needs([keras]):
            assert version(spec, root) != spec.code


def test_what_only_names_settings_is_all_that_does_not_count():
    """What a task is made from and no key holds the code of; whatever else is found here belongs into `entries`."""
    defenses = {*GRID, *VARIANTS, *MAGNETS_OWN} - {NO_REFORMER}
    tasks = with_needs([*map(SPECS.reformer, defenses), *attack_study(SMOKE, 0), REPORT])
    counted = {name for task in tasks for name in reached(*task.entries, apart=_APART)}
    assert reached(*_APART).keys() - counted == {
        *("defenses.Defense", "defenses.Variant", "defenses.PAPERS_TEXT"),  # the key has the network and the loss
        *("defenses.NO_REFORMER", "defenses.denoising"),  # two of these by name
        *("defenses.Family", "defenses._SETTINGS", "defenses._BUILT"),  # what is refused makes no number
        "defenses._MAGNETS_NOISE",  # is in the loss, which is in the key
        *("lab.budget.Budget", "lab.budget.PAPER"),  # numbers, each in the key of the training that it is for
        "lab.trainings.TrainingSpecs",  # makes specs, and all of a spec is in its key
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


def inputs_of(task, data):
    """Return what a task needs: untrained networks, and the rest made of them."""
    inputs = {}
    for need in task.needs:
        if isinstance(need, TrainingSpec):
            inputs[need.key] = Artifact(dict(need.untrained().state_dict()), {})
        else:
            inputs[need.key] = need.run(inputs_of(need, data), data, torch.device("cpu"))
    return inputs


MORE = [SPECS.reformer(stacked(2, 0.4)), trial(FGSM(), Knowledge.OWN_AUTOENCODERS), trial(DDN(2), Knowledge.REFORMER)]


@pytest.mark.filterwarnings("ignore::magnet_helpers.training.CollapseWarning")
@pytest.mark.filterwarnings("ignore::magnet_helpers.detectors.UncertainRateWarning")
@pytest.mark.parametrize("task", [*TASKS, *MORE], ids=lambda task: f"{task.plural} {task.entries[1].__name__}")
def test_all_code_that_a_task_executes_counts(digits, task):
    made = executed(task.run, inputs_of(task, digits), digits, torch.device("cpu"))
    assert f"{type(task).__module__}.{type(task).__name__}".removeprefix("magnet_helpers.") in made
    counted = {name for part in with_needs([task]) for name in reached(*part.entries, apart=_APART)}
    # What is apart decides about settings, which are in the key, and the key itself makes no number.
    aside = (
        "defenses.",
        "lab.budget.",
        "lab.trainings.TrainingSpecs",
        "lab.code_version.",
        "lab.canonical.",
        "lab.store.",
    )
    assert {name for name in made if not name.startswith(aside)} <= counted
