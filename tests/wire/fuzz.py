# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the codec, guided by coverage: anything but a packet or a WireError is a defect. It is not part of the test
run.

pip install atheris && python tests/wire/fuzz.py -max_total_time=300
"""

from __future__ import annotations

import dataclasses
import json
import sys

import atheris

with atheris.instrument_imports():
    from matanyone_engine.wire.arrays import Payload
    from matanyone_engine.wire.codec import Packet, decode, encode, verify
    from matanyone_engine.wire.conversation import EXCHANGES, Channel, check_request
    from matanyone_engine.wire.errors import WireError
    from matanyone_engine.wire.messages import MESSAGES, Options
    from matanyone_engine.wire.version import preamble

_NAMES = sorted(MESSAGES)
_PAYLOAD = [field.name for field in dataclasses.fields(Payload)]


def value(given: atheris.FuzzedDataProvider, depth: int = 0) -> object:
    """Return anything that JSON has."""
    leaves = [
        lambda: None,
        given.ConsumeBool,
        lambda: given.ConsumeIntInRange(-5, 70),
        lambda: given.ConsumeInt(9),
        given.ConsumeFloat,
        lambda: given.PickValueInList(["raw", "exr", "f2", "u1", "plate", given.ConsumeUnicodeNoSurrogates(12)]),
    ]
    nodes = [
        lambda: [value(given, depth + 1) for _ in range(given.ConsumeIntInRange(0, 4))],
        lambda: {name: value(given, depth + 1) for name in _PAYLOAD if given.ConsumeBool()},
        lambda: {field.name: value(given, depth + 1) for field in dataclasses.fields(Options) if given.ConsumeBool()},
    ]
    return given.PickValueInList(leaves + nodes if depth < 4 else leaves)()


def one(data: bytes) -> None:
    """Feed the codec raw parts, or a header of a known type whose fields hold anything."""
    given = atheris.FuzzedDataProvider(data)
    if given.ConsumeIntInRange(0, 9) == 0:
        parts = [given.ConsumeBytes(40) for _ in range(given.ConsumeIntInRange(0, 8))]
    else:
        name = given.PickValueInList(_NAMES)
        names = [field.name for field in dataclasses.fields(MESSAGES[name])]
        fields = {each: value(given) for each in names if given.ConsumeIntInRange(0, 9)}
        fields |= {"type": name, "id": given.ConsumeIntInRange(0, 9)}
        if given.ConsumeBool():
            fields["payloads"] = value(given)
        parts = [preamble(), json.dumps(fields).encode(), given.ConsumeBytes(16)][: given.ConsumeIntInRange(2, 3)]
    try:
        packet = decode(parts)
        verify(packet)
        if type(packet.message) in EXCHANGES:
            check_request(packet.message, Channel.DATA, tuple(each.name for each in packet.payloads), known=True)
    except WireError:
        return
    assert decode(encode(packet)) == Packet(packet.id, packet.message, packet.payloads, packet.data)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
