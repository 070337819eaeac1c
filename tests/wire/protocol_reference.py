# SPDX-License-Identifier: Apache-2.0
"""Makes the tables of docs/protocol.md from wire/. To write them again: python tests/wire/protocol_reference.py."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from pathlib import Path
from typing import Any

from matanyone_engine.wire import arrays, messages
from matanyone_engine.wire.conversation import EVENTS, EXCHANGES, REPLY_PAYLOADS
from matanyone_engine.wire.errors import RETRYABLE, Code
from matanyone_engine.wire.messages import MESSAGES, type_name

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
BEGIN, END = "<!-- made from wire/ -->", "<!-- end -->"


def notes(kind: Any) -> dict[str, str]:
    """Return what stands below each field of a dataclass."""
    tree = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            assert isinstance(field.target, ast.Name)
            found[field.target.id] = " ".join(str(after.value.value).split())
    return found


def written(hint: str) -> str:
    """Return a type as JSON has it."""
    words = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
    for python, json in words.items():
        hint = hint.replace(python, json)
    return hint.replace("Optional[", "null or [").replace("tuple[", "list [")


def fields(kind: Any) -> list[str]:
    """Return a line for each field."""
    said = notes(kind)
    lines = []
    for field in dataclasses.fields(kind):
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        note = f": {said[field.name]}" if field.name in said else ""
        lines.append(f"- `{field.name}` {written(str(field.type))}{' (may be left out)' if has_default else ''}{note}")
    return lines


def message(kind: Any) -> list[str]:
    """Return a paragraph for each message."""
    lines = ["", f"### {type_name(kind)}", "", " ".join((kind.__doc__ or "").split())]
    if kind in EXCHANGES:
        exchange = EXCHANGES[kind]
        sockets = " or ".join(sorted(channel.value for channel in exchange.channels))
        payloads = f"; payloads {', '.join(exchange.payloads)}" if exchange.payloads else ""
        payloads += "".join(f", and {each} or none" for each in exchange.optional)
        lines.append(f"\nRequest on {sockets}{payloads}; answered by `{type_name(exchange.reply)}` or `fault`.")
    elif kind in EVENTS:
        lines.append("\nUnasked, on control, with id 0.")
    elif kind in REPLY_PAYLOADS:
        lines.append(f"\nPayloads {', '.join(REPLY_PAYLOADS[kind])}.")
    return [*lines, "", *fields(kind)] if dataclasses.fields(kind) else lines


def reference() -> str:
    """Return everything between the marks."""
    lines = ["", "## Messages"]
    for kind in MESSAGES.values():
        lines += message(kind)
    for kind, title in (
        (messages.Options, "options, of open and job"),
        (messages.Delivery, "delivery, of job"),
        (messages.EdgeControls, "edges, of job"),
        (messages.Stroke, "one of a prompt's strokes"),
        (messages.SessionInfo, "one of sessions"),
        (messages.ObjectConfidence, "one of confidences, of progress"),
        (arrays.Payload, "payload, of a header's payloads"),
    ):
        lines += ["", f"### ({title})", "", " ".join((kind.__doc__ or "").split()), "", *fields(kind)]
    lines += ["", "## Codes", "", "| code | may be sent again as it is |", "|---|---|"]
    lines += [f"| `{code.value}` | {'yes' if code in RETRYABLE else 'no'} |" for code in Code]
    return "\n".join([*lines, ""])


def rewritten(document: str) -> str:
    """Return the document with its tables made anew."""
    before, _, rest = document.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text()))
