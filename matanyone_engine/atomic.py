# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; afterwards its bytes are on the disk and it has its name.

    If anything is raised meanwhile, the temporary file goes and an earlier file of that name stays as it was. The
    temporary name is hidden and ends in .tmp, so that nothing takes it for a frame of a sequence.
    Raises OSError where the system cannot write, and whatever the caller raises.
    """
    # Not by process: machines that share a folder may count theirs alike.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):  # where nothing could be written there is nothing to remove
            temporary.unlink(missing_ok=True)


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove temporary files that a killed process left of these files. Only for whom nobody else writes them now."""
    wanted: dict[Path, set[str]] = {}
    for path in paths:
        wanted.setdefault(path.parent, set()).add(path.name)
    for folder, names in wanted.items():
        with suppress(OSError):
            for found in folder.glob(".*.tmp"):
                if found.name[1:].rsplit(".", 2)[0] in names:
                    found.unlink(missing_ok=True)
