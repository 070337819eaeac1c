# SPDX-License-Identifier: Apache-2.0
"""Makes blocking calls to an engine, and continues a shot when the engine is restarted.

with EngineClient(find_engine) as client:
    shot = client.open_shot((1920, 1080), Options(colorspace="ACEScg"))
    for result in shot.matte(frames, read_plate, mask=mask_payload):
        ...result.frame, result.data...
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..wire import messages as say
from ..wire.arrays import Payload
from ..wire.connection import Connection
from ..wire.errors import Code, WireError
from .pump import Arrived, EnginePump, State
from .transport import ClientKeys

_POLL_MS = 50
_LOST = frozenset({Code.SESSION_EXPIRED.value, Code.SHUTTING_DOWN.value, Code.OUT_OF_ORDER.value})
"""Faults after which a shot reopens its session and goes on."""

SentPlate = tuple[Payload, Any]
"""A payload to send: its declaration (wire.arrays.describe_raw, describe_file) and its bytes."""


@dataclass(frozen=True)
class ReceivedAlpha:
    """Holds the answer to one frame."""

    frame: int
    payload: Payload
    data: Any
    warnings: tuple[str, ...]
    held: bool = False
    region: Optional[tuple[int, int, int, int]] = None
    confidence: Optional[float] = None
    """As in messages.Result."""
    why: str = ""
    """As in messages.Result: reason() of wire/reasons.py makes a sentence of it."""


class EngineClient:
    """Sends requests to an engine and waits for the answers."""

    def __init__(
        self,
        find: Callable[[], Connection],
        client: str = "",
        keys: Optional[ClientKeys] = None,
        timeout_s: float = 60.0,
        while_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        """find: returns the engine's connection (launcher.find_engine). timeout_s: how long the engine may be
        unreachable. while_waiting: called many times a second while a call waits for its answer; an error that it
        raises ends the call. Raises WireError if there is no engine.
        """
        self.pump = EnginePump(find, client, keys)
        self._timeout_s, self._while_waiting = timeout_s, while_waiting
        self._arrived: dict[int, Arrived] = {}
        self.events: deque[say.Message] = deque(maxlen=10_000)
        """Messages of the engine that answer no request."""

    def __enter__(self) -> EngineClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.pump.close()

    def call(self, message: say.Message, payloads: tuple[Payload, ...] = (), data: tuple[Any, ...] = ()) -> say.Message:
        """Send a request and return the answer.

        Raises WireError: a fault of the engine, or that it is unreachable or stalled.
        """
        return self.wait(self.pump.ask(message, payloads, data)).message

    def wait(self, request: int) -> Arrived:
        """Return the answer to a request of pump.ask(). Raises WireError as call() does."""
        begun = time.monotonic()
        while request not in self._arrived:
            self._pump()
            self._check_health(begun)
        arrived = self._arrived.pop(request)
        if isinstance(arrived.message, say.Fault):
            raise as_error(arrived.message)
        return arrived

    def give_up(self, request: int) -> None:
        """Drop the answer to a request."""
        self.pump.give_up(request)
        self._arrived.pop(request, None)

    def next_event(self, timeout_s: float) -> Optional[say.Message]:
        """Return the engine's next message that answers no request (Progress, JobEnded), or None.

        Raises WireError if the engine is lost.
        """
        deadline = time.monotonic() + timeout_s
        while not self.events:
            if time.monotonic() >= deadline:
                return None
            self._pump()
            self._check_health(deadline - timeout_s)
        return self.events.popleft()

    def open_shot(
        self,
        size: tuple[int, int],
        options: Optional[say.Options] = None,
        *,
        model: Optional[str] = None,
        priority: str = "interactive",
        label: str = "",
    ) -> ClientSession:
        """Open a session for one object. size: width, height in pixels. Raises WireError."""
        nonce = secrets.token_hex(16)
        chosen = model or self._default_model()
        opening = say.Open(nonce, size, chosen, options or say.Options(), priority, label)
        opened = self.call(opening)
        assert isinstance(opened, say.Opened)
        return ClientSession(self, opened)

    def reopen_shot(self, session: str) -> ClientSession:
        """Reopen a session by its secret. Raises WireError."""
        opened = self.call(say.Reopen(session))
        assert isinstance(opened, say.Opened)
        return ClientSession(self, opened)

    def make_mask(self, prompt: say.Prompt) -> say.Masked:
        """Make a first mask from a box and strokes, which takes seconds; return once the mask is on disk.

        Raises WireError.
        """
        masked = self.call(prompt)
        assert isinstance(masked, say.Masked)
        return masked

    def _default_model(self) -> str:
        begun = time.monotonic()
        while self.pump.welcome is None:
            self._pump()
            self._check_health(begun)
        return self.pump.welcome.models[0]

    def _pump(self) -> None:
        self._while_waiting()
        for arrived in self.pump.poll(_POLL_MS):
            if arrived.request == 0:
                self.events.append(arrived.message)
            else:
                self._arrived[arrived.request] = arrived

    def _check_health(self, begun: float) -> None:
        state = self.pump.state
        if self.pump.refusal is not None:
            raise self.pump.refusal
        if state is State.UNREACHABLE and time.monotonic() - begun > self._timeout_s:
            raise WireError(
                Code.UNREACHABLE,
                f"no answer from the engine for {self._timeout_s:.0f} s",
                "Start it again; finished frames are kept, and the session can be reopened.",
            )
        if state is State.STALLED:
            raise WireError(
                Code.STALLED,
                "the engine answers, but its device has not moved for long",
                "Wait, or stop it with matanyone-engine stop and start it again.",
            )


class ClientSession:
    """Mattes one object through one shot in one session of the engine."""

    def __init__(self, client: EngineClient, opened: say.Opened) -> None:
        self._client = client
        self.session = opened.session
        """The session's secret: whoever has it can reopen the session."""
        self.next_seq = opened.next_seq
        self._window = opened.window_frames
        self._window_bytes = opened.window_bytes

    def matte(
        self,
        frames: Sequence[int],
        plate: Callable[[int], SentPlate],
        mask: Optional[SentPlate] = None,
        first_seq: int = 0,
        guide: Optional[Callable[[int], Optional[SentPlate]]] = None,
        guide_band: Optional[int] = None,
    ) -> Iterator[ReceivedAlpha]:
        """Yield the alphas of these frames in order, as soon as they are computed.

        frames: plate frame numbers without gaps; the mask, if there is one, belongs to the first. plate: reads a frame;
        it is called again for a frame that must be sent again. first_seq: the session's number of frames[0]. guide:
        reads the rough guide of a frame, one plane of the plate's size, 0..1, or returns None. It is not called for the
        frame with the mask. guide_band: pixels, as in messages.Frame. If the engine is restarted, the session continues
        from its newest snapshot, and no frame is yielded twice. Raises WireError.
        A mask on a session that has answered frames makes it forget all of them; to correct a shot in its middle, send
        a job with both masks (docs/protocol.md).
        """
        delivered = sent = first_seq
        waiting: deque[tuple[int, int, int]] = deque()
        while delivered < first_seq + len(frames):
            while sent < first_seq + len(frames) and self._room(waiting):
                frame = frames[sent - first_seq]
                key = mask if sent == first_seq else None
                rough = guide(frame) if guide is not None and key is None else None
                waiting.append((sent, *self._send(sent, frame, plate(frame), key, rough, guide_band)))
                sent += 1
            seq, request, _ = waiting[0]
            try:
                arrived = self._client.wait(request)
            except WireError as error:
                if error.code.value not in _LOST:
                    self._abandon(waiting)
                    raise
                self._abandon(waiting)
                sent = min(self._reopened(first_seq), delivered)
                continue
            waiting.popleft()
            if seq >= delivered:
                delivered = seq + 1
                yield _alpha(arrived)

    def fetch(self, seq: int) -> ReceivedAlpha:
        """Return a stored result again. Raises WireError."""
        return _alpha(self._client.wait(self._client.pump.ask(say.Fetch(self.session, seq))))

    def cancel(self) -> int:
        """Cancel the work within one frame; return the next seq. Raises WireError."""
        cancelled = self._client.call(say.Cancel(self.session))
        assert isinstance(cancelled, say.Cancelled)
        return cancelled.next_seq

    def snapshot(self) -> int:
        """Have the state written to disk; return the seq that a restarted engine continues from. Raises WireError."""
        done = self._client.call(say.Snapshot(self.session))
        assert isinstance(done, say.Snapshotted)
        return done.next_seq

    def close(self) -> None:
        """End the session. Raises WireError."""
        self._client.call(say.Close(self.session))

    def _room(self, waiting: deque[tuple[int, int, int]]) -> bool:
        return len(waiting) < self._window and sum(size for _, _, size in waiting) < self._window_bytes // 2

    def _send(
        self,
        seq: int,
        frame: int,
        plate: SentPlate,
        mask: Optional[SentPlate],
        guide: Optional[SentPlate],
        band: Optional[int],
    ) -> tuple[int, int]:
        """Send a frame; return the number of the request and its size in bytes."""
        if mask is None:
            message: say.Message = say.Frame(self.session, seq, frame, None if guide is None else band)
        else:
            message = say.Key(self.session, seq, frame)
        parts = [each for each in (plate, mask, guide) if each is not None]
        request = self._client.pump.ask(message, tuple(each[0] for each in parts), tuple(each[1] for each in parts))
        return request, sum(each[0].bytes for each in parts)

    def _abandon(self, waiting: deque[tuple[int, int, int]]) -> None:
        for _, request, _ in waiting:
            self._client.give_up(request)
        waiting.clear()

    def _reopened(self, first_seq: int) -> int:
        """Reopen the session after a restart; return the seq to continue from."""
        opened = self._client.call(say.Reopen(self.session))
        assert isinstance(opened, say.Opened)
        self.next_seq = opened.next_seq
        if opened.next_seq < first_seq:
            raise WireError(
                Code.OUT_OF_ORDER,
                f"the engine stands at seq {opened.next_seq}, before the first frame given ({first_seq})",
                f"Give the frames from seq {opened.next_seq} on.",
                expected_seq=opened.next_seq,
            )
        return opened.next_seq


def _alpha(arrived: Arrived) -> ReceivedAlpha:
    result = arrived.message
    assert isinstance(result, say.Result)
    said = result.warnings, result.held, result.region, result.confidence, result.why
    return ReceivedAlpha(result.frame, arrived.payloads[0], arrived.data[0], *said)


def as_error(told: say.Fault) -> WireError:
    """Return a Fault as an exception. A code that only a newer engine knows becomes the code 'internal'."""
    try:
        code = Code(told.code)
    except ValueError:
        code = Code.INTERNAL
    return WireError(code, told.message, told.action, told.expected_seq)
