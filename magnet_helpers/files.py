"""Files that appear whole or not at all: the only module that writes what the course makes."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from uuid import uuid4


def print_anything() -> None:
    """Let this process print λ and ε where the console or the file behind it has no such letters: as \\u03bb."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not what a notebook or a test has put there
            stream.reconfigure(errors="backslashreplace")


class StorageError(OSError):
    """A file could not be written."""


def cannot_write(path: Path, error: OSError) -> StorageError:
    """Return the error that says which file could not be written, why, and what to do."""
    return StorageError(
        f"cannot write {path}: {error.strerror or error}. Free some space or set MAGNET_HOME to a folder that can be "
        "written to; what was there before is unchanged."
    )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
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


def write_text(path: Path, text: str) -> None:
    """Write a text file, wholly or not at all, and create its folder."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, wholly or not at all, and create its folder."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, value: object) -> None:
    """Write a JSON file, wholly or not at all, and create its folder."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
