import json
import os
import zipfile
from functools import cache

import nbformat
import pytest
from marks import SOURCES

from tools.coursework.assignments import Assignment, part_of, read_assignment, runs_when_graded
from tools.coursework.students import student_copy
from tools.coursework.submissions import (
    LARGEST_FILE,
    Submission,
    SubmissionError,
    find_submissions,
    read_submission,
    restore,
)

NAME = "01_classifier"


@cache
def assignment() -> Assignment:
    return read_assignment(SOURCES / f"{NAME}.py")


def handed_in(**answers: str) -> nbformat.NotebookNode:
    """Return a student's copy with some answers written."""
    notebook = student_copy(assignment())
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in answers:
            cell.source = answers[name]
    return notebook


def restored(submitted: nbformat.NotebookNode) -> tuple[nbformat.NotebookNode, list[str]]:
    notebook, remarks = restore(assignment(), student_copy(assignment()), submitted)
    nbformat.validate(notebook)
    return notebook, remarks


def named(notebook: nbformat.NotebookNode) -> dict[str, str]:
    return {c.metadata.nbgrader.grade_id: c.source for c in notebook.cells if "nbgrader" in c.metadata}


def without(notebook: nbformat.NotebookNode, *names: str) -> nbformat.NotebookNode:
    notebook.cells = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") not in names]
    return notebook


def test_an_untouched_copy_gets_its_tests_back_and_nothing_else():
    notebook, remarks = restored(handed_in())
    assert remarks == []
    assert len(notebook.cells) == len(assignment().notebook.cells)
    for cell, ours in zip(notebook.cells, assignment().notebook.cells, strict=True):
        if part_of(ours) in ("tests", "start"):
            assert cell.source == ours.source
        assert cell.metadata.get("nbgrader") == ours.metadata.get("nbgrader")


def test_answers_are_kept_and_what_runs_has_no_outputs():
    submitted = handed_in(wilson="def wilson_interval(k, n): return 0, 1")
    for cell in submitted.cells:
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("stream", text="said")]
    notebook, _ = restored(submitted)
    assert named(notebook)["wilson"] == "def wilson_interval(k, n): return 0, 1"
    for cell, runs in runs_when_graded(notebook):
        if cell.cell_type == "code":
            assert bool(cell.outputs) != runs
    assert any(cell.cell_type == "code" and not runs for cell, runs in runs_when_graded(notebook))


def test_changed_tests_and_changed_points_do_not_count():
    submitted = handed_in()
    for cell in submitted.cells:
        said = cell.metadata.get("nbgrader", {})
        if said.get("grade"):
            said["points"], said["schema_version"] = 1000, "x"
            cell.source = "pass"
    notebook, _ = restored(submitted)
    ours = named(assignment().notebook)
    assert named(notebook)["wilson-tests"] == ours["wilson-tests"]
    points = {
        c.metadata.nbgrader.grade_id: c.metadata.nbgrader.get("points")
        for c in notebook.cells
        if "nbgrader" in c.metadata
    }
    assert points["wilson-tests"] == assignment().task("wilson").points


def test_cells_that_lost_their_metadata_are_known_by_their_ids():
    submitted = handed_in(count="def count_correct(logits, labels): return 1, 2")
    for cell in submitted.cells:
        cell.metadata = nbformat.from_dict({})
    notebook, remarks = restored(submitted)
    assert remarks == []
    assert named(notebook)["count"] == "def count_correct(logits, labels): return 1, 2"
    assert set(named(notebook)) == set(named(assignment().notebook))


def test_missing_tests_and_answers_are_put_back_where_they_are_needed():
    notebook, remarks = restored(without(handed_in(), "count-tests", "explain", "start"))
    order = list(named(notebook))
    assert order[0] == "start"
    assert order.index("count-tests") == order.index("count") + 1
    assert named(notebook)["explain"] == "YOUR ANSWER HERE"
    assert len(remarks) == 2
    assert all("put back" in remark for remark in remarks)


