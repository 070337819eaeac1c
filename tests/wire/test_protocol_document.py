# SPDX-License-Identifier: Apache-2.0
"""docs/protocol.md says what wire/ does."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

from matanyone_engine.wire.arrays import CHECKSUM_DIGITS, MOST_CHANNELS, MOST_PIXELS_A_SIDE, checksum
from matanyone_engine.wire.codec import MOST_HEADER_BYTES, MOST_PAYLOADS, Packet, decode, encode
from matanyone_engine.wire.messages import Ping
from matanyone_engine.wire.version import CURRENT, preamble

_SPEC = importlib.util.spec_from_file_location("reference", Path(__file__).with_name("protocol_reference.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
reference = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference)
TEXT = reference.DOCUMENT.read_text()


def test_the_tables_are_those_of_the_code() -> None:
    assert reference.rewritten(TEXT) == TEXT, "run python tests/wire/protocol_reference.py"


def test_the_example_is_a_message() -> None:
    header = re.search(r"```json\n(.*?)\n```", TEXT, re.DOTALL)
    assert header is not None
    fields = json.loads(header[1])
    plate = bytes(fields["payloads"][0]["bytes"])
    assert fields["payloads"][0]["checksum"] == checksum(plate)
    assert decode([preamble(), header[1].encode(), plate]).id == fields["id"]


def test_the_limits_and_the_version_are_stated() -> None:
    assert f"version {CURRENT}" in TEXT
    for number in (MOST_HEADER_BYTES, MOST_PAYLOADS, MOST_PIXELS_A_SIDE, MOST_CHANNELS, CHECKSUM_DIGITS):
        assert re.search(rf"\b{number}\b", TEXT), number
    assert f"`{preamble().hex(' ')}`" in TEXT
    assert f"`{encode(Packet(1, Ping()))[1].decode()}`" in TEXT
