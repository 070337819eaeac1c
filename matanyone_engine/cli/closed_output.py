# SPDX-License-Identifier: Apache-2.0
"""Keeps a command running when its output is closed, as by `matanyone-engine matte ... 2>&1 | head`, or when the disk
is full that the output is written to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from matanyone_engine.errors import OutputError


def silence(stream: TextIO) -> None:
    """Redirect a stream that nobody reads any more to the null device, so that neither later lines nor Python's exit
    fail."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class TolerantStream:
    """Writes progress and notes. If the stream fails, later lines are dropped and the command goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text unless the stream fails; return the number of characters."""
        try:
            self._stream.write(text)
        except OSError:
            silence(self._stream)
        return len(text)

    def flush(self) -> None:
        """Flush the stream unless it fails."""
        try:
            self._stream.flush()
        except OSError:
            silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class ResultStream:
    """Writes a command's result. Raises OutputError if the stream fails, since the result would be lost.

    A reader that closes the pipe early (`info FILE | head`) is no error, so BrokenPipeError is passed on unchanged.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text; return the number of characters."""
        with self._checked():
            return self._stream.write(text)

    def flush(self) -> None:
        """Flush the stream."""
        with self._checked():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            silence(self._stream)
            raise OutputError(
                expected="to print the answer",
                came=str(error.strerror or error),
                action="Make room where standard output goes, and run the command again.",
            ) from error


def opened(stream: TextIO | None) -> TextIO:
    """Return the stream, or the null device if the process was started without that stream (`>&-`, pythonw)."""
    return stream if stream is not None else Path(os.devnull).open("w", encoding="utf-8")
