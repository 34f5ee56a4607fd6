"""A disk that does not take the downloaded files."""

import errno
import io
import os
import time
from pathlib import Path

import pooch
import pytest
from mnist_server import compressed, entries, mirror, use_mirrors

from magnet_helpers.data import DataError, mnist_download, mnist_files
from magnet_helpers.data.mnist_files import read_mnist

LABELS, IMAGES = "train-labels-idx1-ubyte", "train-images-idx3-ubyte"


class FailingFile(io.FileIO):
    def write(self, content):
        if self.tell() > 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(content)


def test_a_full_disk(monkeypatch, folder, small):
    monkeypatch.setattr(pooch.downloaders, "open", lambda path, mode: FailingFile(path, "w+"), raising=False)
    with mirror(compressed(small)) as server, mirror(compressed(small)) as second:
        use_mirrors(monkeypatch, server, second)
        with pytest.raises(DataError, match=r"(?s)No space left.*space.*MAGNET_HOME.*MAGNET_DATA"):
            read_mnist()
        assert server.asked
        assert second.asked == [], "another mirror does not help a full disk"
    whole = {f"{name}.gz" for name in mnist_files.MNIST_SHA256 if (folder / f"{name}.gz").exists()}
    assert set(entries(folder)) == whole
    assert f"{IMAGES}.gz" not in whole


def test_a_read_only_folder(monkeypatch, folder, small):
    folder.mkdir(parents=True)
    folder.chmod(0o555)

    def refuse(path, mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    if os.access(folder, os.W_OK):  # permission bits do not bind the superuser
        monkeypatch.setattr(pooch.downloaders, "open", refuse, raising=False)
    with mirror(compressed(small)) as server:
        use_mirrors(monkeypatch, server)
        with pytest.raises(DataError, match=r"(?s)Permission denied.*writable.*MAGNET_HOME") as e:
            read_mnist()
    folder.chmod(0o755)
    assert str(folder) in str(e.value)
    assert entries(folder) == []


def test_a_place_that_is_no_folder(monkeypatch, folder, small):
    folder.parent.mkdir(parents=True)
    folder.write_text("not a folder")
    with mirror(compressed(small)) as server:
        use_mirrors(monkeypatch, server)
        with pytest.raises(DataError, match=r"(?s)cannot be stored in.*MAGNET_HOME"):
            read_mnist()
    assert folder.read_text() == "not a folder"


def test_an_interrupted_download_leaves_nothing_behind(monkeypatch, folder, small):
    def interrupted(self, url, output_file, pooch, check_only=False):
        Path(output_file).write_bytes(b"\x1f\x8b half")
        assert entries(folder) == [Path(output_file).name]
        raise KeyboardInterrupt

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
    with mirror(compressed(small)) as server:
        use_mirrors(monkeypatch, server)
        with pytest.raises(KeyboardInterrupt):
            read_mnist()
    assert entries(folder) == []


def test_what_killed_downloads_have_left_is_removed_after_a_day(folder, monkeypatch, small):
    folder.mkdir(parents=True)
    day = 24 * 3600
    old, young = (f".{LABELS}-{digit * 32}.part" for digit in "ab")
    others = ["notes.part", f".{LABELS}-mine.part"]
    ages = {old: 1.01 * day, young: 0.99 * day, **dict.fromkeys(others, 9 * day)}
    for name, age in ages.items():
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age, time.time() - age))
    with mirror(compressed(small)) as server:
        use_mirrors(monkeypatch, server)
        read_mnist()
    assert entries(folder) == sorted([*compressed(small), young, *others])
    os.utime(folder / young, (0, 0))
    read_mnist()
    assert young in entries(folder), "nothing is removed where nothing is downloaded"


def test_a_killed_download_leaves_a_part_that_is_no_file(folder, monkeypatch, small):
    """So that the name of what is left is the one that is looked for."""
    seen = []

    def killed(self, url, output_file, pooch, check_only=False):
        Path(output_file).write_bytes(b"half")
        os.utime(output_file, (0, 0))
        seen.append(Path(output_file))
        mnist_download._remove_old_parts(folder)
        assert not seen[-1].exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", killed)
    with mirror(compressed(small)) as server:
        use_mirrors(monkeypatch, server)
        with pytest.raises(KeyboardInterrupt):
            read_mnist()
    assert seen