def test_a_function_that_moved_to_another_cell_is_still_found_by_its_tests():
    submitted = without(handed_in(), "count", "count-tests")
    submitted.cells.insert(2, nbformat.v4.new_code_cell("def count_correct(logits, labels): ..."))
    notebook, remarks = restored(submitted)
    places = {c.source.splitlines()[0]: i for i, c in enumerate(notebook.cells) if c.source}
    tests = next(
        i for i, c in enumerate(notebook.cells) if c.metadata.get("nbgrader", {}).get("grade_id") == "count-tests"
    )
    assert places["def count_correct(logits, labels): ..."] < tests
    assert tests in [i for i, (_, runs) in enumerate(runs_when_graded(notebook)) if runs]
    assert any("looks for" in remark or "look for" in remark for remark in remarks)
    assert "count" not in named(notebook)


def test_of_an_answer_that_stands_there_twice_the_later_counts():
    submitted = handed_in(count="def count_correct(logits, labels): return 1, 1")
    index = next(i for i, c in enumerate(submitted.cells) if c.metadata.get("nbgrader", {}).get("grade_id") == "count")
    copy = nbformat.from_dict(json.loads(json.dumps(submitted.cells[index])))
    copy.source = "def count_correct(logits, labels): return 2, 2"
    submitted.cells.insert(index + 1, copy)
    notebook, remarks = restored(submitted)
    assert named(notebook)["count"] == "def count_correct(logits, labels): return 2, 2"
    assert sum("return 1, 1" in cell.source for cell in notebook.cells) == 1
    assert len(remarks) == 1


def test_without_the_heading_of_part_b_its_cells_are_still_not_run():
    submitted = handed_in()
    submitted.cells = [cell for cell in submitted.cells if not cell.source.startswith("# Part B")]
    notebook, remarks = restored(submitted)
    ran = [cell.source for cell, runs in runs_when_graded(notebook) if runs]
    assert not any("lab.classifier()" in source for source in ran)
    assert sum("### BEGIN HIDDEN TESTS" in source for source in ran) == 3
    assert any("part B" in remark for remark in remarks)


def test_tests_that_were_moved_behind_part_b_are_run():
    submitted = handed_in()
    moved = [c for c in submitted.cells if c.metadata.get("nbgrader", {}).get("grade_id") in ("wilson", "wilson-tests")]
    submitted.cells = [c for c in submitted.cells if c not in moved] + moved
    notebook, _ = restored(submitted)
    ran = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell, runs in runs_when_graded(notebook) if runs]
    assert ran.index("wilson") < ran.index("wilson-tests")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no Jupyter notebook"),
        (b"{", "no Jupyter notebook"),
        (b"[]", "no Jupyter notebook"),
        (b'{"cells": 3, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "no Jupyter notebook"),
        (b"\xff\xfe\x00", "no Jupyter notebook"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"cells": [], "metadata": {"magnet_lab": {"code": "x"}}, "nbformat": 4, "nbformat_minor": 5}', "a lesson"),
    ],
)
def test_what_is_no_assignment_is_refused_with_a_reason(tmp_path, content, message):
    (tmp_path / "x.ipynb").write_bytes(content)
    with pytest.raises(SubmissionError, match=message):
        read_submission(tmp_path / "x.ipynb", NAME)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "x.ipynb").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(SubmissionError, match="20 MB; no more"):
        read_submission(tmp_path / "x.ipynb", NAME)


