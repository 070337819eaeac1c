# SPDX-License-Identifier: Apache-2.0
"""Examines a weights file without loading it (its kind, its digests, its receipt), and installs files atomically.

Rules of this file:
1. Names and licences of models are in registry.py.
2. Nothing in a file is executed. Only its first bytes, its digests and its safetensors metadata are read.
3. A file that no checksum confirms is used only if the user accepts it; the receipt beside it records that.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import CheckpointError, OutputError

SUFFIXES = (".safetensors", ".pth")
"""Kinds of weights file, the preferred one first."""

CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""The files in the folder of a network that is in the format of the package transformers."""

HEAD_BYTES = 1024
"""First bytes of a file that impostor_kind() needs."""

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<?xml")
_BLOCK = 1 << 20
_METADATA_LIMIT = 16 << 20


@dataclass(frozen=True)
class Fingerprint:
    """Identifies a file by its digests and its size in bytes. In the registry, what is not known is None."""

    sha256: str | None = None
    md5: str | None = None
    size: int | None = None

    def matches(self, found: Fingerprint) -> bool:
        """Return whether `found` has all values that are known here; False where no digest is known."""
        known = {part: value for part, value in asdict(self).items() if value is not None}
        return bool(known.keys() - {"size"}) and all(getattr(found, part) == known[part] for part in known)

    def __str__(self) -> str:
        parts = (f"{part} {value}" for part, value in asdict(self).items() if value is not None)
        return ", ".join(parts) or "no known checksum"


def measure(path: Path) -> Fingerprint:
    """Measure size and digests in one pass over the file."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            sha256.update(block)
            md5.update(block)
            size += len(block)
    return Fingerprint(sha256.hexdigest(), md5.hexdigest(), size)


def impostor_kind(head: bytes) -> str | None:
    """Return what a file with these first bytes is, if it is one that is often saved in place of weights; else None."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(_LFS_POINTER):
        return "a Git LFS pointer, a text of a few lines that stands for the real file"
    if start.startswith(_HTML_STARTS):
        return "a web page (HTML): a sign-in page, or a proxy's notice, was saved instead of the file"
    if not start:
        return "an empty file"
    return None


def refuse_impostor(path: Path) -> None:
    """Raise CheckpointError for a web page, a Git LFS pointer or an empty file that is named like weights."""
    try:
        with path.open("rb") as file:
            kind = impostor_kind(file.read(HEAD_BYTES))
    except OSError as error:
        raise CheckpointError(
            expected="a readable weights file (.safetensors or .pth)",
            came=f"{path} ({error.strerror or error})",
            action="Check the path and its permissions.",
        ) from error
    if kind is None:
        return
    remedy = "Run 'git lfs pull' where it came from" if "LFS" in kind else "Get the file again"
    raise CheckpointError(
        expected="the weights themselves",
        came=f"{path}, which is {kind}",
        action=f"{remedy}, then run: matanyone-engine weights import FILE",
    )


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Return the metadata that a safetensors file carries; empty for any other file, damaged ones included."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length <= _METADATA_LIMIT else {}
        metadata = header.get("__metadata__", {})
        return {str(key): str(value) for key, value in metadata.items()}
    except (OSError, struct.error, ValueError, AttributeError, RecursionError):
        return {}


@dataclass(frozen=True)
class Receipt:
    """Records that a file was installed as a model, and from where. It is FILE.receipt.json beside FILE, and is valid
    only for a file with this sha256.
    """

    model: str
    sha256: str
    source: str


def receipt_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.receipt.json")


def read_receipt(path: Path) -> Receipt | None:
    """Return the receipt beside a weights file; None when there is none, or none that can be read."""
    try:
        fields = json.loads(receipt_path(path).read_text(encoding="utf-8"))
        return Receipt(**fields)
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def place(source: Path, target: Path, receipt: Receipt) -> None:
    """Copy a checked file to `target`, atomically, with its receipt.

    Raises OutputError when it cannot be written; an earlier file at the target then stays as it was. Raises
    CheckpointError when the source no longer has the receipt's sha256.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as reader, temporary.open("wb") as writer:
                shutil.copyfileobj(reader, writer, _BLOCK)
                writer.flush()
                os.fsync(writer.fileno())
        put_in_place(temporary, target, receipt)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def put_in_place(complete: Path, target: Path, receipt: Receipt) -> None:
    """Rename a complete file of the same folder to `target`, after its receipt was written.

    Raises CheckpointError when the file does not have the receipt's sha256, OutputError when it cannot be renamed.
    """
    if measure(complete).sha256 != receipt.sha256:
        raise CheckpointError(
            expected=f"{complete} to stay unchanged while it is installed",
            came="a file whose bytes have changed since they were checked",
            action="Wait until no other program writes to the file, then run the command again.",
        )
    note = receipt_path(target)
    with writing(target):
        with whole_file(note) as temporary:
            temporary.write_text(json.dumps(asdict(receipt), indent=2) + "\n", encoding="utf-8")
        complete.replace(target)


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Raise the system's errors in writing a file as OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            expected=f"to write {target}",
            came=error.strerror or str(error),
            action="Make room, or give write permission to the folder. Nothing half-written carries this name.",
        ) from error
