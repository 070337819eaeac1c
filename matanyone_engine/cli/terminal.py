# SPDX-License-Identifier: Apache-2.0
"""Keeps control characters of file names and headers off the terminal that a command is typed into.

A folder from somebody else may be called so that a terminal which prints its name clears the screen, changes its title,
or writes over the line that said what went wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from matanyone_engine.cli.lost_reader import AnswerStream, LastingStream, opened
from matanyone_engine.wire.text import printable_lines


class PlainStream:
    """Writes to a text stream and shows control characters as their codes; lines and tabs stay."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream
        """Where rich draws bars and colours, which are control characters, too: plain_console.py takes care there."""

    def write(self, text: str) -> int:
        """Write the text; return how long it was."""
        self.rich_proxied_file.write(printable_lines(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def plain_streams() -> Iterator[None]:
    """Let standard output and standard error be plain streams. What is said on standard error stops no command."""
    before = sys.stdout, sys.stderr
    answer, said = AnswerStream(opened(sys.stdout)), LastingStream(opened(sys.stderr))
    sys.stdout, sys.stderr = (cast(TextIO, PlainStream(cast(TextIO, stream))) for stream in (answer, said))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