@pytest.mark.parametrize("cell", [{}, {"cell_type": "code"}, {"cell_type": "video", "source": ""}])
def test_a_cell_that_is_none_is_left_out(tmp_path, cell):
    notebook = json.loads(nbformat.writes(handed_in()))
    count = len(notebook["cells"])
    notebook["cells"].append(cell)
    (tmp_path / "x.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    submitted = read_submission(tmp_path / "x.ipynb", NAME)
    assert len(submitted.cells) == count
    restored(submitted)


def test_outputs_that_are_none_are_left_out():
    submitted = handed_in()
    cell = [cell for cell in submitted.cells if cell.cell_type == "code"][-1]
    cell.outputs = [{"output_type": "stream"}, 3, nbformat.v4.new_output("stream", text="kept")]
    notebook, _ = restored(submitted)
    assert [o.text for c in notebook.cells if c.cell_type == "code" for o in c.outputs] == ["kept"]


def put(path, notebook=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(notebook if notebook is not None else handed_in()), encoding="utf-8")


def test_submissions_are_found_in_folders_and_zip_files(tmp_path):
    put(tmp_path / "Ann" / f"{NAME}.ipynb")
    put(tmp_path / "Böb (12)" / "deep" / "my notebook.ipynb")  # known by what it says itself
    put(tmp_path / "x" / f"{NAME}.ipynb")
    with zipfile.ZipFile(tmp_path / "Cid.zip", "w") as archive:
        archive.write(tmp_path / "x" / f"{NAME}.ipynb", "../../evil.ipynb")
    (tmp_path / "Dan.zip").write_bytes(b"no zip")
    (tmp_path / "x" / f"{NAME}.ipynb").unlink()
    found, remarks = find_submissions(tmp_path, [NAME])
    assert [(each.student, each.assignment) for each in found] == [("Ann", NAME), ("Böb (12)", NAME), ("Cid", NAME)]
    assert found[2].path.name == "evil.ipynb"
    assert found[2].path.is_relative_to(tmp_path / "Cid")
    assert [remark.split(":")[0] for remark in remarks] == ["Dan", "x"]


def test_a_zip_file_is_unpacked_again_when_it_changed_and_its_newest_notebook_counts(tmp_path):
    def zipped(*entries: tuple[str, int, str]) -> str:
        with zipfile.ZipFile(tmp_path / "Ann.zip", "w") as archive:
            for folder, year, said in entries:
                notebook = handed_in(count=said)
                archive.writestr(
                    zipfile.ZipInfo(f"{folder}/{NAME}.ipynb", (year, 1, 1, 0, 0, 0)), nbformat.writes(notebook)
                )
        (found,), _ = find_submissions(tmp_path, [NAME])
        return named(read_submission(found.path, NAME))["count"]

    assert zipped(("new", 2026, "new"), ("old", 2020, "old")) == "new"
    assert zipped(("a", 2021, "another file")) == "another file"


def test_of_two_files_the_newer_counts_and_strange_ones_are_named(tmp_path):
    put(tmp_path / "Ann" / f"{NAME}.ipynb")
    put(tmp_path / "Ann" / f"{NAME} (1).ipynb")
    os.utime(tmp_path / "Ann" / f"{NAME}.ipynb", (1, 1))
    (tmp_path / "Ann" / "holiday.ipynb").write_text("{}", encoding="utf-8")
    (tmp_path / "Ann" / f"{NAME}_broken.ipynb").write_text("{", encoding="utf-8")
    os.utime(tmp_path / "Ann" / f"{NAME}_broken.ipynb", (0, 0))
    found, remarks = find_submissions(tmp_path, [NAME])
    assert [each.path.name for each in found] == [f"{NAME} (1).ipynb"]
    assert any("holiday.ipynb is none" in remark for remark in remarks)
    assert any("is older than" in remark for remark in remarks)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(SubmissionError, match="one folder"):
        find_submissions(tmp_path, [NAME])


def test_student_ids_are_plain_and_unique(tmp_path):
    names = ["ann", "Ann B", "Ann-B", "Änn", "李", "*", "../x"]
    ids = [Submission(name, NAME, tmp_path).student_id for name in names]
    assert ids[0] == "ann"
    assert ids[2] == "Ann-B"
    assert len(set(ids)) == len(names)
    assert all(set(each) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") for each in ids)
