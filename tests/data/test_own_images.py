"""A reader's own images: from a folder of IDX files, from tensors and from NumPy arrays."""

import dataclasses
import gzip
import pickle

import numpy as np
import pytest
import torch
from mnist_server import idx_bytes, write_folder

from magnet_helpers.data import DataError, ImageData, LabeledImages, WrongFileError, can_be_loaded_again, load_images
from magnet_helpers.lab.lab import Lab

IMAGES = "train-images-idx3-ubyte"


def arrays(classes=10, train=60, test=20):
    """Return images in 0-255 and labels of both parts; each image is another one."""
    random = np.random.default_rng(classes)
    pixels = random.integers(0, 256, (train + test, 28, 28), dtype=np.uint8)
    labels = (np.arange(train + test) % classes).astype(np.uint8)
    return (pixels[:train], labels[:train]), (pixels[train:], labels[train:])


def own_files(classes=10):
    """Return the four files, not compressed, by name."""
    files = {}
    for part, (pixels, labels) in zip(("train", "t10k"), arrays(classes), strict=True):
        files |= {f"{part}-images-idx3-ubyte": idx_bytes(pixels), f"{part}-labels-idx1-ubyte": idx_bytes(labels)}
    return files


def zipped(files, *names):
    """Return the files with those of these names compressed."""
    kept = {name: content for name, content in files.items() if name not in names}
    return kept | {f"{name}.gz": gzip.compress(files[name]) for name in names}


def as_pairs(*parts):
    """Return which image has which label, over several parts."""
    return {
        (image.numpy().tobytes(), label)
        for part in parts
        for image, label in zip(part.images, part.labels.tolist(), strict=True)
    }


# ---- a folder


@pytest.mark.parametrize("classes", [2, 5, 10, 26])
@pytest.mark.parametrize("compressed", [(), tuple(own_files()), (IMAGES,)], ids=["plain", "gz", "both"])
def test_a_folder_of_any_number_of_classes(tmp_path, classes, compressed):
    folder = write_folder(tmp_path / "Fashion-MNIST", zipped(own_files(classes), *compressed))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    data = load_images(str(folder))
    assert (data.name, data.title, data.n_classes) == ("Fashion-MNIST", "Fashion-MNIST", classes)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [55, 5, 20], "a twelfth, as MNIST's"
    (pixels, labels), (test_pixels, test_labels) = arrays(classes)
    expected = {((image / np.float32(255)).tobytes(), int(label)) for image, label in zip(pixels, labels, strict=True)}
    assert as_pairs(data.train, data.validation) == expected
    assert torch.equal(data.test.images[:, 0], torch.from_numpy(test_pixels) / 255)
    assert data.test.labels.tolist() == test_labels.tolist()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_fingerprint_follows_from_contents_and_split_alone(tmp_path):
    folder = write_folder(tmp_path / "one", own_files())
    write_folder(tmp_path / "another", zipped(own_files(), *own_files()))
    train, test = arrays()
    data = load_images(str(folder))
    same = [
        load_images(str(tmp_path / "another")),
        ImageData.from_folder(folder, "With a name"),
        ImageData.from_tensors("Arrays", train, test),
        ImageData.from_tensors("Floats", (torch.from_numpy(train[0]) / 255, torch.from_numpy(train[1])), test),
    ]
    assert {each.fingerprint for each in same} == {data.fingerprint}
    other_pixel, other_label, other_test = train[0].copy(), train[1].copy(), test[0].copy()
    other_pixel[0, 0, 0] ^= 1
    other_label[0] ^= 1
    other_test[3, 3, 3] ^= 1
    different = [
        load_images(str(folder), split_seed=1),
        load_images(str(folder), validation_images=6),
        ImageData.from_tensors("Arrays", (other_pixel, train[1]), test),
        ImageData.from_tensors("Arrays", (train[0], other_label), test),
        ImageData.from_tensors("Arrays", train, (other_test, test[1])),
    ]
    fingerprints = {data.fingerprint, *(each.fingerprint for each in different)}
    assert len(fingerprints) == 6
    assert all(len(text) == 12 and int(text, 16) >= 0 for text in fingerprints)
    assert torch.equal(data.test.images, different[0].test.images)
    assert as_pairs(data.validation) != as_pairs(different[0].validation)


def test_the_name_of_the_folder_need_not_be_the_title(tmp_path):
    folder = write_folder(tmp_path / "raw", own_files())
    assert ImageData.from_folder(folder, "Fashion-MNIST").title == "Fashion-MNIST"
    with pytest.raises(DataError, match="a name of its own, got 'mnist'"):
        ImageData.from_folder(folder, "mnist")


