import dataclasses
import io
import re
from pathlib import Path

import ipywidgets as widgets
import nbformat
import pytest
import torch
from PIL import Image

from magnet_helpers.attacks import FGSM, Knowledge
from magnet_helpers.data import load_images
from magnet_helpers.defenses import MAGNETS_OWN, NO_REFORMER, VANILLA, ReformedClassifier, denoising
from magnet_helpers.detectors import choose_threshold
from magnet_helpers.inference import apply_model, predict
from magnet_helpers.lab.budget import SMOKE
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.store import Store
from magnet_helpers.losses import add_noise
from magnet_helpers.panels import (
    Caption,
    Exploration,
    ImageRow,
    Panel,
    attack_panel,
    detector_panel,
    explore_attack,
    explore_detector,
    explore_noise,
    noise_panel,
)
from magnet_helpers.panels.explorers import KNOWLEDGE
from magnet_helpers.panels.painting import COLORS
from magnet_helpers.panels.panel import _WIDGET_VIEW
from magnet_helpers.seeds import new_generator
from magnet_helpers.study.grid import DETECTORS
from tools.site.notebooks import Kernel, execute

TINY = dataclasses.replace(SMOKE, test_images=50)
DAE = denoising(0.4)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Lab:
    store = Store(tmp_path_factory.mktemp("panels") / "artifacts")
    return Lab(TINY, load_images("digits"), seed=0, store=store, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def five(lab):
    """The images of every panel: 0, 2, 4, 6 and 8."""
    test = lab.data.test
    return torch.stack([test.images[int((test.labels == digit).nonzero()[0])] for digit in (0, 2, 4, 6, 8)])


def answers(row: ImageRow) -> list[int]:
    return [int(caption.text.removeprefix("→ ")) for caption in row.captions]


def kinds(row: ImageRow) -> list[str]:
    return [caption.kind for caption in row.captions]


def judged(given: torch.Tensor) -> list[str]:
    return [
        "right" if answer == label else "wrong" for answer, label in zip(given.tolist(), (0, 2, 4, 6, 8), strict=True)
    ]


def pixels(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


# ---- what is computed


@pytest.mark.parametrize("noise_std", [0.0, 0.35, 0.9])
@pytest.mark.parametrize("reformer", [VANILLA, DAE])
def test_noise_and_answers_are_those_computed_apart(lab, five, noise_std, reformer):
    rows = explore_noise(lab, noise_std, reformer).rows
    z = torch.randn(five.shape, generator=new_generator(0, "explore noise"))
    noisy = (five + noise_std * z).clamp(0, 1)
    assert torch.allclose(rows["noisy"].images, noisy, atol=1e-6)
    reformed = apply_model(lab.reformer(reformer), rows["noisy"].images)
    assert torch.equal(rows["reformed"].images, reformed)
    for row, images in ((rows["noisy"], noisy), (rows["reformed"], reformed)):
        expected = predict(lab.classifier(), images)
        assert answers(row) == expected.tolist()
        assert kinds(row) == judged(expected)


def test_without_noise_the_images_are_clean(lab, five):
    assert torch.equal(explore_noise(lab, 0.0, DAE).rows["noisy"].images, five)
    assert torch.equal(add_noise(five, 0.0, new_generator(0, "any")), five)


@pytest.mark.parametrize("epsilon", [0.0, 0.02, 0.3, 1.0])
@pytest.mark.parametrize("reformer", [NO_REFORMER, DAE])
@pytest.mark.parametrize("knowledge", KNOWLEDGE)
def test_attacked_images_and_answers_are_those_of_fgsm_run_for_this_epsilon(lab, five, epsilon, reformer, knowledge):
    rows = explore_attack(lab, epsilon, knowledge, reformer).rows
    classifier = lab.classifier()
    network = torch.nn.Identity() if reformer == NO_REFORMER else lab.reformer(reformer)
    known = classifier if knowledge is Knowledge.CLASSIFIER else ReformedClassifier(network, classifier)
    attacked = FGSM(epsilon).perturb(known, five)
    assert torch.equal(rows["clean"].images, five)
    assert torch.allclose(rows["attacked"].images, attacked, atol=1e-6)
    reformed = apply_model(network, attacked)
    assert torch.allclose(rows["reformed"].images, reformed, atol=1e-4)
    for name, images in (("clean", five), ("attacked", attacked), ("reformed", reformed)):
        assert answers(rows[name]) == predict(classifier, images).tolist()


def test_grey_and_white_box_differ(lab):
    grey, white = (explore_attack(lab, 0.3, knowledge, DAE).rows["attacked"] for knowledge in KNOWLEDGE)
    assert not torch.equal(grey.images, white.images)


@pytest.mark.parametrize("spec", [DETECTORS[1], DETECTORS[2]])
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_scores_thresholds_and_refusals_are_those_computed_apart(lab, five, spec, rate):
    shown = explore_detector(lab, 0.1, rate, spec, MAGNETS_OWN[0])
    (detector,) = lab.detectors([spec])
    threshold = choose_threshold(apply_model(detector, lab.data.validation.images), rate)
    attacked = FGSM(0.1).perturb(lab.classifier(), five)
    for name, images in (("clean", five), ("attacked", attacked)):
        scores = apply_model(detector, images)
        above = (scores > threshold.value).tolist()
        assert kinds(shown.rows[name]) == ["rejected" if each else "passed" for each in above]
        said = [float(caption.text.split("\n")[0]) for caption in shown.rows[name].captions]
        assert said == pytest.approx(scores.tolist(), rel=0.01)
        assert shown.rows[name].remark == f"score, rejected\nabove {threshold.value:.3g}"
    given = predict(lab.classifier(), apply_model(lab.reformer(MAGNETS_OWN[0]), attacked))
    rejected = [caption.kind == "rejected" for caption in shown.rows["attacked"].captions]
    expected = ["refused" if no else kind for no, kind in zip(rejected, judged(given), strict=True)]
    assert kinds(shown.rows["reformed"]) == expected
    assert f"rejects {threshold.rejected} of {threshold.total:,} clean" in shown.title
    if rate == 1:
        assert expected == ["refused"] * 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda lab: explore_noise(lab, -0.1),
            "noise_std must be at least 0, in pixel units, got -0.1",
        ),
        (lambda lab: explore_noise(lab, float("nan")), "noise_std must be a finite number"),
        (lambda lab: explore_noise(lab, 0.1, "DAE"), r"for example denoising\(0.4\), got 'DAE'"),
        (lambda lab: explore_attack(lab, 1.5), r"epsilon must be in \[0, 1\], in pixel units, got 1.5"),
        (
            lambda lab: explore_attack(lab, 0.1, "black box"),
            "must be one of Knowledge: classifier or reformer, got 'black box'",
        ),
        (lambda lab: explore_detector(lab, 0.1, 2.0), r"false_positive_rate must be in \[0, 1\], got 2.0"),
        (lambda lab: explore_detector(lab, 0.1, 0.1, VANILLA), "one of DETECTORS, got Defense"),
        (lambda lab: noise_panel(lab, []), "the menu needs at least one reformer"),
        (lambda lab: attack_panel(lab, []), "the menu needs at least one reformer"),
        (lambda lab: detector_panel(lab, []), "the menu needs at least one detector"),
    ],
)
def test_wrong_values_are_named(lab, call, message):
    with pytest.raises(ValueError, match=message):
        call(lab)


