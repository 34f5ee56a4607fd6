import gzip

import numpy as np
import pytest
from mnist_server import (
    compressed,
    entries,
    idx_bytes,
    mirror,
    small_contents,
    use_mirrors,
    with_byte,
    write_folder,
)

from magnet_helpers.data import DataError, WrongFileError
from magnet_helpers.data.idx import _read_idx
from magnet_helpers.data.mnist_files import read_mnist

LABELS, IMAGES = "train-labels-idx1-ubyte", "train-images-idx3-ubyte"


# ---- one file


@pytest.mark.parametrize("zipped", [True, False])
def test_reading_gives_what_was_written(tmp_path, zipped):
    array = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    content = idx_bytes(array)
    (tmp_path / "file").write_bytes(gzip.compress(content) if zipped else content)
    read = _read_idx(tmp_path / "file")
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
        _read_idx(chosen / IMAGES)
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


# ---- the course's own folder


def test_a_good_plain_file_beside_a_wrong_compressed_one(folder, small):
    files = small | {f"{LABELS}.gz": b"\x1f\x8b nonsense"}
    write_folder(folder, files)
    with pytest.warns(UserWarning, match=rf"{LABELS}.gz: expected.*left where it is, and .*{LABELS} is used"):
        arrays = read_mnist()
    assert idx_bytes(arrays[LABELS]) == small[LABELS]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


@pytest.mark.usefixtures("small")
def test_without_a_download_nothing_is_asked_for(monkeypatch, folder, small):
    with mirror(compressed(small)) as server:
        use_mirrors(monkeypatch, server)
        with pytest.raises(DataError, match="no download was asked for"):
            read_mnist(download=False)
        assert server.asked == []
    assert entries(folder) == []


def test_a_wrong_file_is_neither_used_nor_removed(folder, small):
    files = compressed(small | {LABELS: idx_bytes(np.zeros(60, np.uint8))})
    write_folder(folder, files)
    with pytest.raises(WrongFileError, match=rf"{LABELS}.*SHA-256.*left where it is.*MAGNET_DATASET"):
        read_mnist()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
