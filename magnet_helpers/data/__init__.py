"""Labeled images: what they look like, and where they come from."""

from magnet_helpers.data.images import DATASET_TITLES, ImageData, LabeledImages, PairedImages
from magnet_helpers.data.loading import load_images
from magnet_helpers.data.mnist_files import DataError

__all__ = ["DATASET_TITLES", "DataError", "ImageData", "LabeledImages", "PairedImages", "load_images"]
