"""The one place that imports the adversarial-robustness-toolbox (ART), which takes seconds.

As it is imported it sets up the logging of the whole process, and closes the files that the caller's handlers write to.
It goes without.
"""

import logging.config
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _logging_left_alone() -> Iterator[None]:
    before = logging.config.dictConfig
    logging.config.dictConfig = lambda config: None
    try:
        yield
    finally:
        logging.config.dictConfig = before


with _logging_left_alone():
    from art.attacks.evasion import HopSkipJump, SquareAttack, ZooAttack
    from art.estimators.classification import PyTorchClassifier

logging.getLogger("art").addHandler(logging.NullHandler())  # as ART's own setting would

__all__ = ["HopSkipJump", "PyTorchClassifier", "SquareAttack", "ZooAttack"]
