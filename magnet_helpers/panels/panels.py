"""Panels: a few digits, a slider, a menu, and what the networks answer to each setting.

An *explorer* computes what one setting shows, an `Exploration`: rows of images with a verdict under each. It is a
picture by itself, so a plain call (`explore_noise`, `explore_attack`, `explore_detector`) needs no widgets. A `Panel`
calls the same explorer whenever a control moves. Where no widgets can be shown, the panel is its first picture.

The pictures are painted pixel by pixel, not by matplotlib: a figure with 30 captions takes it longer than all networks
together, and a panel has to answer while the slider moves.
"""

import base64
import html
import io
import itertools
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import ipywidgets as widgets
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from magnet_helpers.attacks import FGSM
from magnet_helpers.defenses import MAGNETS_OWN, NO_REFORMER, VANILLA, Defense, ReformedClassifier, denoising
from magnet_helpers.detectors import Detector, DetectorSpec, choose_threshold
from magnet_helpers.inference import apply_model, predict
from magnet_helpers.lab.lab import Lab
from magnet_helpers.losses import add_noise
from magnet_helpers.seeds import new_generator
from magnet_helpers.study.grid import DETECTORS, NOISE_LEVELS

Judgment = Literal["rejected", "passed"]
Knowledge = Literal["grey box", "white box"]
KNOWLEDGE: tuple[Knowledge, ...] = ("grey box", "white box")
DENOISING = denoising(0.4)
DENOISERS = (VANILLA, *(denoising(noise_std) for noise_std in NOISE_LEVELS[:4]))
RATES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

COUNT = 5  # images: few enough that each change is answered at once on two cores
ZOOM = 3  # screen pixels along an image's pixel
GAP = 8
LABEL_WIDTH = 140
LINE_HEIGHT = 17
FONT_SIZE = 13


@dataclass(frozen=True)
class Caption:
    """What is said of one image.

    Attributes:
        text: a few characters for each line.
        kind: `"right"` and `"wrong"` are answers; `"rejected"` and `"passed"` are a detector's; `"refused"` is an image
            that gets no answer.
    """

    text: str
    kind: Literal["right", "wrong", "rejected", "passed", "refused"]


# Colours that the colour-blind can tell apart. Each has a second cue: a sign, a frame, a word in the text, or a cross.
COLORS = {"right": "#0173b2", "wrong": "#b34700", "rejected": "#8a4f8f", "passed": "#555555", "refused": "#555555"}
SIGNS = {"right": " ✓", "wrong": " ✗"}
FRAMED = ("wrong", "rejected")


@dataclass(frozen=True)
class ImageRow:
    """A row of images.

    Attributes:
        images: in [0, 1], shape (N, 1, H, W).
        verdicts: N of them.
        remark: lines under the row's name.
    """

    images: Tensor
    verdicts: tuple[Caption, ...]
    remark: str = ""

    @property
    def summary(self) -> str:
        """How many answers are right, and how many images are refused; empty without answers."""
        counts = Counter(verdict.kind for verdict in self.verdicts)
        if not counts["right"] + counts["wrong"] + counts["refused"]:
            return ""
        lines = [
            f"{counts['right']} of {len(self.verdicts)} right",
            *([f"{counts['refused']} refused"] * (counts["refused"] > 0)),
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Exploration:
    """What one setting shows. As the last line of a notebook's cell it is a picture with its alternative text.

    Attributes:
        name: of the picture's file in `build/figures/`, without the ending.
        title: the setting in words, in one or two lines.
        rows: by name, from top to bottom; all of the same N.
        note: what the numbers were made with.
    """

    name: str
    title: str
    rows: Mapping[str, ImageRow] = field(repr=False)
    note: str = field(repr=False)

    @property
    def alt(self) -> str:
        """What the picture says, for a reader who cannot see it."""
        title = self.title.replace("\n", ", ")
        count = len(next(iter(self.rows.values())).images)
        parts = [f"{count} digit{'s' * (count != 1)}. {title}."]
        for name, row in self.rows.items():
            said = ", ".join(verdict.text.replace("\n", " ").replace("→ ", "") for verdict in row.verdicts)
            told = "; ".join(
                text.replace("\n", ", " if text == row.summary else " ") for text in (row.remark, row.summary) if text
            )
            parts.append(f"{name} ({told}): {said}." if told else f"{name}: {said}.")
        return " ".join(parts)

    def picture(self) -> Image.Image:
        """Return the picture: a line for the setting, a line for each row's name, and a verdict under each image."""
        return _paint(self)

    def png(self) -> bytes:
        """Return the picture as a PNG file."""
        buffer = io.BytesIO()
        self.picture().save(buffer, format="png", compress_level=1)  # the levels above are slow and hardly smaller
        return buffer.getvalue()

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        described = {"alt": self.alt, "name": self.name}
        return {"image/png": self.png(), "text/plain": repr(self)}, {"image/png": described}


@cache
def _font() -> ImageFont.FreeTypeFont:
    # matplotlib brings the font along: the same signs on every machine.
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(path), FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)


