import errno
import gzip
import io
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pooch
import pytest
from mnist_server import (
    PUBLISHED_FOLDER,
    SMALL_SIZES,
    accept_as_published,
    compressed,
    idx_bytes,
    isolate,
    mirror,
    published_files,
    small_contents,
    write_folder,
)

from magnet_helpers import mnist_files
from magnet_helpers.mnist_files import DataError, WrongFileError, read_idx, read_mnist

LABELS, IMAGES = "train-labels-idx1-ubyte", "train-images-idx3-ubyte"


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return isolate(monkeypatch, tmp_path / "home")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    contents = small_contents()
    accept_as_published(contents, monkeypatch)
    return contents


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist_files, "READ_SECONDS", 0.5)
    monkeypatch.setattr(mnist_files, "DECISION_SECONDS", 3.0)


def use_mirrors(monkeypatch: pytest.MonkeyPatch, *servers) -> None:
    monkeypatch.setenv("MAGNET_MNIST_MIRRORS", " ".join(server.url for server in servers))


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def with_byte(content: bytes, position: int, value: int) -> bytes:
    return content[:position] + bytes([value]) + content[position + 1 :]


# ---- one file


@pytest.mark.parametrize("zipped", [True, False])
def test_reading_gives_what_was_written(tmp_path, zipped):
    array = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    content = idx_bytes(array)
    (tmp_path / "file").write_bytes(gzip.compress(content) if zipped else content)
    read = read_idx(tmp_path / "file")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


ZIPPED = gzip.compress(small_contents()[IMAGES])
BAD_CONTENTS = {
    "empty": (b"", "truncated: expected a header.*got 0 bytes"),
    "header cut off": (small_contents()[IMAGES][:12], "truncated: expected a header.*got 12 bytes"),
    "contents cut off": (small_contents()[IMAGES][:-1], "truncated"),
    "gzip cut off": (ZIPPED[: len(ZIPPED) // 2], "truncated or damaged"),
    "gzip garbled": (with_byte(ZIPPED, 10, 7), "truncated or damaged"),
    "gzip damaged": (with_byte(ZIPPED, 200, ZIPPED[200] ^ 255), "truncated or damaged"),
    "one byte more": (small_contents()[IMAGES] + b"\0", "too long"),
    "header announces more": (with_byte(small_contents()[IMAGES], 7, 61), "announces.*61, 28"),
    "wrong magic number": (with_byte(small_contents()[IMAGES], 3, 4), "2051.*2049.*got 2052"),
    "web page": (b"<!DOCTYPE html><html></html>", "magic number.*DOCTYPE"),
}


@pytest.mark.parametrize("case", BAD_CONTENTS)
def test_a_bad_file_is_named_before_its_checksum(tmp_path, monkeypatch, small, case):
    content, message = BAD_CONTENTS[case]
    chosen = write_folder(tmp_path / "chosen", small)
    (chosen / IMAGES).write_bytes(content)
    with pytest.raises(WrongFileError, match=message):
        read_idx(chosen / IMAGES)
    monkeypatch.setenv("MAGNET_DATA", str(chosen))
    with pytest.raises(WrongFileError, match=f"(?s){message}.*MAGNET_DATA") as caught:
        read_mnist()
    assert "SHA-256" not in str(caught.value)
    assert (chosen / IMAGES).read_bytes() == content


# ---- the folder that MAGNET_DATA names


@pytest.mark.parametrize("zipped", [True, False])
def test_a_chosen_folder_is_read(tmp_path, monkeypatch, folder, small, zipped):
    files = compressed(small) if zipped else small
    monkeypatch.setenv("MAGNET_DATA", str(write_folder(tmp_path / "chosen", files)))
    arrays = read_mnist()
    assert {name: idx_bytes(array) for name, array in arrays.items()} == small
    assert entries(folder) == []


def test_a_missing_chosen_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MAGNET_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"nowhere, which is not an existing folder.*unset"):
        read_mnist()


def test_a_chosen_folder_without_one_file(tmp_path, monkeypatch, small):
    del small[LABELS]
    monkeypatch.setenv("MAGNET_DATA", str(write_folder(tmp_path / "chosen", small)))
    with pytest.raises(DataError, match=f"{LABELS} is not there"):
        read_mnist()


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch, small):
    del small[LABELS]
    chosen = write_folder(tmp_path / "chosen", small)
    (chosen / LABELS).mkdir()
    monkeypatch.setenv("MAGNET_DATA", str(chosen))
    with pytest.raises(DataError, match=f"{LABELS} cannot be read"):
        read_mnist()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (LABELS, idx_bytes(np.zeros(59, np.uint8)), "60 images and 59 labels"),
        (LABELS, with_byte(small_contents()[LABELS], 8, 10), "expected labels 0-9, got 10"),
        (LABELS, small_contents()[IMAGES], "2049 of labels.*mixed up"),
        (IMAGES, small_contents()[LABELS], "2051 of images.*mixed up"),
        (IMAGES, with_byte(small_contents()[IMAGES], 99, 7), "SHA-256 [0-9a-f]{64}, got"),
    ],
    ids=["lengths", "label", "images as labels", "labels as images", "checksum"],
)
def test_files_that_are_not_the_published_ones(tmp_path, monkeypatch, small, name, content, message):
    chosen = write_folder(tmp_path / "chosen", small | {name: content})
    monkeypatch.setenv("MAGNET_DATA", str(chosen))
    with pytest.raises(WrongFileError, match=f"(?s){message}.*MAGNET_DATA"):
        read_mnist()
    assert (chosen / name).read_bytes() == content


