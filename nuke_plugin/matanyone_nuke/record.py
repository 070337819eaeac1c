# SPDX-License-Identifier: Apache-2.0
"""Keeps what the node remembers of its last run, with the script, and tells whether that still holds.

Rule of this file: it imports no nuke. The text is plain words: braces and brackets mean something in a script.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any, Dict, Set

from .frames import describe_frames
from .plan import Plan, Settings

_OF_0_1_0 = {
    "frames_from": "frames_from", "frames": "frames", "keys_from": "keys_from", "keys": "keys", "objects": "objects",
    "colorspace": "colorspace", "model": "model", "quality": "quality", "region": "region", "region_box": "region_box",
    "warm_up": "settle", "mask_grow": "mask_grow", "exposure": "exposure", "pin_keys": "pin_keys", "views": "views",
    "use_files": "use_files",
}  # fmt: skip
"""Our names of the settings that version 0.1.0 knew, and its names."""


def settings_digest(settings: Settings) -> str:
    """Return a short text that differs where the settings do. Settings at their default count for nothing."""
    plain = Settings()
    said = {name: value for name, value in dataclasses.asdict(settings).items() if value != getattr(plain, name)}
    return _digest(said)


def _digests(settings: Settings) -> Set[str]:
    """Return our digest, and that of version 0.1.0 where the settings are such as it knew."""
    said = dataclasses.asdict(settings)
    plain = dataclasses.asdict(Settings())
    found = {settings_digest(settings)}
    if all(value == plain[name] for name, value in said.items() if name not in _OF_0_1_0):
        found.add(_digest({theirs: said[ours] for ours, theirs in _OF_0_1_0.items()}))
    return found


def _digest(said: Dict[str, Any]) -> str:
    text = json.dumps(said, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def record_text(plan: Plan, engine: str, written: int, unchanged: int, state: str) -> str:
    """Return what the hidden knob says: what the mattes on disk were made with."""
    said = (
        ("state", state),
        ("frames", describe_frames(plan.frames)),
        ("written", written),
        ("unchanged", unchanged),
        ("engine", engine),
        ("settings", settings_digest(plan.settings)),
    )
    return "; ".join("%s=%s" % pair for pair in said)


def read_record(text: str) -> Dict[str, str]:
    """Read such a text; {} where there is none, or one that cannot be read."""
    pairs = [part.partition("=") for part in text.split("; ")]
    return {name: value for name, equals, value in pairs if equals}


def staleness(settings: Settings, record: Dict[str, str]) -> str:
    """Say in one line whether the knobs have changed since the matte was made."""
    if not record:
        return "not matted yet"
    if record.get("settings") not in _digests(settings):
        return "stale: a knob has changed since frames %s were matted" % record.get("frames", "?")
    return "%s: frames %s, engine %s" % (record.get("state"), record.get("frames", "?"), record.get("engine", "?"))
