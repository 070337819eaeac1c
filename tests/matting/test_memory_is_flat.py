# SPDX-License-Identifier: Apache-2.0
"""What a session remembers does not grow with the clip; benchmarks/clip_length.py measures the process's peak."""

from __future__ import annotations

import pytest
from toy import disc, plates, toy_network

from matanyone_engine import LongTermPolicy, MattingSession, MemoryPolicy


@pytest.mark.parametrize("long_term", [None, LongTermPolicy(3, 2, prototypes=4, max_tokens=20, buffer_tokens=4)])
def test_a_snapshot_is_as_large_after_300_frames_as_after_30(long_term: LongTermPolicy | None) -> None:
    session = MattingSession(toy_network(), MemoryPolicy(memory_every=2, long_term=long_term), warm_up_passes=0)
    shot = plates(10, 32, 32)
    session.seed(shot[0], disc(32, 32, 9))
    sizes = {}
    for frame in range(1, 301):
        session.advance(shot[frame % len(shot)])
        sizes[frame] = len(session.snapshot()) if frame in {30, 300} else 0
    # Counters are written as text: a few digits more are no growth.
    assert abs(sizes[300] - sizes[30]) < (64 if long_term is None else 20_000)