# ---- the download


def test_the_published_files_are_downloaded_and_found_again(monkeypatch, folder):
    files = published_files(monkeypatch)
    with mirror(files) as server:
        use_mirrors(monkeypatch, server)
        arrays = read_mnist()
        asked = len(server.asked)
        assert set(server.asked) == set(files)
        again = read_mnist()
        assert len(server.asked) == asked
    assert entries(folder) == sorted(files)
    assert arrays.keys() == again.keys() == mnist_files.MNIST_SHA256.keys()
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)
    size = SMALL_SIZES["train"] if PUBLISHED_FOLDER is None else 60_000
    assert arrays[IMAGES].shape == (size, 28, 28)


@pytest.mark.usefixtures("small")
def test_without_a_download_nothing_is_asked_for(monkeypatch, folder, small):
    with mirror(compressed(small)) as server:
        use_mirrors(monkeypatch, server)
        with pytest.raises(DataError, match="no download was asked for"):
            read_mnist(download=False)
        assert server.asked == []
    assert entries(folder) == []


def test_a_server_that_decompresses(monkeypatch, folder, small):
    with mirror(compressed(small), "unpacked") as server:
        use_mirrors(monkeypatch, server)
        read_mnist()
    assert entries(folder) == sorted(small)
    assert len(read_mnist(download=False)[LABELS]) == SMALL_SIZES["train"]


def test_a_slow_download_may_finish(monkeypatch, folder, small):
    monkeypatch.setattr(mnist_files, "READ_SECONDS", 0.4)
    monkeypatch.setattr(mnist_files, "DECISION_SECONDS", 0.6)
    started = time.monotonic()
    with mirror(compressed(small), "slow") as server:
        use_mirrors(monkeypatch, server)
        read_mnist()
    assert time.monotonic() - started > 0.8
    assert entries(folder) == sorted(compressed(small))


