"""MagNet's detectors: which images they reject.

- `scores`: how far an image is from what an autoencoder makes of it
- `thresholds`: from which score on it is rejected
- `curves`: what a threshold costs and brings
"""

from magnet_helpers.detectors.curves import ROC, roc
from magnet_helpers.detectors.scores import (
    Detector,
    DetectorSpec,
    DivergenceDetector,
    ReconstructionDetector,
    jensen_shannon,
)
from magnet_helpers.detectors.thresholds import Threshold, UncertainRateWarning, choose_threshold

__all__ = [
    "ROC",
    "Detector",
    "DetectorSpec",
    "DivergenceDetector",
    "ReconstructionDetector",
    "Threshold",
    "UncertainRateWarning",
    "choose_threshold",
    "jensen_shannon",
    "roc",
]
