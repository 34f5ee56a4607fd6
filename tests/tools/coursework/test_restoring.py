import json

import nbformat
from handing_in import assignment, handed_in, named, restored, without

from tools.coursework.assignments import part_of, runs_when_graded


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


def test_outputs_that_are_none_are_left_out():
    submitted = handed_in()
    cell = [cell for cell in submitted.cells if cell.cell_type == "code"][-1]
    cell.outputs = [{"output_type": "stream"}, 3, nbformat.v4.new_output("stream", text="kept")]
    notebook, _ = restored(submitted)
    assert [o.text for c in notebook.cells if c.cell_type == "code" for o in c.outputs] == ["kept"]