# ---- the picture


def shown(images: torch.Tensor, *captions: Caption) -> Exploration:
    return Exploration("some_name", "two\nlines", {"row": ImageRow(images, captions)}, "a note")


def test_the_picture_holds_the_images_pixel_for_pixel():
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    picture = shown(images, Caption("→ 1", "right"), Caption("→ 2", "right")).picture()
    tile = (255 * images[1, 0]).round().byte()
    grey = torch.tensor(list(picture.convert("L").tobytes()), dtype=torch.uint8).reshape(picture.height, picture.width)
    left, top = 140 + 84 + 8, 2 * 17 + 8
    assert torch.equal(grey[top + 1 : top + 84 : 3, left + 1 : left + 84 : 3], tile)


def test_a_wrong_answer_differs_from_a_right_one_in_more_than_colour():
    images = torch.zeros(1, 1, 28, 28)
    right, wrong = (shown(images, Caption("→ 1", kind)).picture() for kind in ("right", "wrong"))
    assert shown(images, Caption("→ 1", "right")).rows["row"].summary == "1 of 1 right"
    assert right.convert("L").getpixel((140 - 2, 60)) == 255
    assert wrong.getpixel((140 - 2, 60)) == tuple(bytes.fromhex(COLORS["wrong"][1:]))


def test_the_text_for_those_who_cannot_see_it_says_what_the_picture_says(lab):
    exploration = explore_attack(lab, 0.3, Knowledge.REFORMER, DAE)
    assert exploration.alt.startswith("5 digits. FGSM, ε = 0.30, white box, reformer: DAE, noise 0.4.")
    for name, row in exploration.rows.items():
        assert f"{name} ({row.summary}): {', '.join(map(str, answers(row)))}." in exploration.alt


