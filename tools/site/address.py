"""The repository's address, and all that follows from it: badges, each lesson's first cell, the README's table.

The address stands once, in `pyproject.toml` (`[project.urls] Repository`). Only building notebooks needs it, and that
takes a checkout; an installed package does without.
"""

import re
import tomllib
from pathlib import Path

from tools.checkout import CHECKOUT

BRANCH = "main"

# The host's torch and numpy are given to pip as exact requirements: it can then neither replace them nor take long to
# find out. Everything else it leaves alone where the package's lower bounds allow. The question is whether pip knows
# the package, not whether its folder is there: uninstalled, it leaves one behind, with numba's compiled loops in it.
INSTALL = """\
import os
from importlib.metadata import distributions, version

if not any(distributions(name="magnet-lab")):  # as on Colab and Kaggle: install it, keep the host's torch and numpy
    kept = " ".join(f"{name}=={version(name)}" for name in ("torch", "numpy") if any(distributions(name=name)))
    %pip install -q {os.environ.get("MAGNET_SOURCE", "git+REPOSITORY")} {kept}
    assert any(distributions(name="magnet-lab")), "pip could not install the course (see above): on Kaggle switch on \
Settings > Internet; else see REPOSITORY#hosts"
"""


def repository(project: Path = CHECKOUT / "pyproject.toml") -> str:
    """Return the address of the project's repository, as `pyproject.toml` has it.

    Raises:
        ValueError: if it is not one of a repository on GitHub: the hosts of notebooks open those.
    """
    address: str = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", address):
        raise ValueError(f"Repository in {project} must be https://github.com/OWNER/NAME, got {address!r}")
    return address


def install_lines(address: str) -> str:
    """Return what the first code cell of a notebook begins with: it installs the package where it is not there."""
    return INSTALL.rstrip().replace("REPOSITORY", address)


def badges(address: str, name: str) -> str:
    """Return the links that open a lesson on a host of notebooks, as Markdown.

    Args:
        address: of the repository.
        name: of the lesson, its file's name without ending; an assignment's begins with `assignments/`.
    """
    path = address.removeprefix("https://github.com/")
    folder, _, lesson = name.rpartition("/")
    what = f"{'assignment' if folder else 'lesson'} {lesson[:2]}"
    notebook = f"notebooks/{name}.ipynb"
    hosts = {
        "Colab": (
            "https://colab.research.google.com/assets/colab-badge.svg",
            f"https://colab.research.google.com/github/{path}/blob/{BRANCH}/{notebook}",
        ),
        "Kaggle": (
            "https://kaggle.com/static/images/open-in-kaggle.svg",
            f"https://kaggle.com/kernels/welcome?src={address}/blob/{BRANCH}/{notebook}",
        ),
        "Binder": (
            "https://mybinder.org/badge_logo.svg",
            f"https://mybinder.org/v2/gh/{path}/{BRANCH}?urlpath=lab/tree/{notebook}",
        ),
    }
    return " ".join(f"[![Open {what} in {host}]({image})]({link})" for host, (image, link) in hosts.items())


def with_badges(readme: str, address: str) -> str:
    """Return the README's text with the badges of each lesson in the last column of its table."""

    def row(line: re.Match[str]) -> str:
        return f"{line['row']}| {badges(address, line['name'])} |"

    return re.sub(
        r"^(?P<row>\| \d\d \| \[[^]|]+\]\(notebooks/(?P<name>\w+)\.ipynb\) \| [^|]+)\|.*$", row, readme, flags=re.M
    )
