"""Labeled images: what they look like, and where they come from."""

from magnet_helpers.data.images import TITLES, ImageData, LabeledImages, PairedImages
from magnet_helpers.data.loading import load_images
from magnet_helpers.data.mnist_files import DataError

__all__ = ["TITLES", "DataError", "ImageData", "LabeledImages", "PairedImages", "load_images"]
