"""Files that appear whole or not at all: the only module that writes what the course makes."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryFile
from uuid import uuid4

from filelock import FileLock, Timeout


def print_anything() -> None:
    """Let this process print λ and ε where the console or the file behind it has no such letters: as \\u03bb."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not what a notebook or a test has put there
            stream.reconfigure(errors="backslashreplace")


class StorageError(OSError):
    """A file could not be written."""


def cannot_write(path: Path, error: OSError) -> StorageError:
    """Return the error that says which file could not be written, why, and what to do."""
    advice = "Move the folder of that name away" if isinstance(error, IsADirectoryError) else "Free some space"
    return StorageError(
        f"cannot write {path}: {error.strerror or error}. {advice} or set MAGNET_HOME to a folder that can be "
        "written to; what was there before is unchanged."
    )


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` at the end, or remove it."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def exclusively(path: Path, busy: str) -> Iterator[None]:
    """Let one process at a time be inside. The system releases the lock of a process that dies.

    Args:
        path: of the lock's file; its folder is created.
        busy: what to tell the one who has to wait.

    Raises:
        StorageError: at once, if the file cannot be made, or if its file system has no locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_that_files_can_be_locked(path.parent)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:  # this is an OSError as well
            print(busy, file=sys.stderr)
            lock.acquire()
    except StorageError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _check_that_files_can_be_locked(folder: Path) -> None:
    """Ask the system itself: some versions of filelock wait forever where there are no locks.

    Others take the mere existence of a file for a lock, which a process that dies would leave behind.
    """
    if sys.platform == "win32":
        return
    import fcntl

    with TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError(
                f"the file system of {folder} has no locks ({error.strerror}), so two processes could spoil each "
                "other's files there. Network drives are often like that: set MAGNET_HOME to a folder on a disk of "
                "this machine."
            ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file, wholly or not at all, and create its folder."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, wholly or not at all, and create its folder."""
    with _replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, value: object) -> None:
    """Write a JSON file, wholly or not at all, and create its folder."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
