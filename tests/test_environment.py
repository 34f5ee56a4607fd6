import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required() -> dict[str, str]:
    lines = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    return {plain(name): bound for name, bound in (line.split(">=") for line in lines)}


def bounds() -> dict[str, str]:
    return {plain(name): bound for name, bound in (line.split(">=") for line in PROJECT["dependencies"])}


def pinned(file: str = "constraints.txt") -> dict[str, str]:
    lines = [line for line in (ROOT / file).read_text().splitlines() if "==" in line]
    return {plain(name): version for name, version in (line.split("==") for line in lines)}


def pip_part() -> list[str]:
    (part,) = (entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict))
    return part


def as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def test_the_packages_that_the_project_is_built_on_are_there():
    assert {"torch", "jupyterlab", "nbval", "matplotlib", "seaborn", "advertorch"} <= set(required())


def test_the_package_asks_for_lower_bounds_only():
    assert all(re.fullmatch(r"[\w.-]+>=[\d.]+", line) for line in PROJECT["dependencies"])


@pytest.mark.parametrize("name", sorted(required()))
def test_each_requirement_has_an_exact_version_that_satisfies_it(name):
    assert as_numbers(pinned()[name]) >= as_numbers(required()[name])


def test_torch_is_pinned_for_development_without_a_local_build_tag():
    assert pinned()["torch"] == "2.13.0"


def test_conda_users_get_the_same_packages_at_the_same_versions():
    entries = pip_part()
    assert "-c constraints.txt" in entries
    assert "-e ." in entries
    assert {plain(entry) for entry in entries if not entry.startswith("-")} == set(required())


def test_every_line_of_the_conda_environment_says_why_it_is_there():
    text = (ROOT / "environment.yml").read_text()
    lines = [line for line in text.splitlines() if re.match(r"\s+- (?!conda-forge|pip:)", line)]
    assert len(lines) == len(pip_part()) + 2
    assert [line for line in lines if "  # " not in line] == []


def test_conda_gives_a_supported_python():
    (python,) = (entry for entry in CONDA["dependencies"] if str(entry).startswith("python="))
    assert as_numbers(python.split("=")[1]) >= as_numbers(PROJECT["requires-python"])


def test_the_oldest_versions_are_the_lower_bounds():
    assert pinned("constraints-oldest.txt") == bounds()


def test_what_colab_ships_is_allowed():
    shipped = pinned("constraints-colab.txt")
    assert {"torch", "numpy", "matplotlib", "seaborn", "ipython", "ipywidgets", "scikit-learn"} <= set(shipped)
    asked = [name for name in shipped if name in bounds()]
    assert [name for name in asked if as_numbers(shipped[name]) < as_numbers(bounds()[name])] == []
    lines = (ROOT / "constraints-colab.txt").read_text().splitlines()
    there = {plain(line.split("==")[0]) for line in lines if line and not line.startswith("#")}
    assert set(bounds()) - there == {"advertorch", "adversarial-robustness-toolbox"}


def test_the_wheel_has_every_folder_of_the_package_and_the_results():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {file.parent.relative_to(ROOT) for file in (ROOT / "magnet_helpers").rglob("*.py")}
    assert set(project["packages"]) == {".".join(folder.parts) for folder in folders} | {"magnet_helpers.results"}
    assert list((ROOT / project["package-dir"]["magnet_helpers.results"]).glob("*.csv"))


def test_binder_gets_pytorch_without_cuda_and_then_the_package():
    """Binder reads .binder/ alone where there is one."""
    environment = yaml.safe_load((ROOT / ".binder" / "environment.yml").read_text())
    names = [entry.split("=")[0] for entry in environment["dependencies"]]
    assert names == ["python", "pytorch-cpu", "pip"]
    (python,) = (entry for entry in environment["dependencies"] if entry.startswith("python="))
    assert as_numbers(python) >= as_numbers(PROJECT["requires-python"])
    script = ROOT / ".binder" / "postBuild"
    assert script.stat().st_mode & 0o111
    assert script.read_text().startswith("#!/usr/bin/env bash")
    subprocess.run(["bash", "-n", script], check=True)
