# SPDX-License-Identifier: Apache-2.0
"""A guide with each frame, sent to a real engine process: the alphas are the library's with the same limits."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from engines import FIRST, RAW, SIZE, mask, numbers, pixels, plate, raw, running, shown, toy_weights
from shots import HEIGHT, WIDTH
from toy import disc

from matanyone_engine.client.client import EngineClient, SentPlate
from matanyone_engine.jobs.guides import with_guide
from matanyone_engine.matting.frame_warnings import GUIDE_LEAPS
from matanyone_engine.matting.inside_outside import NO_CONSTRAINTS
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.media.guides import limits
from matanyone_engine.model.registry import load_network
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.errors import Code, WireError

BAND = 3
ELSEWHERE = frozenset({FIRST + 3, FIRST + 4, FIRST + 5})
GUIDED = frozenset(numbers(1)) - {FIRST + 1}
"""The first frame after the key has none."""


def rough(frame: int) -> np.ndarray:
    """Return the guide of a frame, (H, W): smaller than what the network follows, and elsewhere on three frames."""
    found = (disc(HEIGHT, WIDTH, 9).numpy() > 0.5).astype(np.float32)
    return np.roll(found, WIDTH // 2, 1) if frame in ELSEWHERE else found


def sent(frame: int) -> SentPlate | None:
    return raw("guide", rough(frame)[..., None]) if frame in GUIDED else None


@cache
def right() -> dict[int, bytes]:
    """Return what the library answers, as raw floats, where the frames on which the guide leaps have no limits."""
    with tempfile.TemporaryDirectory() as folder:
        network = load_network(toy_weights(Path(folder)), "cpu")
    session, alphas = MattingSession(network, warm_up_passes=RAW.warm_up_passes), {}
    for frame in numbers():
        planes = shown()[frame - FIRST].transpose(2, 0, 1)
        found = limits(rough(frame), [], BAND) if frame in GUIDED - ELSEWHERE else None
        held = NO_CONSTRAINTS if found is None else with_guide(NO_CONSTRAINTS, found)
        key = frame == FIRST
        alpha = session.seed(planes, disc(HEIGHT, WIDTH)) if key else session.advance(planes, constraints=held)
        alphas[frame] = alpha.numpy().tobytes()
    return alphas


def refusal(code: Code) -> pytest.RaisesExc[WireError]:
    return pytest.raises(WireError, check=lambda error: error.code is code)


def test_a_guide_per_frame_is_kept_to_and_one_that_leaps_is_outvoted_also_after_a_kill(tmp_path: Path) -> None:
    with running(tmp_path, "--snapshot-every", "2") as engine, engine.client() as client:
        shot = client.open_shot(SIZE, RAW)
        warned, overruled, alphas = set(), set(), {}
        for alpha in shot.matte(numbers(), plate, mask(), guide=sent, guide_band=BAND):
            warned |= {alpha.frame} if GUIDE_LEAPS in alpha.warnings else set()
            overruled |= {alpha.frame} if alpha.why == "guide" else set()
            alphas |= pixels([alpha])
            if alpha.frame == FIRST + 4:  # in the middle of the leap
                engine.kill()
                engine.start()
        assert alphas == right()
        assert warned == ELSEWHERE
        assert overruled == GUIDED - ELSEWHERE
        check_refusals(client, shot.session)


def check_refusals(client: EngineClient, session: str) -> None:
    """See that what is no guide is refused, and changes nothing."""
    seq, frame = len(numbers()), FIRST + len(numbers())
    plane = raw("plate", shown()[0])
    ask: Callable[[say.Message, tuple[SentPlate, ...]], say.Message] = lambda message, parts: client.call(  # noqa: E731
        message, tuple(part[0] for part in parts), tuple(part[1] for part in parts)
    )
    good = raw("guide", rough(FIRST)[..., None])
    small, bright = raw("guide", rough(FIRST)[:-1, :, None]), raw("guide", 2 * rough(FIRST)[..., None])
    for guide, band, code in (
        (small, None, Code.BAD_INPUT),
        (bright, None, Code.BAD_INPUT),
        (good, 0, Code.BAD_INPUT),
        (good, 1025, Code.BAD_INPUT),
        (raw("rough", rough(FIRST)[..., None]), None, Code.MALFORMED),
    ):
        with refusal(code):
            ask(say.Frame(session, seq, frame, band), (plane, guide))
    with refusal(Code.MALFORMED):
        ask(say.Key(session, seq, frame), (plane, mask(), good))
    ask(say.Frame(session, seq, frame, 5), (plane, good))
    with refusal(Code.CONFLICT):  # the same pixels with another band are another frame
        ask(say.Frame(session, seq, frame, 6), (plane, good))
