# SPDX-License-Identifier: Apache-2.0
"""Makes docs/job.schema.json from wire/jobfile.py. To write it again: python tests/wire/job_schema.py."""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

from protocol_reference import notes

from matanyone_engine.wire import messages
from matanyone_engine.wire.jobfile import FORMAT, LICENCES, RUN_FIELDS, VERSION, JobFile, Root

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "job.schema.json"
KINDS = (
    messages.Job,
    messages.Options,
    messages.Delivery,
    messages.EdgeControls,
    messages.KeyMask,
    messages.ObjectOptions,
    Root,
)
SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def typed(hint: Any) -> dict[str, Any]:
    """Return what JSON may hold for an annotation."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        return {"anyOf": [typed(arguments[0]), {"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": typed(arguments[0])}
    if dataclasses.is_dataclass(hint):
        return {"$ref": f"#/$defs/{hint.__name__}"}
    return {"type": SCALARS[hint]}


def described(kind: Any) -> dict[str, Any]:
    """Return the object that stands for a dataclass."""
    said, hints = notes(kind), typing.get_type_hints(kind)
    fields = [field for field in dataclasses.fields(kind) if field.name not in RUN_FIELDS]
    absent = dataclasses.MISSING
    properties = {
        field.name: {**typed(hints[field.name]), **({"description": said[field.name]} if field.name in said else {})}
        for field in fields
    }
    required = [field.name for field in fields if field.default is absent and field.default_factory is absent]
    about = {"type": "object", "description": " ".join((kind.__doc__ or "").split()), "properties": properties}
    return {**about, "required": required, "additionalProperties": False}


def schema() -> dict[str, Any]:
    """Return the whole document."""
    top = described(JobFile)
    kinds = {kind.__name__: described(kind) for kind in KINDS}
    kinds["Job"]["properties"]["licence"]["enum"] = list(LICENCES)
    versions = {"format": {"const": FORMAT}, "version": {"type": "integer", "minimum": 1, "maximum": VERSION}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Made from wire/jobfile.py by tests/wire/job_schema.py.",
        "title": "A matting job of MatAnyone Engine",
        **top,
        "properties": {**versions, **top["properties"]},
        "required": [*versions, *top["required"]],
        "$defs": kinds,
    }


def written() -> str:
    """Return the document as it stands on disk."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(written())
