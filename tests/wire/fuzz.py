# SPDX-License-Identifier: Apache-2.0
"""A coverage-guided fuzzer on the codec: anything but a packet or a WireError is a defect. Not part of the test run.

pip install atheris && python tests/wire/fuzz.py -max_total_time=300
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["matanyone_engine.wire"]):
    from matanyone_engine.wire.codec import Packet, decode, encode, verify
    from matanyone_engine.wire.conversation import EXCHANGES, Channel, check_request
    from matanyone_engine.wire.errors import WireError
    from matanyone_engine.wire.messages import MESSAGES
    from matanyone_engine.wire.version import preamble

_NAMES = sorted(MESSAGES)


def one(data: bytes) -> None:
    """Either raw parts, or a header with a right beginning so that the fuzzer gets past it."""
    given = atheris.FuzzedDataProvider(data)
    if given.ConsumeBool():
        parts = [given.ConsumeBytes(40) for _ in range(given.ConsumeIntInRange(0, 8))]
    else:
        kind = given.PickValueInList(_NAMES)
        rest = given.ConsumeUnicodeNoSurrogates(400).encode()
        parts = [preamble(), b'{"type":"%s","id":1,%s}' % (kind.encode(), rest), given.ConsumeBytes(16)]
        parts = parts[: given.ConsumeIntInRange(2, 3)]
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
