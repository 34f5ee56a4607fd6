"""Where things lie: a name that the system cannot resolve is a name, and no reason to break off."""

import pytest

from magnet_helpers.data import DataError, load_images
from magnet_helpers.workspace import places_of, workspace


@pytest.mark.parametrize("text", ["~nobody-of-that-name/a", "~nobody-of-that-name"])
def test_the_home_of_nobody_is_a_folder_of_that_name_as_in_a_shell(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAGNET_HOME", text)
    assert workspace() == tmp_path / text
    assert places_of(text)[0] == tmp_path / text
    with pytest.raises(DataError, match=r"there is no folder .*~nobody"):
        load_images(text)
    monkeypatch.setenv("MAGNET_DATA", text)
    with pytest.raises(DataError, match=r"MAGNET_DATA names .*~nobody.*, which is not an existing folder"):
        load_images("mnist")


def test_a_home_is_taken_for_what_it_means(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("MAGNET_HOME", "~/lab")
    assert workspace() == (tmp_path / "lab").resolve()
    assert places_of("~/mine") == [(tmp_path / "mine").resolve()]
