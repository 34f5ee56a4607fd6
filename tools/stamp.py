"""Gives kept rows today's key, after a change that has been shown to change no number.

A row's key is a hash of all that its number follows from, the code included (`lab.code_version`). Code may change and
leave every number as it is: a renamed variable, another order of the same steps. Show that first: the same trainings
before and after must end with the same bits, and neither the budget nor the data may have changed. Then
`python -m tools stamp FILE` gives the rows of a results file the key that they would have if they were made today. Rows
of settings that no study asks for keep theirs.
"""

from dataclasses import replace
from pathlib import Path

from magnet_helpers.data import load_images
from magnet_helpers.lab.budget import get_budget
from magnet_helpers.lab.lab import Lab
from magnet_helpers.study.plan import PARTS, attack_study, protocol
from magnet_helpers.study.results import Results
from magnet_helpers.study.results_file import Row, read_rows, write_rows
from magnet_helpers.study.run import Measurement, expected_keys, locked


def todays_keys(lab: Lab, seeds: list[int]) -> dict[tuple[object, ...], str]:
    """Return today's key of every row of both studies, by its identity and n."""
    parts = [part for part in PARTS if part != "cross" or len(seeds) > 1]
    tasks: list[Measurement] = []
    for reports in protocol(lab.budget, seeds, parts, len(lab.test), lab.data.n_classes):
        tasks += reports
    images = min(lab.budget.trial_images, len(lab.data.test))
    for seed in seeds:
        tasks += attack_study(lab.budget, seed, images, lab.data.n_classes)
    keys: dict[tuple[object, ...], str] = {}
    for task in tasks:
        keys |= expected_keys(lab, task)
    return keys


def stamp(path: Path) -> tuple[int, int]:
    """Give the rows of a results file today's keys, and return how many got another one, of how many.

    Raises:
        ValueError: if the file has no rows, or is none of results.
    """
    path.stat()  # else the lock would be made where no file is
    with locked(path) as file:  # a study may add rows meanwhile
        rows = read_rows(file, Row)
        if not rows:
            raise ValueError(f"{path} has no rows")
        lab = Lab(get_budget(rows[0].budget), load_images(rows[0].dataset))
        keys = todays_keys(lab, Results(rows).seeds)
        stamped = [replace(row, key=keys.get((*row.identity, row.n), row.key)) for row in rows]
        write_rows(file, stamped)
    return sum(old.key != new.key for old, new in zip(rows, stamped, strict=True)), len(rows)
