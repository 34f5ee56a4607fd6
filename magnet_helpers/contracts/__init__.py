"""What may come in and what must come out, asked here and nowhere assumed; what does not fit is refused in words.

So a network of one's own goes through defences, attacks and evaluation, and a wrong number does not.

- `images`: pixels in [0, 1]
- `labels`: class numbers
- `networks`: logits, reconstructions and scores
- `settings`: numbers, counts, and words from a list
"""

from magnet_helpers.contracts.images import TooDarkWarning, are_finite, check_images, check_pixels, check_shape
from magnet_helpers.contracts.labels import check_alike, check_classes, check_from_zero, check_labels
from magnet_helpers.contracts.networks import (
    ProbabilitiesWarning,
    check_logits,
    check_reformed,
    check_rows,
    check_scores,
    explained,
    matched,
    warn_of_probabilities,
)
from magnet_helpers.contracts.settings import as_count, as_number, as_numbers, check_choice, set_counts, set_numbers

__all__ = [
    "ProbabilitiesWarning",
    "TooDarkWarning",
    "are_finite",
    "as_count",
    "as_number",
    "as_numbers",
    "check_alike",
    "check_choice",
    "check_classes",
    "check_from_zero",
    "check_images",
    "check_labels",
    "check_logits",
    "check_pixels",
    "check_reformed",
    "check_rows",
    "check_scores",
    "check_shape",
    "explained",
    "matched",
    "set_counts",
    "set_numbers",
    "warn_of_probabilities",
]
