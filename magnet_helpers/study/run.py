"""Carries out a study step by step: makes what is missing, and adds its rows to a results file after each step.

Every task's outcome is kept as soon as it is done, so a run that was stopped goes on from there; the rows of what was
done are in the file then, too. What the file holds already is not made again, wherever it comes from, if the same code
made it.
"""

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from magnet_helpers.attacks import Knowledge
from magnet_helpers.attacks.minimal_norm import MinimalNormAttack
from magnet_helpers.evaluation import MEASURED, DefenseReport
from magnet_helpers.files import exclusively
from magnet_helpers.lab.lab import Lab
from magnet_helpers.lab.measurements import Report
from magnet_helpers.lab.scheduler import Crew
from magnet_helpers.lab.store import Artifact
from magnet_helpers.lab.trials import Trial, TrialReport
from magnet_helpers.study.results import Results
from magnet_helpers.study.results_file import IDENTITY, Row, pack_bits, pack_sizes, read_rows, write_rows

Measurement = Report | Trial


def rows_of(lab: Lab, task: Measurement) -> list[Row]:
    """Return the rows of a task whose outcome is stored; none if it is not."""
    made = lab.store.load(task.settings(lab.data.fingerprint))
    if made is None:
        return []
    return _rows_of_report(lab, task, made) if isinstance(task, Report) else [_row_of_trial(lab, task, made)]


def _rows_of_report(lab: Lab, task: Report, made: Artifact) -> list[Row]:
    report = DefenseReport.restore(made.tensors, made.record)
    trained = lab.store.load(task.networks[-1].settings(lab.data.fingerprint))
    epochs = trained.record["epochs"] if trained else []
    counts = {knows: report.accuracy(knows) for knows in MEASURED}
    return [
        Row(
            **_common(lab, task, knows),
            n=len(report.labels),
            rejected=0,
            right=counts[knows].correct,
            wrong=counts[knows].total - counts[knows].correct,
            made=None,
            unchanged=report.unchanged,
            collapsed=report.collapsed,
            jacobian=made.record["jacobian"],
            median_l2=None,
            forward_passes=None,
            backward_passes=None,
            training_seconds=round(sum(epoch["seconds"] for epoch in epochs), 1) if trained else None,
            seconds=round(made.record["seconds"], 1),
            precision=trained.record["precision"] if trained else "",
            **_provenance(lab, task, made),
            not_fooled=pack_bits(report.right(knows)),
            l2="",
        )
        for knows in MEASURED
    ]


def _row_of_trial(lab: Lab, task: Trial, made: Artifact) -> Row:
    report = TrialReport.restore(made)
    counts, sizes = report.outcome.counts, report.norms["L2"]
    fooling = sizes[~report.not_fooled]
    unbounded = isinstance(task.threat.attack, MinimalNormAttack) and not task.threat.knows.needs_no_defense
    return Row(
        **_common(lab, task, task.threat.knows),
        n=len(sizes),
        rejected=counts["rejected"],
        right=counts["accepted and right"],
        wrong=counts["accepted and wrong"],
        made=int(report.success.sum()),
        unchanged=None,
        collapsed=None,
        jacobian=None,
        median_l2=round(float(fooling.median()), 3) if len(fooling) else None,
        forward_passes=round(report.forward_passes, 1),
        backward_passes=round(report.backward_passes, 1),
        training_seconds=None,
        seconds=round(report.seconds, 1),
        precision="",
        **_provenance(lab, task, made),
        not_fooled=pack_bits(report.not_fooled),
        l2=pack_sizes(sizes) if unbounded else "",
    )


def _common(lab: Lab, task: Measurement, knows: Knowledge) -> dict[str, Any]:
    """Return what of a task's row is known before it is made: all that its identity holds."""
    if isinstance(task, Report):
        classifier, seed, attack = task.classifier, task.reformer_seed, repr(task.attack)
    else:
        classifier, seed, attack = task.specs.classifier(), task.specs.seed, repr(task.threat.attack)
    return {
        "dataset": lab.data.name,
        "budget": lab.budget.name,
        "classifier_epochs": classifier.config.epochs,
        "classifier_seed": classifier.config.seed,
        "reformer_seed": seed,
        "defense": task.defense.label,
        "attack": attack,
        "knows": knows,
    }


def _provenance(lab: Lab, task: Measurement, made: Artifact) -> dict[str, Any]:
    versions = {name: made.record["versions"][name] for name in ("torch", "python")}
    return {"device": made.record["device"], **versions, "key": lab.store.key(task.settings(lab.data.fingerprint))}


def _without_known(lab: Lab, tasks: Iterable[Measurement], rows: Iterable[Row]) -> list[Measurement]:
    """Return the tasks that these rows do not hold, or hold as other settings, data or code made them."""
    known = {(*row.identity, row.n): row.key for row in rows}
    return [
        task for task in tasks if any(known.get(identity) != key for identity, key in expected_keys(lab, task).items())
    ]


