import multiprocessing
import time
import warnings

import numpy as np
import pytest
from mnist_server import (
    PUBLISHED_FOLDER,
    SMALL_SIZES,
    compressed,
    entries,
    idx_bytes,
    mirror,
    published_files,
    use_mirrors,
    with_byte,
    write_folder,
)

from magnet_helpers.data import DataError, WrongFileError, mnist_download, mnist_files
from magnet_helpers.data.mnist_files import read_mnist

LABELS, IMAGES = "train-labels-idx1-ubyte", "train-images-idx3-ubyte"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist_download, "_READ_SECONDS", 0.5)
    monkeypatch.setattr(mnist_download, "_DECISION_SECONDS", 3.0)


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


def test_a_server_that_decompresses(monkeypatch, folder, small):
    with mirror(compressed(small), "unpacked") as server:
        use_mirrors(monkeypatch, server)
        read_mnist()
    assert entries(folder) == sorted(small)
    assert len(read_mnist(download=False)[LABELS]) == SMALL_SIZES["train"]


def test_a_slow_download_may_finish(monkeypatch, folder, small):
    monkeypatch.setattr(mnist_download, "_READ_SECONDS", 0.4)
    monkeypatch.setattr(mnist_download, "_DECISION_SECONDS", 0.6)
    started = time.monotonic()
    with mirror(compressed(small), "slow") as server:
        use_mirrors(monkeypatch, server)
        read_mnist()
    assert time.monotonic() - started > 0.8
    assert entries(folder) == sorted(compressed(small))


FAILURES = {
    "401": r"HTTP status 401 \(Unauthorized\): access is refused",
    "403": r"HTTP status 403 \(Forbidden\): access is refused",
    "404": r"HTTP status 404 \(Not Found\)\.",
    "407": r"HTTP status 407 \(Proxy Authentication Required\): a proxy wants a name and a password",
    "429": r"HTTP status 429 \(Too Many Requests\)\.",
    "503": r"HTTP status 503 \(Service Unavailable\)\.",
    "511": r"HTTP status 511 \(Network Authentication Required\): this network may want you to log in",
    "599": r"HTTP status 599\.",
    "html": "sent a web page in place of the file: this network may want you to log in",
    "login": "sent a web page in place of the file: this network may want you to log in",
    "reset": "could not be reached: it hung up",
    "odd length": "could not be asked: .*many",
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
        assert len({*server.asked} - {"login"}) == 1, "a mirror is given up after its first failure"
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
        monkeypatch.setattr(mnist_download, "_DECISION_SECONDS", 0.6)
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


@pytest.mark.parametrize("name", [f"{LABELS}.gz", LABELS])
def test_a_wrong_file_stays_until_its_owner_moves_it(monkeypatch, folder, small, name):
    files = compressed(small)
    damaged = files[f"{LABELS}.gz"][:-9]
    write_folder(folder, {other: files[other] for other in files if other != f"{LABELS}.gz"} | {name: damaged})
    with mirror(files) as server:
        use_mirrors(monkeypatch, server)
        with pytest.raises(WrongFileError, match=f"{name}: .*truncated.*left where it is.*move or delete it yourself"):
            read_mnist()
        assert server.asked == []
        assert (folder / name).read_bytes() == damaged
        (folder / name).rename(folder / "mine")
        arrays = read_mnist()
        assert set(server.asked) == {f"{LABELS}.gz"}
    assert idx_bytes(arrays[LABELS]) == small[LABELS]
    assert (folder / "mine").read_bytes() == damaged


def test_a_file_that_somebody_put_there_meanwhile_stays(monkeypatch, folder, small):
    """Between the look for a file and the end of its download."""
    check = mnist_files._read_checked

    def slowly(path, name, source):
        array = check(path, name, source)
        if path.suffix == ".part":
            (folder / f"{name}.gz").write_bytes(b"mine")
        return array

    monkeypatch.setattr(mnist_files, "_read_checked", slowly)
    with mirror(compressed(small)) as server:
        use_mirrors(monkeypatch, server)
        assert idx_bytes(read_mnist()[LABELS]) == small[LABELS]
    assert {path.read_bytes() for path in folder.iterdir()} == {b"mine"}
    assert entries(folder) == sorted(compressed(small))


def test_two_processes_download_at_once(monkeypatch, folder, small):
    fork = multiprocessing.get_context("fork")  # a fresh interpreter would spend seconds on importing PyTorch
    results = fork.SimpleQueue()

    def work():
        results.put(sorted(map(len, read_mnist().values())))

    with mirror(compressed(small), "slow") as server:
        use_mirrors(monkeypatch, server)
        processes = [fork.Process(target=work) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(20)
            assert process.exitcode == 0
    assert [results.get(), results.get()] == [[20, 20, 60, 60]] * 2
    assert entries(folder) == sorted(compressed(small))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_mnist(download=False)
