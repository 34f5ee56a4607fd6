"""Panels: a few digits, a slider, a menu, and what the networks answer to each setting.

An *explorer* computes what one setting shows, an `Exploration`: rows of images with a caption under each. It is a
picture by itself, so a plain call (`explore_noise`, `explore_attack`, `explore_detector`) needs no widgets. A `Panel`
calls the same explorer whenever a control moves. Where no widgets can be shown, the panel is its first picture.
"""

from magnet_helpers.panels.exploration import Exploration
from magnet_helpers.panels.explorers import explore_attack, explore_detector, explore_noise
from magnet_helpers.panels.panel import Panel, attack_panel, detector_panel, noise_panel
from magnet_helpers.panels.rows import Caption, ImageRow

__all__ = [
    "Caption",
    "Exploration",
    "ImageRow",
    "Panel",
    "attack_panel",
    "detector_panel",
    "explore_attack",
    "explore_detector",
    "explore_noise",
    "noise_panel",
]
