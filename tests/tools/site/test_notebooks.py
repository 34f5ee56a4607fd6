import base64
import re
from pathlib import Path

import nbformat
import pytest

from magnet_helpers.lab.budget import BUDGETS
from magnet_helpers.lab.lessons import LESSONS, Lesson, get_lesson
from tools.site.address import badges, install_lines, repository
from tools.site.course import STAMP
from tools.site.notebooks import _as_on_a_screen, build_notebook, notebook_metadata, sources_digest

FOLDER = Path(__file__).parents[3] / "notebooks"
NAMES = [lesson.name for lesson in LESSONS]


def committed(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_source_is_a_lesson_and_every_lesson_is_a_notebook():
    assert sorted(path.stem for path in (FOLDER / "source").glob("*.py")) == NAMES
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_those_of_the_source(name):
    built, there = build_notebook(FOLDER / "source" / f"{name}.py"), committed(name)
    assert [cell.id for cell in there.cells] == [cell.id for cell in built.cells]
    for ours, theirs in zip(there.cells, built.cells, strict=True):
        assert (ours.cell_type, ours.source) == (theirs.cell_type, theirs.source), "run `make notebooks`"
    assert sources_digest(there) == sources_digest(built)


@pytest.mark.parametrize("name", NAMES)
def test_it_was_run_once_from_top_to_bottom_without_an_error(name):
    cells = code_cells(committed(name))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]


@pytest.mark.parametrize("name", NAMES)
def test_outputs_come_from_the_fast_budget_on_mnist(name):
    made = committed(name).metadata[STAMP]
    assert (made["budget"], made["dataset"], made["seed"]) == ("fast", "mnist", 0)
    said = "".join(output.get("text", "") for output in code_cells(committed(name))[0].outputs)
    assert "dataset: MNIST" in said
    assert "budget:  fast" in said


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_name_and_a_text_for_readers_who_cannot_see_it(name):
    figures = [o for cell in code_cells(committed(name)) for o in cell.outputs if "image/png" in o.get("data", {})]
    assert figures
    for figure in figures:
        described = figure.metadata["image/png"]
        assert len(described["alt"]) > 40
        assert re.fullmatch(r"[a-z0-9_]+", described["name"])
        assert base64.b64decode(figure.data["image/png"]).startswith(b"\x89PNG")
    names = [figure.metadata["image/png"]["name"] for figure in figures]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_what_every_lesson_has(name):
    notebook = committed(name)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for part in (
        "**You will learn**",
        "**You need**",
        "**Time**",
        "## Checks",
        "## Try it",
        "## Summary",
        "**References.**",
    ):
        assert part in text, part
    questions = text.split("## Try it")[1].split("<details>")[0]
    answers = text.split("<details><summary>Answers</summary>")[1].split("</details>")[0]
    count = len(re.findall(r"^\d\. ", questions, flags=re.MULTILINE))
    assert 3 <= count <= 5
    assert len(re.findall(r"^\d\. ", answers, flags=re.MULTILINE)) == count
    assert any("assert " in cell.source for cell in code_cells(notebook))


def built(name: str) -> nbformat.NotebookNode:
    return build_notebook(FOLDER / "source" / f"{name}.py")


@pytest.mark.parametrize("made", [built, committed])
@pytest.mark.parametrize("name", NAMES)
def test_its_first_code_cell_is_that_of_every_lesson(name, made):
    lines = f"""{install_lines(repository())}
from magnet_helpers import start_lesson

lab = start_lesson("{name}")"""
    assert code_cells(made(name))[0].source == lines, "run `make address`"
    assert len([line for line in lines.splitlines() if line]) <= 8
    assert not [cell for cell in made(name).cells if "{{" in cell.source and "}}" in cell.source]


@pytest.mark.parametrize("made", [built, committed])
@pytest.mark.parametrize("name", NAMES)
def test_its_badges_stand_below_its_title(name, made):
    first, number = made(name).cells[0].source.split("\n"), name[:2]
    assert first[0] == f"# {number} · {get_lesson(name).title}"
    assert first[2] == badges(repository(), name), "run `make address`"


@pytest.mark.parametrize("made", [built, committed])
@pytest.mark.parametrize("name", NAMES)
def test_colab_starts_it_with_a_gpu(name, made):
    said = made(name).metadata
    assert (said["accelerator"], said["colab"]) == ("GPU", {"gpuType": "T4", "provenance": []})


def test_a_lesson_that_trains_nothing_takes_no_gpu():
    assert not {"accelerator", "colab"} & set(notebook_metadata(Lesson("00_x", "X", {}, gpu="")))


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_short_and_outputs_hold_no_path_of_the_machine(name):
    notebook = committed(name)
    lengths = sorted(len(cell.source.splitlines()) for cell in code_cells(notebook))
    assert lengths[-1] <= 40
    assert lengths[int(0.9 * len(lengths)) - 1] <= 20
    outputs = "".join(str(cell.outputs) for cell in code_cells(notebook))
    assert not re.search(r"/home/|/root/|/tmp/|/Users/|site-packages|ipykernel", outputs)


def test_compared_cells_keep_their_execution_counts():
    """A cell without a count is never compared, and nobody would notice."""
    cells = [cell for name in NAMES for cell in code_cells(committed(name))]
    tagged = [cell for cell in cells if "nbval-check-output" in cell.metadata.get("tags", [])]
    assert all(cell.execution_count and cell.outputs for cell in tagged)
    assert len(tagged) >= 5


def test_minutes_are_given_for_every_budget():
    for lesson in LESSONS:
        assert set(lesson.minutes) == set(BUDGETS)
        assert lesson.duration in build_notebook(FOLDER / "source" / f"{lesson.name}.py").cells[0].source


def test_a_lesson_is_known_by_its_number():
    assert [get_lesson(f"{number:02}") for number in range(len(LESSONS))] == list(LESSONS)


def test_unknown_lesson():
    with pytest.raises(ValueError, match="no lesson 'x'; there are 00_start_here"):
        get_lesson("x")


def test_building_twice_gives_the_same():
    source = FOLDER / "source" / f"{NAMES[0]}.py"
    assert nbformat.writes(build_notebook(source)) == nbformat.writes(build_notebook(source))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("10%\r50%\r100%", "100%"), ("50%\r   \r", ""), ("a\nbar: 1\rbar: 2\nb", "a\nbar: 2\nb"), ("plain\n", "plain\n")],
)
def test_progress_bars_leave_what_a_screen_would_show(text, shown):
    assert _as_on_a_screen(text) == shown
