"""What is said of images: a caption under each, a summary of each row."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Kind = Literal["right", "wrong", "rejected", "passed", "refused"]


@dataclass(frozen=True)
class Caption:
    """What is said of one image.

    Attributes:
        text: a few characters for each line.
        kind: `"right"` and `"wrong"` are answers; `"rejected"` and `"passed"` are a detector's; `"refused"` is an image
            that gets no answer.
    """

    text: str
    kind: Kind


@dataclass(frozen=True)
class ImageRow:
    """A row of images.

    Attributes:
        images: in [0, 1], shape (N, 1, H, W).
        captions: N of them.
        remark: lines under the row's name.
    """

    images: Tensor
    captions: tuple[Caption, ...]
    remark: str = ""

    @property
    def summary(self) -> str:
        """How many answers are right, and how many images are refused; empty without answers."""
        counts = Counter(caption.kind for caption in self.captions)
        if not counts["right"] + counts["wrong"] + counts["refused"]:
            return ""
        lines = [
            f"{counts['right']} of {len(self.captions)} right",
            *([f"{counts['refused']} refused"] * (counts["refused"] > 0)),
        ]
        return "\n".join(lines)
