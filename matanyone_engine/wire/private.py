# SPDX-License-Identifier: Apache-2.0
"""Opens this user's own files and folders, and refuses those of others before anything is read or written.

In a folder that everybody may write to (/tmp), another user can be first: with a folder of his own under the expected
name, or with a link to a file of ours. So links are not followed at the last step, and the owner is asked of what was
opened, not of a name. On Windows these places lie in the user's profile, whose access lists say who may come.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

_CAREFULLY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
"""Without O_NONBLOCK, opening a pipe that somebody has put in a file's place would wait for ever."""


def private_folder(folder: Path) -> Path:
    """Make a folder for this user alone, or make sure that it is his. Raises OSError; PermissionError for another's."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        check_own_folder(folder)
    return folder


def check_own_folder(folder: Path) -> None:
    """Raise PermissionError for a folder of another user, a link to one, or one that everybody may write to."""
    if sys.platform == "win32":
        return
    found = folder.stat() if _is_own_link(folder) else folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} is not a folder of this user")
    if found.st_mode & 0o002:
        raise PermissionError(f"{folder} may be written by everybody; take that right from them: chmod o-w")


def _is_own_link(path: Path) -> bool:
    """Return whether this user made the link himself, where nobody else can put another in its place."""
    found, above = path.lstat(), path.parent.stat()
    return stat.S_ISLNK(found.st_mode) and found.st_uid == above.st_uid == os.getuid() and not above.st_mode & 0o002


def open_private(path: Path, flags: int) -> int:
    """Open a file of this user alone, made with mode 0600 where it is new; the descriptor. No link is followed.

    Raises OSError; PermissionError where the file belongs to another user or is no plain file. Nothing is cut off
    (O_TRUNC) before that is known.
    """
    handle = os.open(path, (flags & ~os.O_TRUNC) | _CAREFULLY, 0o600)
    try:
        found = os.fstat(handle)
        if sys.platform != "win32" and (not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid()):
            raise PermissionError(f"{path} is not a file of this user")
        if flags & os.O_TRUNC:
            os.ftruncate(handle, 0)
    except BaseException:
        os.close(handle)
        raise
    return handle


def home_or_temporary() -> Path:
    """Return this user's home, or a folder under the system's temporary one where there is none (containers)."""
    try:
        home = Path.home()
    except (RuntimeError, KeyError):
        home = Path()
    if home.is_absolute() and home != Path("/"):
        return home
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir()) / f"matanyone-engine-{user}"


def give_home() -> None:
    """Give a user whom the system does not know (containers) a home of his own for this process and its children."""
    home = home_or_temporary()
    if sys.platform != "win32" and str(home) != os.path.expanduser("~"):  # noqa: PTH111 (Path.home raises here)
        os.environ["HOME"] = str(private_folder(home))
