# SPDX-License-Identifier: Apache-2.0
"""Keeps control characters of file names and metadata off terminals, pages and logs."""

from __future__ import annotations

import dataclasses
import html
import re
from typing import Any, TypeVar

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line and direction marks, and halves of characters that no encoding can write."""

T = TypeVar("T")


def is_plain(text: str) -> bool:
    """Return whether a text can be shown anywhere as it is."""
    return _UNFIT.search(text) is None


def printable(text: str) -> str:
    """Return the text with every character that must not be shown written as its code: a newline becomes \\x0a."""
    return _UNFIT.sub(lambda found: ascii(found[0])[1:-1] if ord(found[0]) > 0x9F else f"\\x{ord(found[0]):02x}", text)


def printable_lines(text: str) -> str:
    """Return a text of several lines for a terminal: lines and tabs stay, and what must not be shown becomes \\u001b.

    Codes are written as in JSON, so that a line of JSON stays one.
    """
    return _UNFIT.sub(lambda found: found[0] if found[0] in "\n\t" else f"\\u{ord(found[0]):04x}", text)


def page_text(text: str) -> str:
    """Return a text for an HTML page, on which neither its markup nor its control characters count."""
    return html.escape(printable_lines(text))


def printable_fields(value: T) -> T:
    """Return a dataclass with every text in it made printable, also in tuples and dataclasses inside."""
    changed: dict[str, Any] = {}
    for item in dataclasses.fields(value):  # type: ignore[arg-type]
        was = getattr(value, item.name)
        now = _printable(was)
        if now is not was:
            changed[item.name] = now
    return dataclasses.replace(value, **changed) if changed else value  # type: ignore[type-var]


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value if is_plain(value) else printable(value)
    if isinstance(value, tuple):
        now = tuple(_printable(each) for each in value)
        return value if all(new is old for new, old in zip(now, value)) else now
    return printable_fields(value) if dataclasses.is_dataclass(value) else value
