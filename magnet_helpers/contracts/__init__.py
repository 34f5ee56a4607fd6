"""What may come in and what must come out, asked here and nowhere assumed; what does not fit is refused in words.

So a network of one's own goes through defences, attacks and evaluation, and a wrong number does not.

- `networks`: what networks return
"""

from magnet_helpers.contracts.networks import check_classes, check_reformed

__all__ = ["check_classes", "check_reformed"]
