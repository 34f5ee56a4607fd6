"""Pictures painted pixel by pixel, not by matplotlib: they have to follow a slider.

A figure with 30 captions takes matplotlib longer than all networks together.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from magnet_helpers.panels.rows import Caption, ImageRow

# Colours that the colour-blind can tell apart. Each has a second cue: a sign, a frame, a word in the text, or a cross.
COLORS = {"right": "#0173b2", "wrong": "#b34700", "rejected": "#8a4f8f", "passed": "#555555", "refused": "#555555"}
_SIGNS = {"right": " ✓", "wrong": " ✗"}
_FRAMED = ("wrong", "rejected")

_ZOOM = 3  # screen pixels along an image's pixel
_GAP = 8
_LABEL_WIDTH = 140
_LINE_HEIGHT = 17
_FONT_SIZE = 13


@cache
def _font() -> ImageFont.FreeTypeFont:
    # matplotlib brings the font along: the same signs on every machine.
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(path), _FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)


def _caption_lines(row: ImageRow) -> int:
    return max(caption.text.count("\n") for caption in row.captions) + 1


def paint(rows: Mapping[str, ImageRow], title: str, note: str) -> Image.Image:
    """Return the picture: a line for the title, a line for each row's name, and a caption under each image.

    Args:
        rows: by name, from top to bottom; all with the same number of images.
        title: one or two lines above them.
        note: a line under them, on the right.
    """
    first = next(iter(rows.values())).images
    count, side = len(first), _ZOOM * first.shape[-1]
    heights = [side + _caption_lines(row) * _LINE_HEIGHT + _GAP for row in rows.values()]
    head = (title.count("\n") + 1) * _LINE_HEIGHT + _GAP
    size = (_LABEL_WIDTH + count * (side + _GAP), head + sum(heights) + _LINE_HEIGHT)
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    pen.text((_GAP, _GAP // 2), title, fill="black", font=_font())
    pen.text((size[0] - _GAP, size[1] - 2), note, fill=COLORS["passed"], font=_font(), anchor="rd")
    top = head
    for height, (name, row) in zip(heights, rows.items(), strict=True):
        lines = "\n".join(text for text in (name, row.remark, row.summary) if text)
        pen.text((_LABEL_WIDTH - _GAP, top), lines, fill="black", font=_font(), anchor="ra", align="right")
        pixels = (255 * row.images[:, 0].clamp(0, 1)).round().byte().numpy()
        large = np.repeat(np.repeat(pixels, _ZOOM, axis=1), _ZOOM, axis=2)
        for index, (tile, caption) in enumerate(zip(large, row.captions, strict=True)):
            _paint_image(picture, pen, (_LABEL_WIDTH + index * (side + _GAP), top), tile, caption)
        top += height
    return picture


def _paint_image(
    picture: Image.Image, pen: ImageDraw.ImageDraw, corner: tuple[int, int], tile: np.ndarray, caption: Caption
) -> None:
    (left, top), side = corner, len(tile)
    color = COLORS[caption.kind]
    if caption.kind == "refused":
        pen.rectangle((left, top, left + side - 1, top + side - 1), outline=color)
        pen.line((left, top, left + side - 1, top + side - 1), fill=color)
        pen.line((left, top + side - 1, left + side - 1, top), fill=color)
    else:
        picture.paste(Image.fromarray(tile), corner)
    if caption.kind in _FRAMED:
        pen.rectangle((left - 3, top - 3, left + side + 2, top + side + 2), outline=color, width=3)
    place = (left + side / 2, top + side + 3)
    pen.text(place, caption.text + _SIGNS.get(caption.kind, ""), fill=color, font=_font(), anchor="ma", align="center")