FAILURES = {
    "404": "HTTP status 404",
    "html": "magic number.*DOCTYPE",
    "hang": "did not answer in time",
    "drip": "did not answer in time",
    "stall": "did not answer in time",
    "break": "broke off half-way",
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("behaviour", FAILURES)
def test_a_failing_mirror_leaves_nothing_behind(monkeypatch, folder, small, behaviour):
    started = time.monotonic()
    with mirror(compressed(small), behaviour) as server:
        use_mirrors(monkeypatch, server)
        with pytest.raises(DataError, match=f"(?s){FAILURES[behaviour]}.*MAGNET_DATA"):
            read_mnist()
        assert len(set(server.asked)) == 1, "a mirror is given up after its first failure"
    assert time.monotonic() - started < 3.5
    assert entries(folder) == []


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("behaviour", FAILURES)
def test_the_second_mirror_takes_over(monkeypatch, folder, small, behaviour):
    with mirror(compressed(small), behaviour) as bad, mirror(compressed(small)) as good:
        use_mirrors(monkeypatch, bad, good)
        arrays = read_mnist()
        assert bad.asked
    assert {name: idx_bytes(array) for name, array in arrays.items()} == small
    assert entries(folder) == sorted(compressed(small))


def test_files_from_a_mirror_that_fails_later_are_kept(monkeypatch, folder, small):
    with mirror(compressed(small), "once") as bad, mirror(compressed(small)) as good:
        use_mirrors(monkeypatch, bad, good)
        read_mnist()
        assert len(set(good.asked)) == 3
    assert entries(folder) == sorted(compressed(small))


@pytest.mark.usefixtures("impatient")
def test_a_mirror_is_not_asked_when_the_time_is_up(monkeypatch, small):
    with (
        mirror({}, "hang") as first,
        mirror({}, "hang") as second,
        mirror(compressed(small)) as third,
    ):
        monkeypatch.setattr(mnist_files, "DECISION_SECONDS", 0.6)
        use_mirrors(monkeypatch, first, second, third)
        with pytest.raises(DataError, match="was not asked"):
            read_mnist()
        assert third.asked == []


def test_a_mirror_with_another_file(monkeypatch, folder, small):
    other = {name: with_byte(content, len(content) - 1, 5) for name, content in small.items()}
    with mirror(compressed(other)) as server:
        use_mirrors(monkeypatch, server)
        with pytest.raises(DataError, match="SHA-256"):
            read_mnist()
    assert entries(folder) == []


def test_a_wrong_file_is_replaced(monkeypatch, folder, small):
    files = compressed(small)
    write_folder(folder, files | {f"{LABELS}.gz": files[f"{LABELS}.gz"][:-9]})
    with mirror(files) as server:
        use_mirrors(monkeypatch, server)
        with pytest.warns(UserWarning, match=f"{LABELS}.*truncated.*removed"):
            arrays = read_mnist()
        assert set(server.asked) == {f"{LABELS}.gz"}
    assert idx_bytes(arrays[LABELS]) == small[LABELS]
    assert (folder / f"{LABELS}.gz").read_bytes() == files[f"{LABELS}.gz"]


def test_a_wrong_file_is_not_used_when_the_download_fails(folder, small):
    write_folder(folder, compressed(small | {LABELS: idx_bytes(np.zeros(60, np.uint8))}))
    with (
        pytest.warns(UserWarning, match=f"{LABELS}.*SHA-256.*removed"),
        pytest.raises(DataError, match="could not be reached"),
    ):
        read_mnist()
    assert entries(folder) == sorted(set(compressed(small)) - {f"{LABELS}.gz"})


def test_a_good_plain_file_beside_a_wrong_compressed_one(folder, small):
    write_folder(folder, small | {f"{LABELS}.gz": b"\x1f\x8b nonsense"})
    with pytest.warns(UserWarning, match="removed"):
        arrays = read_mnist()
    assert idx_bytes(arrays[LABELS]) == small[LABELS]
    assert entries(folder) == sorted(small)


def test_two_processes_download_at_once(monkeypatch, folder, small):
    code = (
        "import json, sys\n"
        "from magnet_helpers import mnist_files\n"
        "mnist_files.MNIST_SHA256.update(json.loads(sys.argv[1]))\n"
        "print(sorted(map(len, mnist_files.read_mnist().values())))\n"
    )
    with mirror(compressed(small), "slow") as server:
        use_mirrors(monkeypatch, server)
        command = [sys.executable, "-c", code, json.dumps(mnist_files.MNIST_SHA256)]
        processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
        ]
        for process in processes:
            output, errors = process.communicate(timeout=20)
            assert output.strip() == "[20, 20, 60, 60]", errors
    assert entries(folder) == sorted(compressed(small))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_mnist(download=False)


# ---- a disk that does not take the files


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


def test_a_wrong_file_in_a_read_only_folder(monkeypatch, folder, small):
    write_folder(folder, compressed(small | {LABELS: b""}))
    folder.chmod(0o555)

    def refuse(path, missing_ok=False):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as patch:
        if os.access(folder, os.W_OK):
            patch.setattr(Path, "unlink", refuse)
        with pytest.raises(DataError, match=r"(?s)Permission denied.*writable"):
            read_mnist()
    folder.chmod(0o755)


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