@pytest.mark.parametrize("damage", ["cut off", "mixed up", "a web page"])
def test_a_damaged_file_is_named_and_left_where_it_is(tmp_path, damage):
    files = own_files()
    contents, message = {
        "cut off": (gzip.compress(files[IMAGES])[:-20], "truncated or damaged"),
        "mixed up": (files["train-labels-idx1-ubyte"], "mixed up"),
        "a web page": (b"<!DOCTYPE html>" * 9, "magic number.*DOCTYPE"),
    }[damage]
    folder = write_folder(tmp_path / "mine", files | {IMAGES: contents})
    with pytest.raises(WrongFileError, match=rf"{IMAGES}: .*{message}"):
        load_images(str(folder))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files | {IMAGES: contents}


def test_a_file_that_is_missing_is_named(tmp_path):
    files = own_files()
    del files[IMAGES]
    folder = write_folder(tmp_path / "mine", files)
    with pytest.raises(DataError, match=rf"with \.gz\), but {IMAGES} is not there"):
        load_images(str(folder))


def test_of_a_file_that_is_there_twice_the_compressed_one_is_read(tmp_path):
    files = own_files()
    folder = write_folder(tmp_path / "mine", files | zipped({IMAGES: files[IMAGES]}, IMAGES))
    assert len(load_images(str(folder)).train) == 55
    other = files[IMAGES][:-1] + b"\7"
    (folder / IMAGES).write_bytes(other)
    with pytest.raises(DataError, match=rf"{IMAGES}\.gz and {IMAGES} hold different contents: keep only"):
        load_images(str(folder))
    assert (folder / IMAGES).read_bytes() == other


def test_images_of_another_size_are_refused_with_the_folders_name(tmp_path):
    small = idx_bytes(np.zeros((60, 32, 32), np.uint8))
    folder = write_folder(tmp_path / "mine", own_files() | {IMAGES: small})
    message = r"mine: images must have shape \(N, 1, 28, 28\).*got \(60, 1, 32, 32\): resize or crop them to 28×28"
    with pytest.raises(DataError, match=message):
        load_images(str(folder))


@pytest.mark.parametrize("shape", [(60, 3, 28, 28), (60, 28, 28, 3)])
def test_a_file_of_colour_images_is_told_from_another_kind_of_file(tmp_path, shape):
    folder = write_folder(tmp_path / "mine", own_files() | {IMAGES: idx_bytes(np.zeros(shape, np.uint8))})
    with pytest.raises(
        WrongFileError, match=rf"{IMAGES}: .*grey images, N×28×28.* an IDX file of 4 dimensions: .*grey"
    ):
        load_images(str(folder))


def test_a_dataset_and_its_lab_are_shown_without_their_numbers():
    data = ImageData.from_tensors("Mine", *arrays(5))
    assert repr(data) == "ImageData('Mine', n_classes=5, train=55, validation=5, test=20)"
    assert repr(data) in repr(Lab(data=data))
    assert len(repr(Lab(data=data)).splitlines()) == 1


def test_a_relative_path_is_looked_for_from_here_and_then_in_the_workspace(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "notebooks")  # as a notebook's kernel
    write_folder(tmp_path / "data" / "mine", own_files(5))
    for data in (load_images("data/mine"), ImageData.from_folder("data/mine")):
        assert (data.name, data.n_classes, data.source) == ("mine", 5, str(tmp_path / "data" / "mine"))
    write_folder(tmp_path / "notebooks" / "data" / "mine", own_files(2))
    assert load_images("data/mine").n_classes == 2


