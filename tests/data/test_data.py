import errno
import os
import time
import warnings

import pooch
import pytest
import torch
from mnist_server import (
    PUBLISHED_FOLDER,
    SMALL_SIZES,
    compressed,
    mirror,
    published_files,
    write_folder,
)

from magnet_helpers.data import DataError, LabeledImages, load_images

ONE_IMAGE, ONE_LABEL = torch.zeros(1, 1, 28, 28), torch.zeros(1, dtype=torch.int64)


def keys(part: LabeledImages) -> set[bytes]:
    return {image.numpy().tobytes() for image in part.images}


# ---- LabeledImages


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (ONE_IMAGE.double(), ONE_LABEL, r"float32, got torch.float64.*float\(\)"),
        (ONE_IMAGE.byte(), ONE_LABEL, r"floating-point numbers in \[0, 1\], got torch.uint8: for bytes, divide by 255"),
        (ONE_IMAGE[0], ONE_LABEL, r"\(N, 1, 28, 28\).*got \(1, 28, 28\)"),
        (torch.zeros(1, 3, 28, 28), ONE_LABEL, r"got \(1, 3, 28, 28\): these have three colours.*mean"),
        (ONE_IMAGE[:0], ONE_LABEL[:0], r"N at least 1, got \(0, 1, 28, 28\)"),
        (ONE_IMAGE, ONE_LABEL.int(), r"int64.*got torch.int32"),
        (ONE_IMAGE, ONE_LABEL[:, None], r"got torch.int64 of shape \(1, 1\)"),
        (ONE_IMAGE, ONE_LABEL.repeat(2), "a label for each of the 1 images, got 2 labels"),
        (ONE_IMAGE + 255, ONE_LABEL, r"\[0, 1\], got values from 255 to 255: .*images / 255 for bytes"),
        (ONE_IMAGE + 1.001, ONE_LABEL, r"got values from 1.001 to 1.001: scale or clamp"),
        (ONE_IMAGE - 0.5, ONE_LABEL, "got values from -0.5 to -0.5: if they were normalised, undo that"),
        (ONE_IMAGE * float("nan"), ONE_LABEL, "finite numbers, got NaN or infinite ones in 1 of 1 images"),
        (ONE_IMAGE, ONE_LABEL - 1, "0 or more, got -1"),
    ],
)
def test_images_or_labels_that_are_refused(images, labels, message):
    with pytest.raises(DataError, match=message):
        LabeledImages(images, labels)


def test_the_limits_are_allowed():
    images = torch.stack([torch.zeros(1, 28, 28), torch.ones(1, 28, 28)])
    assert len(LabeledImages(images, torch.tensor([0, 9]))) == 2


def test_first_gives_views():
    images = LabeledImages(torch.rand(5, 1, 28, 28), torch.arange(5))
    part = images.first(3)
    assert len(part) == 3
    assert part.images.data_ptr() == images.images.data_ptr()
    assert part.labels.tolist() == [0, 1, 2]
    assert images.first(None) is images
    assert len(images.first(5)) == 5
    for wrong in (0, -1, 6):
        with pytest.raises(ValueError, match=f"from 1 to 5, got {wrong}"):
            images.first(wrong)


def test_the_checks_are_quick():
    images, labels = torch.full((60_000, 1, 28, 28), 0.5), torch.zeros(60_000, dtype=torch.int64)
    LabeledImages(images, labels)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        LabeledImages(images, labels)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.2


# ---- digits


def test_digits():
    digits = load_images("digits")
    assert (digits.name, digits.title) == ("digits", "scikit-learn digits")
    assert [len(p) for p in (digits.train, digits.validation, digits.test)] == [1257, 180, 360]
    for part in (digits.train, digits.validation, digits.test):
        margin = part.images.clone()
        margin[:, :, 4:24, 4:24] = 0
        assert margin.max() == 0
        assert part.images.max() == 1.0
    assert digits.test.labels.bincount().min() >= 34


def test_the_parts_are_disjoint_and_complete():
    digits = load_images("digits")
    parts = [keys(part) for part in (digits.train, digits.validation, digits.test)]
    assert sum(len(part) for part in parts) == len(set.union(*parts)) == 1797


def test_the_split_depends_on_its_seed_alone():
    torch.manual_seed(1)
    first = load_images("digits")
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again, other = load_images("digits"), load_images("digits", split_seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(first, part).images, getattr(again, part).images)
        assert torch.equal(getattr(first, part).labels, getattr(again, part).labels)
    assert first.fingerprint == again.fingerprint
    assert keys(first.validation) != keys(other.validation)
    assert torch.equal(first.test.images, other.test.images)


def test_the_fingerprint_names_the_split(monkeypatch, tmp_path, small):
    fingerprints = [
        load_images("digits").fingerprint,
        load_images("digits", split_seed=1).fingerprint,
        load_images("digits", validation_images=181).fingerprint,
    ]
    monkeypatch.setenv("MAGNET_DATA", str(write_folder(tmp_path / "chosen", small)))
    fingerprints.append(load_images("mnist", validation_images=10).fingerprint)
    assert len(set(fingerprints)) == 4
    assert all(len(value) == 12 and int(value, 16) >= 0 for value in fingerprints)