def _caption_lines(row: ImageRow) -> int:
    return max(verdict.text.count("\n") for verdict in row.verdicts) + 1


def _paint(shown: Exploration) -> Image.Image:
    first = next(iter(shown.rows.values())).images
    count, side = len(first), ZOOM * first.shape[-1]
    heights = [side + _caption_lines(row) * LINE_HEIGHT + GAP for row in shown.rows.values()]
    head = (shown.title.count("\n") + 1) * LINE_HEIGHT + GAP
    size = (LABEL_WIDTH + count * (side + GAP), head + sum(heights) + LINE_HEIGHT)
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    pen.text((GAP, GAP // 2), shown.title, fill="black", font=_font())
    pen.text((size[0] - GAP, size[1] - 2), shown.note, fill=COLORS["passed"], font=_font(), anchor="rd")
    top = head
    for height, (name, row) in zip(heights, shown.rows.items(), strict=True):
        lines = "\n".join(text for text in (name, row.remark, row.summary) if text)
        pen.text((LABEL_WIDTH - GAP, top), lines, fill="black", font=_font(), anchor="ra", align="right")
        pixels = (255 * row.images[:, 0].clamp(0, 1)).round().byte().numpy()
        large = np.repeat(np.repeat(pixels, ZOOM, axis=1), ZOOM, axis=2)
        for index, (tile, verdict) in enumerate(zip(large, row.verdicts, strict=True)):
            _paint_image(picture, pen, (LABEL_WIDTH + index * (side + GAP), top), tile, verdict)
        top += height
    return picture


def _paint_image(
    picture: Image.Image, pen: ImageDraw.ImageDraw, corner: tuple[int, int], tile: np.ndarray, verdict: Caption
) -> None:
    (left, top), side = corner, len(tile)
    color = COLORS[verdict.kind]
    if verdict.kind == "refused":
        pen.rectangle((left, top, left + side - 1, top + side - 1), outline=color)
        pen.line((left, top, left + side - 1, top + side - 1), fill=color)
        pen.line((left, top + side - 1, left + side - 1, top), fill=color)
    else:
        picture.paste(Image.fromarray(tile), corner)
    if verdict.kind in FRAMED:
        pen.rectangle((left - 3, top - 3, left + side + 2, top + side + 2), outline=color, width=3)
    place = (left + side / 2, top + side + 3)
    pen.text(place, verdict.text + SIGNS.get(verdict.kind, ""), fill=color, font=_font(), anchor="ma", align="center")


class Explorer(ABC):
    """Computes what a setting shows, for the first test image of some digits; looks up each network once.

    Args:
        lab: gives the images and the trained networks.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.classifier = lab.classifier()
        examples = lab.examples.spread(COUNT)
        self.images, self.labels = examples.images, examples.labels
        self.note = lab.note_for(len(self.images))
        self._reformers: dict[Defense, nn.Module] = {NO_REFORMER: nn.Identity()}

    @abstractmethod
    def __call__(self, *args: Any, **settings: Any) -> Exploration:
        """Return what these settings show."""

    def reformer(self, defense: Defense) -> nn.Module:
        """Return the trained reformer of a defence; of `NO_REFORMER`, what changes nothing."""
        if not isinstance(defense, Defense):
            raise ValueError(f"reformer must be a defence, for example denoising(0.4), got {defense!r}")
        if defense not in self._reformers:
            self._reformers[defense] = self.lab.reformer(defense)
        return self._reformers[defense]

    def answered(self, images: Tensor) -> ImageRow:
        """Return the images with the classifier's answers."""
        answers = predict(self.classifier, images).tolist()
        pairs = zip(answers, self.labels.tolist(), strict=True)
        return ImageRow(
            images,
            tuple(Caption(f"→ {theirs}", "right" if theirs == label else "wrong") for theirs, label in pairs),
        )


class _NoiseExplorer(Explorer):
    def __call__(self, noise_std: float, reformer: Defense) -> Exploration:
        if not 0 <= noise_std < float("inf"):
            raise ValueError(f"noise_std must be a finite number, 0 or more, in pixel units, got {noise_std}")
        noisy = add_noise(self.images, noise_std, new_generator(self.lab.seed, "explore noise"))
        reformed = apply_model(self.reformer(reformer), noisy)
        rows = {"noisy": self.answered(noisy), "reformed": self.answered(reformed)}
        return Exploration("explore_noise", f"noise σ = {noise_std:.2f}\nreformer: {reformer.label}", rows, self.note)


class _FGSMExplorer(Explorer):
    """What explorers of FGSM have in common: for all ε, they follow the gradient once."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self._signs: dict[Defense, Tensor] = {}

    def attacked(self, epsilon: float, attacked: Defense) -> Tensor:
        """Return FGSM's images, made on reformer and classifier.

        The gradient is that at the clean image, whatever ε is: so its sign is taken once, where it moves a pixel.
        """
        FGSM(epsilon)  # refuses what is no ε
        if attacked not in self._signs:
            network = ReformedClassifier(self.reformer(attacked), self.classifier)
            self._signs[attacked] = (FGSM(1.0).perturb(network, self.images) - self.images).sign()
        return (self.images + epsilon * self._signs[attacked]).clamp(0, 1)


class _AttackExplorer(_FGSMExplorer):
    def __call__(self, epsilon: float, knowledge: Knowledge, reformer: Defense) -> Exploration:
        if knowledge not in KNOWLEDGE:
            raise ValueError(f'knowledge must be "grey box" or "white box", got {knowledge!r}')
        network = self.reformer(reformer)
        attacked = self.attacked(epsilon, reformer if knowledge == "white box" else NO_REFORMER)
        images = {"clean": self.images, "attacked": attacked, "reformed": apply_model(network, attacked)}
        title = f"FGSM, ε = {epsilon:.2f}, {knowledge}\nreformer: {reformer.label}"
        rows = {name: self.answered(theirs) for name, theirs in images.items()}
        return Exploration("explore_attack", title, rows, self.note)


class _DetectorExplorer(_FGSMExplorer):
    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self._detectors: dict[DetectorSpec, tuple[Detector, Tensor, Tensor]] = {}

    def detector(self, spec: DetectorSpec) -> tuple[Detector, Tensor, Tensor]:
        """Return a detector, its scores of the clean validation images, and those of the clean digits."""
        if not isinstance(spec, DetectorSpec):
            raise ValueError(f"detector must be a spec, for example one of DETECTORS, got {spec!r}")
        if spec not in self._detectors:
            (detector,) = self.lab.detectors([spec])
            validation = apply_model(detector, self.lab.data.validation.images)
            self._detectors[spec] = detector, validation, apply_model(detector, self.images)
        return self._detectors[spec]

    def __call__(
        self, epsilon: float, false_positive_rate: float, detector: DetectorSpec, reformer: Defense
    ) -> Exploration:
        scorer, validation_scores, clean_scores = self.detector(detector)
        threshold = choose_threshold(validation_scores, false_positive_rate)
        attacked = self.attacked(epsilon, NO_REFORMER)

        def judged(images: Tensor, scores: Tensor) -> ImageRow:
            kinds: list[Judgment] = ["rejected" if score > threshold.value else "passed" for score in scores.tolist()]
            verdicts = [
                Caption(f"{score:.3g}\n{kind}", kind) for score, kind in zip(scores.tolist(), kinds, strict=True)
            ]
            return ImageRow(images, tuple(verdicts), f"score, rejected\nabove {threshold.value:.3g}")

        rows = {"clean": judged(self.images, clean_scores), "attacked": judged(attacked, apply_model(scorer, attacked))}
        answers = self.answered(apply_model(self.reformer(reformer), attacked))
        pairs = zip(rows["attacked"].verdicts, answers.verdicts, strict=True)
        refused = Caption("no answer", "refused")
        verdicts = tuple(refused if judgment.kind == "rejected" else answer for judgment, answer in pairs)
        rows["reformed"] = ImageRow(answers.images, verdicts)
        title = (
            f"FGSM, ε = {epsilon:.2f}; reformer: {reformer.label}; detector: {scorer.label}\n"
            f"rejects {threshold.rejected} of {threshold.total:,} clean validation images"
        )
        return Exploration("explore_detector", title, rows, self.note)


def explore_noise(lab: Lab, noise_std: float = 0.6, reformer: Defense = DENOISING) -> Exploration:
    """Return digits with noise, x̃ = clip(x + σz, 0, 1), and reformed, with the classifier's answers.

    z is the same for every σ, so that nothing but σ changes.

    Args:
        lab: gives the images and the trained networks; what is not there yet, it trains.
        noise_std: σ, in pixel units, 0 or more.
        reformer: whose reformer it is; `NO_REFORMER` changes nothing.

    Raises:
        ValueError: if the noise is negative or no number, or the reformer is no `Defense`.
    """
    return _NoiseExplorer(lab)(noise_std, reformer)


def explore_attack(
    lab: Lab, epsilon: float = 0.3, knowledge: Knowledge = "grey box", reformer: Defense = DENOISING
) -> Exploration:
    """Return digits: clean, after FGSM, and then reformed, with the classifier's answers.

    Args:
        lab: gives the images and the trained networks; what is not there yet, it trains.
        epsilon: ε, the largest change of a pixel, in [0, 1].
        knowledge: `"grey box"`: the gradient is the classifier's; `"white box"`: it goes through the reformer as well.
        reformer: whose reformer it is; `NO_REFORMER` changes nothing.

    Raises:
        ValueError: if ε or the knowledge is another, or the reformer is no `Defense`.
    """
    return _AttackExplorer(lab)(epsilon, knowledge, reformer)


def explore_detector(
    lab: Lab,
    epsilon: float = 0.15,
    false_positive_rate: float = 0.01,
    detector: DetectorSpec = DETECTORS[1],
    reformer: Defense = MAGNETS_OWN[0],
) -> Exploration:
    """Return digits: clean and after FGSM with a detector's scores, and what the defence answers.

    FGSM is made on the classifier alone. An image whose score is above the threshold is refused.

    Args:
        lab: gives the images and the trained networks; what is not there yet, it trains.
        epsilon: ε, the largest change of a pixel, in [0, 1].
        false_positive_rate: share of clean validation images that may be rejected, in [0, 1] (`choose_threshold`).
        detector: which one.
        reformer: whose reformer it is; `NO_REFORMER`: the detector alone.

    Raises:
        ValueError: if ε or the rate is outside [0, 1], the detector is no `DetectorSpec`, or the reformer is no
            `Defense`.
    """
    return _DetectorExplorer(lab)(epsilon, false_positive_rate, detector, reformer)


class Panel:
    """Controls, and a picture that follows them. As the last line of a cell it shows itself.

    Where widgets cannot be shown (a notebook on a web page, a printed one), the same output holds the picture as it
    was. `controls` are ipywidgets: to set one's `value` from code moves it, too.

    Args:
        explore: takes one value from each control, by name.
        controls: by the name of the argument that each one sets. What the menus offer (`Dropdown`, its options pairs of
            text and value) is computed once at the start, each with each: no change waits for a network to be trained
            or loaded.

    Attributes:
        shown: what the picture shows now.
        widget: everything, as one ipywidget.
    """

    shown: Exploration

    def __init__(self, explore: Callable[..., Exploration], controls: Mapping[str, Any]) -> None:
        self.explore, self.controls = explore, dict(controls)
        self._picture = widgets.HTML()
        self._warm_up()
        self._follow()
        for control in self.controls.values():
            control.observe(self._follow, names="value")
        bar = widgets.HBox(list(self.controls.values()), layout={"flex_flow": "row wrap"})
        self.widget = widgets.VBox([bar, self._picture])

    def _settings(self) -> dict[str, Any]:
        return {name: control.value for name, control in self.controls.items()}

    def _warm_up(self) -> None:
        menus = {name: each for name, each in self.controls.items() if isinstance(each, widgets.Dropdown)}
        for choice in itertools.product(*([value for _, value in menu.options] for menu in menus.values())):
            self.explore(**{**self._settings(), **dict(zip(menus, choice, strict=True))})

    def _follow(self, _change: object = None) -> None:
        self.shown = self.explore(**self._settings())
        # An <img> in HTML has a text for readers who cannot see it; ipywidgets' Image has none.
        source = base64.b64encode(self.shown.png()).decode()
        look = "max-width: 100%; height: auto"
        alt = html.escape(self.shown.alt)
        self._picture.value = f'<img src="data:image/png;base64,{source}" alt="{alt}" style="{look}">'

    def __repr__(self) -> str:
        title = self.shown.title.replace("\n", ", ")
        return f"Panel({', '.join(self.controls)}): {title}"

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = self.shown._repr_mimebundle_()
        # Written out: how a widget shows itself differs between ipywidgets 7 and 8.
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return {**data, "text/plain": repr(self), WIDGET_VIEW: view}, metadata


WIDE = {"description_width": "initial"}


def _slider(text: str, highest: float, step: float, value: float) -> Any:
    return widgets.FloatSlider(
        value=value, min=0.0, max=highest, step=step, description=text, readout_format=".2f", style=WIDE
    )


def _menu(text: str, options: Mapping[str, Any], value: Any) -> Any:
    layout = {"width": "max-content"}  # else long names are cut
    return widgets.Dropdown(options=list(options.items()), value=value, description=text, style=WIDE, layout=layout)


def _reformer_menu(reformers: Sequence[Defense]) -> Any:
    if not reformers:
        raise ValueError("the menu needs at least one reformer, for example [denoising(0.4)], got none")
    return _menu("reformer", {each.label: each for each in reformers}, reformers[-1])


def noise_panel(lab: Lab, reformers: Sequence[Defense] = DENOISERS) -> Panel:
    """Return `explore_noise` with a slider for the noise and a menu of reformers; it begins with the last one."""
    controls = {"noise_std": _slider("noise σ", 1.0, 0.05, 0.6), "reformer": _reformer_menu(reformers)}
    return Panel(_NoiseExplorer(lab), controls)


def attack_panel(lab: Lab, reformers: Sequence[Defense] = (NO_REFORMER, VANILLA, DENOISING)) -> Panel:
    """Return `explore_attack` with a slider for ε and menus of the attacker's knowledge and of reformers."""
    controls = {
        "epsilon": _slider("FGSM ε", 0.5, 0.02, 0.3),
        "knowledge": _menu("attacker", {each: each for each in KNOWLEDGE}, KNOWLEDGE[0]),
        "reformer": _reformer_menu(reformers),
    }
    return Panel(_AttackExplorer(lab), controls)


def detector_panel(
    lab: Lab,
    detectors: Sequence[DetectorSpec] = DETECTORS,
    reformers: Sequence[Defense] = (NO_REFORMER, MAGNETS_OWN[0]),
) -> Panel:
    """Return `explore_detector` with sliders for ε and the false-positive rate and menus of detectors and reformers."""
    if not detectors:
        raise ValueError("the menu needs at least one detector, for example DETECTORS, got none")
    explorer = _DetectorExplorer(lab)
    names = {explorer.detector(spec)[0].label: spec for spec in detectors}
    rates = [(f"{100 * rate:g} %", rate) for rate in RATES]
    controls = {
        "epsilon": _slider("FGSM ε", 0.3, 0.01, 0.15),
        "false_positive_rate": widgets.SelectionSlider(options=rates, value=0.01, description="price", style=WIDE),
        "detector": _menu("detector", names, detectors[-1]),
        "reformer": _reformer_menu(reformers),
    }
    return Panel(explorer, controls)
