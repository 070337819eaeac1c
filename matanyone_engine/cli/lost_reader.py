# SPDX-License-Identifier: Apache-2.0
"""Keeps a command going when whoever reads its lines goes away, as in `matanyone-engine matte ... 2>&1 | head`, and
when the disk is full that its lines go to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from matanyone_engine.errors import OutputError


def silence(stream: TextIO) -> None:
    """Let a stream whose reader has gone end in nothing, so that neither a later line nor Python's end fails on it."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class LastingStream:
    """Writes lines that nobody has to read: once the stream takes no more, they go nowhere and the command goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text if the stream takes it; return how long it was."""
        try:
            self._stream.write(text)
        except OSError:
            silence(self._stream)
        return len(text)

    def flush(self) -> None:
        """Write what is held back if the stream takes it."""
        try:
            self._stream.flush()
        except OSError:
            silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class AnswerStream:
    """Writes a command's answer, which somebody asked for. Raises OutputError once the stream takes no more.

    A reader that has had enough (`info FILE | head`) is no fault: BrokenPipeError stays what it is.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text; return how long it was."""
        with self._checked():
            return self._stream.write(text)

    def flush(self) -> None:
        """Write what is held back."""
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
    """Return the stream, or one that ends in nothing where the process was started without (`>&-`, pythonw)."""
    return stream if stream is not None else Path(os.devnull).open("w", encoding="utf-8")
