import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROOMS = ("magnet_helpers", "notebooks", "tools")  # the folders whose entries the tree names


def tree(text: str) -> list[str]:
    """Return the paths of the block that begins with the package, each with the folder that it is indented under."""
    (block,) = re.findall(r"^```\n(magnet_helpers/.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    paths, folder = [], ""
    for line in block.splitlines():
        entry, said = re.fullmatch(r"( {2}|)(\S+) {2,}(.+)", line).group(2, 3)
        assert said
        folder = folder if line.startswith(" ") else entry
        paths.append(folder + entry if line.startswith(" ") else entry)
    return paths


def kept() -> set[str]:
    """Return what lies in the project's folders and in the rooms, without hidden and private files."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()]
    folders = [path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."]
    there = {f"{name}/" for name in folders if not any(fnmatch(name, pattern) for pattern in ignored)}
    for room in ROOMS:
        for path in (ROOT / room).iterdir():
            if path.name[0] in "_." or (room != "magnet_helpers" and path.is_file()) or path.name == "py.typed":
                continue
            there.add(f"{room}/{path.name}{'/' if path.is_dir() else ''}")
    return there


def test_the_tree_names_what_is_there_and_nothing_else():
    named = tree(README)
    assert len(set(named)) == len(named)
    assert set(named) == kept()


def test_its_rooms_stand_in_the_order_of_their_imports():
    from test_architecture import ROOMS as ORDER

    rooms = [path.removeprefix("magnet_helpers/").removesuffix("/").removesuffix(".py") for path in tree(README)]
    assert [room for room in rooms if room in ORDER][: len(ORDER)] == ORDER


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([\w/.-]+)\)", README))))
def test_every_link_leads_to_a_file(path):
    assert (ROOT / path).exists()


def test_every_make_target_that_it_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, flags=re.MULTILINE))
    assert named
    assert named <= targets


def test_the_files_to_open_first_are_named_on_the_first_screen():
    screen = README.split("## The lessons")[0]
    assert {"magnet_helpers/models.py", "magnet_helpers/training.py"} <= set(re.findall(r"\]\(([\w/.]+)\)", screen))
