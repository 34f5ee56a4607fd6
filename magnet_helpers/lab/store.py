"""Weights and results on disk.

An artifact is a folder named after its settings, with `tensors.safetensors` and, beside it, `record.json`. The key is a
hash of the settings, which name the data's fingerprint and the version of the code that made it. Files appear whole or
not at all, nothing is unpickled, and what is damaged is noticed, named and made again.
"""

import hashlib
import json
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from magnet_helpers.files import cannot_write, replacing, write_json
from magnet_helpers.training import Epoch

Settings = Mapping[str, Any]


class DamagedArtifactWarning(UserWarning):
    """A stored file did not hold what was written; it is made again."""


def _write_tensors(path: Path, tensors: Mapping[str, Tensor], note: str = "") -> None:
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(plain, temporary, metadata={"note": note})
        except SafetensorError as error:  # safetensors reports a full disk in its own type
            raise OSError(str(error)) from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Artifact:
    """What was stored: named tensors, and a record that JSON can hold."""

    tensors: dict[str, Tensor]
    record: dict[str, Any]


class Store:
    """A folder of artifacts.

    Args:
        root: the folder; it is made at the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @staticmethod
    def key(settings: Settings) -> str:
        """Return a short hash of settings."""
        text = json.dumps(settings, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def folder(self, settings: Settings) -> Path:
        """Return the folder of the artifact with these settings (they need a `kind` and a `name`)."""
        slug = "".join(c if c.isascii() and c.isalnum() else "-" for c in str(settings["name"]))
        return self.root / str(settings["kind"]) / f"{slug}-{self.key(settings)}"

    def save(self, settings: Settings, tensors: Mapping[str, Tensor], record: Settings) -> None:
        """Store tensors and record, and forget the checkpoint of the training that made them."""
        folder = self.folder(settings)
        _write_tensors(folder / "tensors.safetensors", tensors)
        digest = _digest(folder / "tensors.safetensors")
        # The record is written last and vouches for the tensors: without it there is no artifact.
        whole = {"settings": settings, "tensors_sha256": digest, **record}
        write_json(folder / "record.json", {**whole, "record_sha256": _digest_of(whole)})
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)
        for leftover in folder.glob(".*.safetensors.*"):  # of a process that was killed while it wrote
            leftover.unlink(missing_ok=True)

    def load(self, settings: Settings, *, discard_damaged: bool = False) -> Artifact | None:
        """Return the artifact with these settings, or None if there is none.

        Args:
            settings: what the artifact was saved under.
            discard_damaged: remove damaged files. Only who holds the `lock` may: another process could be writing them.

        Warns:
            DamagedArtifactWarning: if its files are damaged; None is returned.
        """
        folder = self.folder(settings)
        if not (folder / "record.json").exists():
            return None
        try:
            record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
            if not isinstance(record, dict) or record.pop("record_sha256") != _digest_of(record):
                raise ValueError("its record is not the one that was written")
            if _digest(folder / "tensors.safetensors") != record["tensors_sha256"]:
                raise ValueError("its bytes are not the ones that were written")
            return Artifact(load_file(folder / "tensors.safetensors"), record)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            warnings.warn(
                f"{folder} is damaged ({error}): it is made again",
                DamagedArtifactWarning,
                stacklevel=1,  # one place for all callers: the same damage is shown once
            )
            if discard_damaged:
                shutil.rmtree(folder, ignore_errors=True)
            return None

    @contextmanager
    def lock(self, settings: Settings) -> Iterator[None]:
        """Let one process at a time make this artifact. The system releases the lock of a process that dies."""
        folder = self.folder(settings)
        path = folder.with_name(f".{folder.name}.lock")
        lock = FileLock(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout:  # this is an OSError as well
            print(f"another process is making {settings['name']}: waiting for it", file=sys.stderr)
            lock.acquire()
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            yield
        finally:
            lock.release()

    def checkpoint(self, settings: Settings) -> "FileCheckpoint":
        """Return the checkpoint of the training that makes this artifact."""
        return FileCheckpoint(self.folder(settings) / "checkpoint.safetensors")


@dataclass(frozen=True)
class FileCheckpoint:
    """A training's state after its last epoch, in one safetensors file (see `training.Checkpoint`)."""

    path: Path

    def save(self, tensors: Mapping[str, Tensor], epochs: tuple[Epoch, ...]) -> None:
        """Replace the saved state, wholly or not at all."""
        note = {"epochs": [asdict(epoch) for epoch in epochs], "tensors_sha256": _digest_of_tensors(tensors)}
        _write_tensors(self.path, tensors, json.dumps(note))

    def load(self) -> tuple[dict[str, Tensor], tuple[Epoch, ...]] | None:
        """Return the saved state; None if there is none, or, with a warning, if it is damaged."""
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                note = json.loads(file.metadata()["note"])
            epochs = tuple(Epoch(**fields) for fields in note["epochs"])
            tensors = load_file(self.path)
            if _digest_of_tensors(tensors) != note["tensors_sha256"]:
                raise ValueError("its bytes are not the ones that were written")
            return tensors, epochs
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            warnings.warn(
                f"{self.path} is damaged ({error}): this training starts again",
                DamagedArtifactWarning,
                stacklevel=2,
            )
            self.path.unlink(missing_ok=True)
            return None
