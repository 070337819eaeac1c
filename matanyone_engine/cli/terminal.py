# SPDX-License-Identifier: Apache-2.0
"""Keeps control characters of file names and headers off the terminal that a command is typed into.

The name of a folder from elsewhere may contain control characters. A terminal that prints them could clear the screen,
change its title, or overwrite an error message.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from matanyone_engine.cli.closed_output import ResultStream, TolerantStream, opened
from matanyone_engine.wire.text import printable_lines


class PlainStream:
    """Writes to a text stream and replaces control characters by their codes; newlines and tabs stay."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream
        """The stream for rich, which draws bars and colours with control characters; plain_console.py escapes the texts
        there."""

    def write(self, text: str) -> int:
        """Write the text; return how long it was."""
        self.rich_proxied_file.write(printable_lines(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def plain_streams() -> Iterator[None]:
    """Make standard output and standard error plain streams. A failing standard error does not stop a command."""
    before = sys.stdout, sys.stderr
    output, messages = ResultStream(opened(sys.stdout)), TolerantStream(opened(sys.stderr))
    sys.stdout, sys.stderr = (cast(TextIO, PlainStream(cast(TextIO, stream))) for stream in (output, messages))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
