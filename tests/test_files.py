"""What is written can be read by others, and two processes do not write at once, on whatever file system."""

import errno
import fcntl
import os

import pytest

from magnet_helpers.files import StorageError, exclusively, write_bytes, write_json, write_text


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def test_the_umask_alone_decides_who_may_read(tmp_path, umask):
    write_text(tmp_path / "deep" / "text.csv", "a")
    write_bytes(tmp_path / "bytes.png", b"a")
    write_json(tmp_path / "value.json", 1)
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*.*")} == {"0o640"}
    assert oct((tmp_path / "deep").stat().st_mode & 0o777) == "0o750"


@pytest.mark.parametrize("code", ["ENOSYS", "ENOLCK", "EOPNOTSUPP", "EIO"])
def test_a_file_system_without_locks_is_an_error_at_once(tmp_path, monkeypatch, code):
    def flock(file, operation):
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    monkeypatch.setattr(fcntl, "flock", flock)
    said = r"file system of .*deep has no locks \(.*MAGNET_HOME"
    with pytest.raises(StorageError, match=said) as caught, exclusively(tmp_path / "deep" / "lock", "busy"):
        raise AssertionError("two processes could be here")
    assert str(tmp_path / "deep") in str(caught.value)
    assert not list((tmp_path / "deep").iterdir()), "nothing is left that another version would take for a lock"


def test_who_is_inside_raises_its_own_errors(tmp_path):
    for error in (OSError("ours"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, exclusively(tmp_path / "lock", "busy"):
            raise error
        assert caught.value is error


def test_a_folder_in_the_place_of_a_file_is_said_and_left_alone(tmp_path, capsys):
    (tmp_path / "table.csv" / "mine").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"cannot write .*table\.csv: Is a directory\. Move the folder .* away"):
        write_text(tmp_path / "table.csv", "a")
    with pytest.raises(StorageError, match=r"cannot write .*table\.csv: "), exclusively(tmp_path / "table.csv", "busy"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["table.csv", "mine"]
    assert capsys.readouterr().err == ""