@pytest.mark.parametrize("count", [0, -1, 1437, 5000])
def test_impossible_numbers_of_validation_images(count):
    with pytest.raises(ValueError, match=f"from 1 to 1436, got {count}"):
        load_images("digits", validation_images=count)


@pytest.mark.parametrize("name", ["MNIST", "cifar", ""])
def test_unknown_names(name):
    with pytest.raises(ValueError, match=r'"auto", "mnist" or "digits", or the path of a folder.*got'):
        load_images(name)


# ---- MNIST


def test_mnist(monkeypatch, tmp_path):
    files = published_files(monkeypatch)
    monkeypatch.setenv("MAGNET_DATA", str(write_folder(tmp_path / "chosen", files)))
    real = PUBLISHED_FOLDER is not None
    started = time.perf_counter()
    mnist = load_images("mnist", validation_images=None if real else 10)
    assert time.perf_counter() - started < 10  # about 1 second on a machine with nothing else to do
    assert (mnist.name, mnist.title) == ("mnist", "MNIST")
    sizes = [len(part) for part in (mnist.train, mnist.validation, mnist.test)]
    assert sizes == ([55_000, 5_000, 10_000] if real else [50, 10, 20])
    assert mnist.train.images.max() == 1.0
    in_order = [7, 2, 1, 0, 4, 1, 4, 9] if real else list(range(8))
    assert mnist.test.labels[:8].tolist() == in_order
    counts = mnist.train.labels.bincount() + mnist.validation.labels.bincount(minlength=10)
    assert counts.tolist()[:2] == ([5923, 6742] if real else [6, 6])


def test_images_keep_their_labels(monkeypatch, tmp_path, small):
    monkeypatch.setenv("MAGNET_DATA", str(write_folder(tmp_path / "chosen", small)))
    labels = {}
    for seed in (0, 1):
        mnist = load_images("mnist", split_seed=seed, validation_images=10)
        assert len(keys(mnist.train) | keys(mnist.validation)) == SMALL_SIZES["train"]
        for part in (mnist.train, mnist.validation):
            for image, label in zip(part.images, part.labels.tolist(), strict=True):
                assert labels.setdefault(image.numpy().tobytes(), label) == label
    assert len(labels) == SMALL_SIZES["train"]


# ---- auto


def test_auto_takes_mnist_from_a_mirror(monkeypatch, small):
    with mirror(compressed(small)) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setenv("MAGNET_MNIST_MIRRORS", server.url)
        assert load_images(validation_images=10).name == "mnist"
    assert load_images(validation_images=10).name == "mnist"


def test_auto_falls_back_and_says_so_once(monkeypatch, folder, small):
    with pytest.warns(UserWarning, match="scikit-learn digits in place of MNIST") as caught:
        assert load_images().name == "digits"
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert "could not be reached" in str(caught[0].message)
    with mirror(compressed(small)) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setenv("MAGNET_MNIST_MIRRORS", server.url)
        assert load_images().name == "digits"
        assert server.asked == [], "auto decides once per process"
        assert load_images("mnist", validation_images=10).name == "mnist"
        assert load_images(validation_images=10).name == "mnist"


def test_auto_does_not_hide_a_wrong_argument(small, folder):
    write_folder(folder, small)
    with pytest.raises(ValueError, match="from 1 to 59, got 60"):
        load_images(validation_images=60)


def test_mnist_does_not_fall_back():
    with pytest.raises(DataError, match="could not be reached"):
        load_images("mnist")


@pytest.mark.parametrize("fault", ["missing folder", "wrong file"])
def test_auto_does_not_leave_a_folder_that_was_asked_for(monkeypatch, tmp_path, small, fault):
    chosen = tmp_path / "chosen"
    if fault == "wrong file":
        write_folder(chosen, small | {"t10k-labels-idx1-ubyte": b"\0\0\x08\x01"})
    monkeypatch.setenv("MAGNET_DATA", str(chosen))
    with pytest.raises(DataError, match="MAGNET_DATA"):
        load_images()


def test_auto_with_a_full_disk(monkeypatch, small):
    def refuse(path, mode):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(pooch.downloaders, "open", refuse, raising=False)
    with mirror(compressed(small)) as server:
        monkeypatch.setenv("MAGNET_MNIST_MIRRORS", server.url)
        with pytest.warns(UserWarning, match=r"(?s)digits in place of MNIST.*No space left"):
            assert load_images().name == "digits"


def test_auto_decides_in_time_when_mirrors_hang(monkeypatch, folder):
    with mirror({}, "drip") as first, mirror({}, "hang") as second, mirror({}, "hang") as third:
        urls = [server.url for server in (first, second, third)]
        monkeypatch.setenv("MAGNET_MNIST_MIRRORS", " ".join(urls))
        started = time.monotonic()
        with pytest.warns(UserWarning, match="did not answer in time"):
            assert load_images().name == "digits"
        assert time.monotonic() - started < 15
        assert first.asked
        assert second.asked
    assert not folder.exists()