def test_a_folder_that_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(
        DataError, match=r"or the path of a folder of IDX files, got '/nowhere/mine', but .* /nowhere/m"
    ):
        load_images("/nowhere/mine")
    with pytest.raises(DataError, match=r"expected the path .* there is no folder /nowhere/mine: use"):
        ImageData.from_folder("/nowhere/mine")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("MAGNET_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "notebooks")
    places = f"{tmp_path}/notebooks/mine or {tmp_path}/mine"
    for load in (load_images, ImageData.from_folder):
        with pytest.raises(DataError, match=f"got 'mine', but there is no folder {places}: use"):
            load("mine")


# ---- tensors and arrays


@pytest.mark.parametrize("kind", ["uint8", "float32", "float64", "with a channel", "tensor", "a view"])
def test_arrays_and_tensors_give_the_same_images(kind):
    (pixels, labels), _ = arrays()
    grey = pixels / np.float32(255)
    images, numbers = {
        "uint8": (pixels, labels),
        "float32": (grey, labels.astype(np.int32)),
        "float64": (pixels / 255, labels.astype(np.int64)),
        "with a channel": (pixels[:, None], labels),
        "tensor": (torch.from_numpy(pixels), torch.from_numpy(labels).short()),
        "a view": (np.flip(np.flip(pixels, 0).copy(), 0), labels),
    }[kind]
    got = LabeledImages.from_arrays(images, numbers)
    assert torch.equal(got.images, torch.from_numpy(grey)[:, None])
    assert got.labels.tolist() == labels.tolist()
    assert got.n_classes == 10


def test_what_comes_in_is_not_changed_and_not_shared():
    images, labels = torch.rand(24, 28, 28), torch.arange(24) % 2
    data = ImageData.from_tensors("Mine", (images, labels), (images, labels))
    before = data.test.images.clone()
    images.zero_()
    assert torch.equal(data.test.images, before)


PIXELS, LABELS = torch.rand(4, 28, 28), torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (PIXELS[:, None].repeat(1, 3, 1, 1), LABELS, r"got \(4, 3, 28, 28\): these have three colours"),
        (PIXELS[..., None].repeat(1, 1, 1, 3), LABELS, r"got \(4, 28, 28, 3\): these have three colours"),
        (PIXELS[:, :27], LABELS, r"got \(4, 1, 27, 28\): resize"),
        (PIXELS.flatten(1), LABELS, r"got \(4, 784\): reshape"),
        (PIXELS * 255, LABELS, "divide by 255"),
        ((PIXELS * 255).int(), LABELS, "got torch.int32: for bytes, divide by 255"),
        (PIXELS > 0.5, LABELS, "got torch.bool"),
        (np.array([["a"]]), LABELS, "images must be a tensor or a NumPy array of numbers"),
        (PIXELS, torch.eye(4).long(), r"of shape \(4, 4\): if they are one-hot, take labels.argmax\(dim=1\)"),
        (PIXELS, np.eye(4), "one-hot"),
        (PIXELS, LABELS.float(), r"got torch.float32 of shape \(4,\): if they are whole numbers, take labels.long"),
        (PIXELS, LABELS - 1, "0 or more, got -1"),
        (PIXELS, LABELS[:3], "a label for each of the 4 images, got 3 labels"),
        (PIXELS, [None, None], "labels must be a tensor or a NumPy array of numbers"),
    ],
)
def test_arrays_that_are_refused(images, labels, message):
    with pytest.raises(DataError, match=message):
        LabeledImages.from_arrays(images, labels)


def test_one_class_alone_is_nothing_to_tell_apart():
    part = (PIXELS, torch.zeros(4).long())
    with pytest.raises(DataError, match="Mine must have at least 2 classes, got the label 0 alone"):
        ImageData.from_tensors("Mine", part, part)


@pytest.mark.parametrize("name", ["", "  ", "mnist", "MNIST", "digits", "auto"])
def test_a_name_that_would_be_taken_for_another_dataset(name):
    with pytest.raises(DataError, match="needs a name of its own"):
        ImageData.from_tensors(name, (PIXELS, LABELS), (PIXELS, LABELS))


@pytest.mark.parametrize("count", [0, 4])
def test_impossible_numbers_of_validation_images(count):
    with pytest.raises(ValueError, match=f"from 1 to 3, got {count}: .*4 training images of Mine"):
        ImageData.from_tensors("Mine", (PIXELS, LABELS), (PIXELS, LABELS), validation_images=count)


# ---- for worker processes


def test_what_a_worker_can_load_again(tmp_path):
    folder = write_folder(tmp_path / "mine", own_files())
    data = ImageData.from_folder(folder, "Fashion-MNIST")
    assert can_be_loaded_again(data)
    assert can_be_loaded_again(pickle.loads(pickle.dumps(data)))
    assert can_be_loaded_again(load_images("digits"))
    assert not can_be_loaded_again(load_images("digits", split_seed=1)), "a worker would get another split"
    assert not can_be_loaded_again(ImageData.from_tensors("Mine", *arrays()))
    assert not can_be_loaded_again(dataclasses.replace(data, fingerprint="0" * 12))
    (folder / IMAGES).unlink()
    assert not can_be_loaded_again(data)
    folder.rename(tmp_path / "gone")
    assert not can_be_loaded_again(data)
