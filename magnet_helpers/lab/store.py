"""Weights and results on disk.

An artifact is a folder named after its settings, with `tensors.safetensors` and, beside it, `record.json`. The key is a
hash of the settings, which name the data's fingerprint and the version of the code that made it. Files appear whole or
not at all, nothing is unpickled, and what is damaged, or was made from other settings, is noticed, named, set aside and
made again.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from magnet_helpers.files import cannot_write, exclusively, write_bytes, write_json
from magnet_helpers.training import Epoch

Settings = Mapping[str, Any]
# What a file that is not what was written may raise while it is read: a record nested without end, for example.
_DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, SafetensorError)


class DamagedArtifactWarning(UserWarning):
    """A stored file did not hold what was written; it is made again."""


def _write_tensors(path: Path, tensors: Mapping[str, Tensor], note: str = "") -> None:
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_bytes(path, save(plain, metadata={"note": note}))  # `save_file` would keep others from reading the file


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _digest_of_state(tensors: Mapping[str, Tensor], note: object) -> str:
    """Return a hash of names, types, shapes and bytes of tensors, and of what is noted with them."""
    digest = hashlib.sha256(_digest_of(note).encode())
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(repr((name, value.dtype, tuple(value.shape))).encode() + value.numpy().tobytes())
    return digest.hexdigest()


def _set_aside(path: Path) -> None:
    """Give what lies in the place of something else a name that nobody looks for."""
    try:
        path.rename(path.with_name(f"{path.name}.damaged-{uuid4().hex[:8]}"))
    except OSError as error:
        raise cannot_write(path, error) from error


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
        try:
            _check_places(folder)
        except OSError:
            _set_aside(folder)
        _write_tensors(folder / "tensors.safetensors", tensors)
        digest = _digest(folder / "tensors.safetensors")
        # The record is written last and vouches for the tensors: without it there is no artifact.
        whole = {"settings": settings, "tensors_sha256": digest, **record}
        write_json(folder / "record.json", {**whole, "record_sha256": _digest_of(whole)})
        half_written = folder.glob(f".*.{'[0-9a-f]' * 32}")  # by a process that was killed, see `files._replacing`
        for leftover in (folder / "checkpoint.safetensors", *half_written):
            with suppress(OSError):
                leftover.unlink()

    def load(self, settings: Settings, *, discard_damaged: bool = False) -> Artifact | None:
        """Return the artifact with these settings, or None if there is none.

        Args:
            settings: what the artifact was saved under.
            discard_damaged: set damaged files aside. Only who holds the `lock` may: another process could be writing
                them.

        Warns:
            DamagedArtifactWarning: if its files are damaged, or another artifact's; None is returned.
        """
        folder = self.folder(settings)
        try:
            if not (folder / "record.json").exists():
                _check_places(folder)
                return None
            record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
            if not isinstance(record, dict) or record.pop("record_sha256", "") != _digest_of(record):
                raise ValueError("its record is not the one that was written")
            if self.key(record["settings"]) != self.key(settings):
                raise ValueError(f"it is {record['settings']['name']}, made from other settings")
            if _digest(folder / "tensors.safetensors") != record["tensors_sha256"]:
                raise ValueError("its bytes are not the ones that were written")
            return Artifact(load_file(folder / "tensors.safetensors"), record)
        except _DAMAGE as error:
            warnings.warn(
                f"{folder} is damaged ({error}): it is made again",
                DamagedArtifactWarning,
                stacklevel=1,  # one place for all callers: the same damage is shown once
            )
            if discard_damaged:
                _set_aside(folder)
            return None

    @contextmanager
    def lock(self, settings: Settings) -> Iterator[None]:
        """Let one process at a time make this artifact. The system releases the lock of a process that dies."""
        folder = self.folder(settings)
        busy = f"another process is making {settings['name']}: waiting for it"
        with exclusively(folder.with_name(f".{folder.name}.lock"), busy):
            yield

    def checkpoint(self, settings: Settings) -> "FileCheckpoint":
        """Return the checkpoint of the training that makes this artifact."""
        return FileCheckpoint(self.folder(settings) / "checkpoint.safetensors", self.key(settings))


def _check_places(folder: Path) -> None:
    """Raise an OSError if something lies where an artifact is to be written, and cannot be replaced by it."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise NotADirectoryError(f"{folder.name} is no folder")
    for name in ("tensors.safetensors", "record.json", "checkpoint.safetensors"):
        if (folder / name).is_dir():
            raise IsADirectoryError(f"{name} is a folder")


@dataclass(frozen=True)
class FileCheckpoint:
    """A training's state after its last epoch, in one safetensors file (see `training.Checkpoint`).

    Args:
        path: of the file.
        key: of the settings of what is trained (`Store.key`): the state of another training is not taken up.
    """

    path: Path
    key: str

    def save(self, tensors: Mapping[str, Tensor], epochs: tuple[Epoch, ...]) -> None:
        """Replace the saved state, wholly or not at all."""
        note = {"key": self.key, "epochs": [asdict(epoch) for epoch in epochs]}
        _write_tensors(self.path, tensors, json.dumps({**note, "sha256": _digest_of_state(tensors, note)}))

    def load(self) -> tuple[dict[str, Tensor], tuple[Epoch, ...]] | None:
        """Return the saved state; None if there is none, or, with a warning, if it is damaged or another training's."""
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                note = json.loads(file.metadata()["note"])
            tensors = load_file(self.path)
            if note.pop("sha256") != _digest_of_state(tensors, note):
                raise ValueError("its content is not what was written")
            if note["key"] != self.key:
                raise ValueError("it is another training's")
            return tensors, tuple(Epoch(**fields) for fields in note["epochs"])
        except _DAMAGE as error:
            warnings.warn(
                f"{self.path} is damaged ({error}): this training starts again",
                DamagedArtifactWarning,
                stacklevel=2,
            )
            _set_aside(self.path)
            return None