def test_a_plain_call_shows_itself_with_name_and_text(lab):
    data, metadata = explore_noise(lab, 0.3, DAE)._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert "noise_std" not in data["text/plain"]
    assert metadata["image/png"]["name"] == "explore_noise"
    assert len(metadata["image/png"]["alt"]) > 40


# ---- the panel, with nobody in front of it


def picture_of(panel: Panel) -> str:
    return panel.widget.children[1].value


@pytest.mark.filterwarnings("ignore::magnet_helpers.detectors.UncertainRateWarning")
@pytest.mark.parametrize(
    ("make", "explore"),
    [(noise_panel, explore_noise), (attack_panel, explore_attack), (detector_panel, explore_detector)],
)
def test_a_panel_shows_what_the_plain_call_shows_at_every_setting(lab, make, explore):
    panel = make(lab)
    seen = {picture_of(panel)}
    for name, control in panel.controls.items():
        options = [value for _, value in control.options] if hasattr(control, "options") else [0.05, 0.25]
        control.value = next(value for value in options if value != control.value)
        seen.add(picture_of(panel))
        plain = explore(lab, **{each: control.value for each, control in panel.controls.items()})
        assert panel.shown.alt == plain.alt, name
        assert panel.shown.png() == plain.png(), name
    assert len(seen) == 1 + len(panel.controls), "every change of a control changes the picture"


def test_the_panels_output_holds_the_widget_and_the_picture(lab):
    panel = noise_panel(lab, [DAE])
    data, metadata = panel._repr_mimebundle_()
    assert data[_WIDGET_VIEW]["model_id"] == panel.widget.model_id
    assert data["image/png"] == explore_noise(lab, 0.6, DAE).png()
    assert metadata["image/png"]["alt"] == panel.shown.alt
    assert data["text/plain"] == "Panel(noise_std, reformer): noise σ = 0.60, reformer: DAE, noise 0.4"
    assert f'alt="{panel.shown.alt}"' in picture_of(panel)


def test_what_the_menus_offer_is_computed_before_anybody_chooses():
    calls = []

    def explore(number: float, first: str, second: str) -> Exploration:
        calls.append((number, first, second))
        return shown(torch.zeros(1, 1, 28, 28), Caption(f"{number} {first}{second}", "passed"))

    menus = {name: widgets.Dropdown(options=[("A", "a"), ("B", "b")]) for name in ("first", "second")}
    panel = Panel(explore, {"number": widgets.FloatSlider(value=0.5), **menus})
    assert {(first, second) for _, first, second in calls} == {(a, b) for a in "ab" for b in "ab"}
    calls.clear()
    panel.controls["second"].value = "b"
    assert calls == [(0.5, "a", "b")]


def test_an_executed_notebook_keeps_the_picture_and_no_view_of_a_widget_that_is_gone(tmp_path):
    source = """
import ipywidgets, torch
from magnet_helpers.panels import Caption, Exploration, ImageRow, Panel
image = torch.zeros(1, 1, 28, 28)
slider = ipywidgets.FloatSlider(value=0.5)
explore = lambda x: Exploration("some_name", str(x), {"row": ImageRow(image, (Caption(str(x), "passed"),))}, "a note")
Panel(explore, {"x": slider})
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    execute(notebook, Kernel(tmp_path, {"PYTHONPATH": str(ROOT)}), lambda *_: None)
    (output,) = notebook.cells[0].outputs
    assert set(output.data) == {"image/png", "text/plain"}
    assert output.metadata["image/png"] == {"alt": "1 digit. 0.5. row: 0.5.", "name": "some_name"}
    assert "widgets" not in notebook.metadata
    assert not re.search("model_id|IPY_MODEL", nbformat.writes(notebook))
