# SPDX-License-Identifier: Apache-2.0
"""Damages bytes as disks, networks and wrong programs do, by a number: the same number does the same damage."""

from __future__ import annotations

import random

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
"""Those at which counters and sizes go wrong."""
HEADER = 1024
"""Bytes in which most of the damage is done."""


def cut(data: bytes, chance: random.Random) -> bytes:
    """Return the file as a copy that was broken off."""
    return data[: chance.randrange(len(data))]


def flip(data: bytes, chance: random.Random) -> bytes:
    """Return it with bits flipped, with numbers written over others, with pieces left out or doubled."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        reach = min(len(made), HEADER if chance.random() < 0.7 else len(made))
        at = chance.randrange(max(1, reach))
        what = chance.randrange(5)
        if what == 0:
            made[at : at + 1] = bytes([made[at] ^ 1 << chance.randrange(8)]) if made else b""
        elif what == 1:
            made[at : at + 1] = bytes([chance.randrange(256)])
        elif what == 2:
            size = chance.choice((1, 2, 4, 8))
            number = chance.choice(_NUMBERS) % (1 << 8 * size)
            made[at : at + size] = number.to_bytes(size, chance.choice(("little", "big")))
        elif what == 3:
            del made[at : at + chance.choice((1, 4, 64))]
        else:
            made[at:at] = made[at : at + chance.choice((1, 4, 64))]
    return bytes(made)