def expected_keys(lab: Lab, task: Measurement) -> dict[tuple[object, ...], str]:
    """Return the key that each row of a task has today, by its identity and n; nothing is made for it."""
    key = lab.store.key(task.settings(lab.data.fingerprint))
    commons = (_common(lab, task, knows) for knows in (MEASURED if isinstance(task, Report) else (task.threat.knows,)))
    return {(*(common[name] for name in IDENTITY), task.images): key for common in commons}


def _read_results(path: Path) -> list[Row]:
    """Return the rows of a results file; none if there is no file."""
    return read_rows(path, Row) if path.exists() else []


@contextmanager
def locked(path: Path) -> Iterator[Path]:
    """Let one process at a time read and write a results file, and yield the file that a link to it means.

    The system releases the lock of a process that dies.

    Raises:
        StorageError: if its folder cannot be written to.
    """
    path = path.resolve()
    with exclusively(path.with_name(f".{path.name}.lock"), f"another process is writing {path}: waiting for it"):
        yield path


def _add_rows(path: Path, rows: Iterable[Row]) -> None:
    """Add rows to a results file, which other processes may do, too; rows in it that are not among them stay.

    Raises:
        ValueError: if the file holds results of another dataset, budget or study, or is damaged.
    """
    new = {row.identity: row for row in rows}
    with locked(path) as file:
        there = {row.identity: row for row in _read_results(file)}
        for dataset, budget, is_protocol in {(row.dataset, row.budget, row.made is None) for row in new.values()}:
            _check_rows(path, there.values(), (dataset, budget), is_protocol)
        write_rows(file, (there | new).values())


def run_study(lab: Lab, steps: Sequence[Sequence[Measurement]], path: Path, crew: Crew | None = None) -> Results:
    """Carry out the steps of a study, one after the other, and write the results file after each.

    Args:
        lab: its budget, data and store.
        steps: what to measure, see `plan`.
        path: of the results file. Rows that are in it already stay.
        crew: who does it; by default the lab's own.

    Returns:
        The rows of these steps, as today's settings, data and code make them, whatever else the file holds.

    Raises:
        ValueError: if the file holds results of another dataset or budget, or of the other study, or is damaged.
        StorageError: if the file cannot be written; this is known before anything is made.
    """
    with locked(path) as file:  # before the work, not after it
        there = _read_results(file)
    _check_rows(path, there, (lab.data.name, lab.budget.name), is_protocol=isinstance(steps[0][0], Report))
    for number, step in enumerate(steps, start=1):
        tasks = _without_known(lab, step, _read_results(path))
        remark = f", {len(step) - len(tasks)} of {len(step)} are in the file" if len(tasks) < len(step) else ""
        text = f"{len(tasks)} measurements, {lab.data.title}, {lab.budget.name} budget{remark}"
        print(f"step {number} of {len(steps)}: {text}", file=sys.stderr)
        try:
            lab.make(tasks, crew)
        finally:
            _add_rows(path, [row for task in tasks for row in rows_of(lab, task)])
    keys = {place: key for step in steps for task in step for place, key in expected_keys(lab, task).items()}
    rows = _read_results(path)
    ours = [row for row in rows if keys.get((*row.identity, row.n)) == row.key]
    if others := len(rows) - len(ours):
        print(
            f"{path} holds {others} other rows, of other seeds, parts, settings or code: they stay there and are in no "
            "table. For one table of several seeds name them all, what is there costs nothing",
            file=sys.stderr,
        )
    return Results(ours)


def _check_rows(path: Path, rows: Collection[Row], ours: tuple[str, str], is_protocol: bool) -> None:
    """Raise a ValueError if a results file holds these rows and they are of another dataset, budget or study."""
    if foreign := {(row.dataset, row.budget) for row in rows} - {ours}:
        raise ValueError(f"{path} holds results of {sorted(foreign)}, these are of {ours}: name another file")
    if any((row.made is None) != is_protocol for row in rows):
        command = "attack" if is_protocol else "reproduce"
        raise ValueError(f"{path} holds results of the command `{command}`: name another file")


def check_seeds(seeds: Sequence[int]) -> None:
    """Raise a ValueError unless there is a seed, and none is negative or given twice."""
    if len(set(seeds)) != len(seeds) or not seeds or min(seeds) < 0:
        raise ValueError(f"seeds must be different, 0 or more, and at least one, got {list(seeds)}")


def run_attacks(lab: Lab, trials: Sequence[Trial]) -> Results:
    """Carry out trials, several at once, and return their results."""
    lab.make(trials)
    return Results(row for trial in trials for row in rows_of(lab, trial))
