"""Labeled images: what they look like, and where they come from."""

from magnet_helpers.data.dataset import DATASET_TITLES, ImageData, title_of
from magnet_helpers.data.errors import DataError, WrongFileError
from magnet_helpers.data.images import LabeledImages, PairedImages, check_labeled
from magnet_helpers.data.loading import can_be_loaded_again, load_images

__all__ = [
    "DATASET_TITLES",
    "DataError",
    "ImageData",
    "LabeledImages",
    "PairedImages",
    "WrongFileError",
    "can_be_loaded_again",
    "check_labeled",
    "load_images",
    "title_of",
]
