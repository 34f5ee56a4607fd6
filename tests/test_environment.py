import re
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


def pinned() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
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
