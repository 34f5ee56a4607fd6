"""What one setting shows: a picture, and the same in words."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from magnet_helpers.panels.painting import paint
from magnet_helpers.panels.rows import ImageRow


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
            said = ", ".join(caption.text.replace("\n", " ").replace("→ ", "") for caption in row.captions)
            told = "; ".join(
                text.replace("\n", ", " if text == row.summary else " ") for text in (row.remark, row.summary) if text
            )
            parts.append(f"{name} ({told}): {said}." if told else f"{name}: {said}.")
        return " ".join(parts)

    def picture(self) -> Image.Image:
        """Return the picture: a line for the setting, a line for each row's name, and a caption under each image."""
        return paint(self.rows, self.title, self.note)

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
