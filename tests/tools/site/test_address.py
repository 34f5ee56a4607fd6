import re
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from magnet_helpers.lab.lessons import LESSONS
from tools.site import course, notebooks
from tools.site.address import badges, install_lines, repository, with_badges
from tools.site.course import STAMP, write_address
from tools.site.notebooks import build_notebook, renew, sources_digest

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
OTHER = "https://github.com/somebody/a-copy"


def test_the_readme_has_the_badges_of_every_lesson():
    assert with_badges(README, repository()) == README, "run `make address`"
    for lesson in LESSONS:
        assert badges(repository(), lesson.name) in README


def test_the_address_stands_nowhere_else():
    """Whatever is not written from pyproject.toml would keep the old address after a change."""
    owned = [ROOT / "README.md", *(ROOT / "notebooks" / "source").glob("*.py"), ROOT / "environment.yml"]
    owned += [*(ROOT / "magnet_helpers").rglob("*.py"), *(ROOT / "docs").glob("*.md"), *(ROOT / ".binder").iterdir()]
    path = repository().removeprefix("https://github.com/")
    assert [file.name for file in owned if path in with_badges(file.read_text(), OTHER)] == []


def test_badges_lead_to_the_notebook_and_can_be_read_aloud():
    found = re.findall(r"\[!\[([^]]+)\]\((\S+?)\)\]\((\S+?)\)", badges(OTHER, "07_comparison"))
    assert [alt for alt, _, _ in found] == [f"Open lesson 07 in {host}" for host in ("Colab", "Kaggle", "Binder")]
    for _, image, link in found:
        assert image.endswith(".svg")
        assert "somebody/a-copy" in link
        assert link.endswith("notebooks/07_comparison.ipynb")


def test_an_address_that_no_host_could_open_is_refused(tmp_path):
    project = tmp_path / "pyproject.toml"
    project.write_text('[project.urls]\nRepository = "https://example.org/a/b"\n')
    with pytest.raises(ValueError, match=r"must be https://github.com/OWNER/NAME, got 'https://example.org/a/b'"):
        repository(project)


def test_another_address_replaces_the_old_one_everywhere(tmp_path, monkeypatch):
    """The notebooks keep their outputs, and `make notebooks` finds nothing to do."""
    lesson = LESSONS[5]
    monkeypatch.setattr(course, "LESSONS", (lesson,))
    source = tmp_path / "notebooks" / "source" / f"{lesson.name}.py"
    source.parent.mkdir(parents=True)
    source.write_text((ROOT / "notebooks" / "source" / source.name).read_text())
    (tmp_path / "README.md").write_text(README)
    executed = build_notebook(source)
    executed.cells[3].outputs = [nbformat.v4.new_output("stream", text="an output")]
    executed.metadata[STAMP] = {"cells": sources_digest(executed), "seed": 0}
    path = tmp_path / "notebooks" / f"{lesson.name}.ipynb"
    nbformat.write(executed, path)

    for module in (course, notebooks):
        monkeypatch.setattr(module, "repository", lambda: OTHER)
    write_address(tmp_path)

    renewed, built = nbformat.read(path, as_version=4), build_notebook(source)
    assert [cell.source for cell in renewed.cells] == [cell.source for cell in built.cells]
    assert renewed.metadata[STAMP] == {"cells": sources_digest(built), "seed": 0}
    assert renewed.cells[3].outputs == executed.cells[3].outputs
    old = repository()
    for text in (path.read_text(), (tmp_path / "README.md").read_text()):
        assert old not in text
        assert "somebody/a-copy" in text


def test_a_notebook_that_differs_in_more_has_to_be_executed():
    built = build_notebook(ROOT / "notebooks" / "source" / f"{LESSONS[1].name}.py")
    there = nbformat.from_dict(built)
    there.cells[2].source += " "
    with pytest.raises(ValueError, match="run `make notebooks`"):
        renew(there, built)


# ---- the first cell, in IPython, with pip replaced


def run_first_cell(
    monkeypatch, there: bool, missing: frozenset[str] = frozenset()
) -> tuple[list[str], BaseException | None]:
    shell, asked = InteractiveShell(), []
    shell.register_magic_function(asked.append, magic_name="pip")
    hidden = missing | (set() if there else {"magnet-lab"})
    find = metadata.distributions
    monkeypatch.setattr(metadata, "distributions", lambda name: [] if name in hidden else find(name=name))
    return asked, shell.run_cell(install_lines(OTHER), silent=True).error_in_exec


def test_no_pip_where_the_package_is(monkeypatch):
    assert run_first_cell(monkeypatch, there=True) == ([], None)


def test_torch_and_numpy_are_what_pip_must_keep(monkeypatch):
    monkeypatch.delenv("MAGNET_SOURCE", raising=False)
    (line,), _ = run_first_cell(monkeypatch, there=False)
    kept = [f"{name}=={metadata.version(name)}" for name in ("torch", "numpy")]
    assert line.split() == ["install", "-q", f"git+{OTHER}", *kept]


def test_a_host_without_torch_gets_one(monkeypatch):
    (line,), _ = run_first_cell(monkeypatch, there=False, missing=frozenset({"torch"}))
    assert "torch" not in line
    assert f"numpy=={metadata.version('numpy')}" in line


def test_another_source_can_be_named(monkeypatch):
    monkeypatch.setenv("MAGNET_SOURCE", "--no-index --find-links wheels magnet-lab")
    (line,), _ = run_first_cell(monkeypatch, there=False)
    assert line.startswith("install -q --no-index --find-links wheels magnet-lab torch==")


def test_a_failed_installation_says_what_to_do(monkeypatch):
    _, error = run_first_cell(monkeypatch, there=False)
    assert isinstance(error, AssertionError)
    for part in ("pip could not install the course", "Kaggle", "Internet", f"{OTHER}#hosts"):
        assert part in str(error)
    assert "\n## Hosts\n" in README
