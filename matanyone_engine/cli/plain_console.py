# SPDX-License-Identifier: Apache-2.0
"""Draws tables, bars and colours on a terminal, and escapes control characters in the texts that it shows."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from matanyone_engine.wire.text import printable_lines


class PlainConsole(Console):
    """Behaves like rich's Console, but escapes control characters in texts."""

    def render_str(self, text: str, **more: Any) -> Text:
        """Return the rendered text with its control characters escaped."""
        return super().render_str(printable_lines(text), **more)
