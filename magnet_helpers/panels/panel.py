"""Controls, and a picture that follows them."""

import base64
import html
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets

from magnet_helpers.defenses import MAGNETS_OWN, NO_REFORMER, VANILLA, Defense, denoising
from magnet_helpers.detectors import DetectorSpec
from magnet_helpers.lab.lab import Lab
from magnet_helpers.panels.exploration import Exploration
from magnet_helpers.panels.explorers import (
    DENOISING,
    KNOWLEDGE,
    AttackExplorer,
    DetectorExplorer,
    NoiseExplorer,
)
from magnet_helpers.study.grid import DETECTORS, NOISE_LEVELS

_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_DENOISERS = (VANILLA, *(denoising(noise_std) for noise_std in NOISE_LEVELS[:4]))
_RATES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)


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
        menus = {name: control for name, control in self.controls.items() if isinstance(control, widgets.Dropdown)}
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
        return {**data, "text/plain": repr(self), _WIDGET_VIEW: view}, metadata


_WIDE = {"description_width": "initial"}


def _slider(text: str, highest: float, step: float, value: float) -> Any:
    return widgets.FloatSlider(
        value=value, min=0.0, max=highest, step=step, description=text, readout_format=".2f", style=_WIDE
    )


def _menu(text: str, options: Mapping[str, Any], value: Any) -> Any:
    layout = {"width": "max-content"}  # else long names are cut
    return widgets.Dropdown(options=list(options.items()), value=value, description=text, style=_WIDE, layout=layout)


def _reformer_menu(reformers: Sequence[Defense]) -> Any:
    if not reformers:
        raise ValueError("the menu needs at least one reformer, for example [denoising(0.4)], got none")
    return _menu("reformer", {reformer.label: reformer for reformer in reformers}, reformers[-1])


def noise_panel(lab: Lab, reformers: Sequence[Defense] = _DENOISERS) -> Panel:
    """Return `explore_noise` with a slider for the noise and a menu of reformers; it begins with the last one."""
    controls = {"noise_std": _slider("noise σ", 1.0, 0.05, 0.6), "reformer": _reformer_menu(reformers)}
    return Panel(NoiseExplorer(lab), controls)


def attack_panel(lab: Lab, reformers: Sequence[Defense] = (NO_REFORMER, VANILLA, DENOISING)) -> Panel:
    """Return `explore_attack` with a slider for ε and menus of the attacker's knowledge and of reformers."""
    controls = {
        "epsilon": _slider("FGSM ε", 0.5, 0.02, 0.3),
        "knowledge": _menu("attacker", {knowledge.label: knowledge for knowledge in KNOWLEDGE}, KNOWLEDGE[0]),
        "reformer": _reformer_menu(reformers),
    }
    return Panel(AttackExplorer(lab), controls)


def detector_panel(
    lab: Lab,
    detectors: Sequence[DetectorSpec] = DETECTORS,
    reformers: Sequence[Defense] = (NO_REFORMER, MAGNETS_OWN[0]),
) -> Panel:
    """Return `explore_detector` with sliders for ε and the false-positive rate and menus of detectors and reformers."""
    if not detectors:
        raise ValueError("the menu needs at least one detector, for example DETECTORS, got none")
    explorer = DetectorExplorer(lab)
    names = {explorer.detector(spec)[0].label: spec for spec in detectors}
    rates = [(f"{100 * rate:g} %", rate) for rate in _RATES]
    controls = {
        "epsilon": _slider("FGSM ε", 0.3, 0.01, 0.15),
        "false_positive_rate": widgets.SelectionSlider(options=rates, value=0.01, description="price", style=_WIDE),
        "detector": _menu("detector", names, detectors[-1]),
        "reformer": _reformer_menu(reformers),
    }
    return Panel(explorer, controls)
