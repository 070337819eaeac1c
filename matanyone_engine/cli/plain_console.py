# SPDX-License-Identifier: Apache-2.0
"""Draws tables, bars and colours on a terminal, while the texts in them bring no control characters along."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from matanyone_engine.wire.text import printable_lines


class PlainConsole(Console):
    """Is rich's console, in which a text cannot bring control characters of its own."""

    def render_str(self, text: str, **more: Any) -> Text:
        """Return the text, laid out."""
        return super().render_str(printable_lines(text), **more)
