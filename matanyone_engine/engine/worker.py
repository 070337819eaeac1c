# SPDX-License-Identifier: Apache-2.0
"""Owns the device with its networks, sessions and jobs, and computes one thing at a time.

Rules of this file:
1. Only the device thread computes. Pool threads provide decoded plates and take the results.
2. The states before and after a frame are kept until its result is stored. If storing fails, the session goes back to
   the state before.
3. Every error is raised as a WireError (faults.py); none is ignored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from matanyone_engine.engine.pixels import DecodedPlate, exposure_of_session
from matanyone_engine.engine.store import JournalLine, SessionFolder
from matanyone_engine.errors import ForeignSnapshot, SnapshotError
from matanyone_engine.jobs.allocator import give_freed_memory_back
from matanyone_engine.jobs.guides import with_guide
from matanyone_engine.jobs.job import MattePlan
from matanyone_engine.jobs.provenance import describe_confidence, describe_frame, describe_making
from matanyone_engine.jobs.run import run_matte
from matanyone_engine.jobs.run_events import RunEvent
from matanyone_engine.matting.confidence import CERTAIN, Confidence, confidence, without_guide
from matanyone_engine.matting.frame_warnings import warnings_of
from matanyone_engine.matting.inside_outside import NO_CONSTRAINTS, Constraints
from matanyone_engine.matting.memory_policy import MemoryPolicy
from matanyone_engine.matting.options import keywords
from matanyone_engine.matting.out_of_memory import again_if_out_of_memory, give_back
from matanyone_engine.matting.session import FrameReport, MattingSession
from matanyone_engine.matting.state import StreamState
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.color_spaces import ColourChoice
from matanyone_engine.media.guide_history import NO_GUIDES, GuideHistory, packed, unpacked
from matanyone_engine.media.guides import default_band, has_edge, small
from matanyone_engine.media.images import FloatImage, PlateHeader
from matanyone_engine.media.layouts import SUBJECT
from matanyone_engine.media.mask_borders import warnings_about
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.registry import VettedWeights, load_vetted
from matanyone_engine.sizes import Resolution, Size
from matanyone_engine.wire import messages as say


@dataclass
class LiveSession:
    """Holds a session on the device."""

    session: MattingSession
    opening: say.Open
    weights: VettedWeights
    mask_frame: int = 0
    mask_sha256: str = ""
    guides: GuideHistory = NO_GUIDES
    """What is remembered of the guides of earlier frames."""


@dataclass(frozen=True)
class JudgedGuide:
    """Holds the limits that a frame's guide sets, and what is remembered of the guide."""

    after: GuideHistory
    """What the next frame's guide is compared with."""
    place: str = ""
    """Small picture for the journal; '' if the frame has neither mask nor guide."""
    constraints: Constraints = NO_CONSTRAINTS
    outvoted: bool = False
    white: bool = False
    """Whether the guide is white all over and so has no effect."""
    said: str = ""
    """A text for the alpha's header."""


@dataclass(frozen=True)
class Done:
    """Holds a computed frame that is not stored yet."""

    alpha: FloatImage
    """(H, W) 0..1."""
    before: StreamState
    after: StreamState
    header: PlateHeader | None
    provenance: dict[str, str]
    mask_sha256: str
    warnings: tuple[str, ...]
    report: FrameReport
    confidence: Confidence
    guides_before: GuideHistory = NO_GUIDES
    place: str = ""
    """As in JudgedGuide."""


@dataclass(frozen=True)
class RestoredSession:
    """Holds where a restored session continues."""

    next_seq: int
    seeded: bool
    journal: tuple[JournalLine, ...] = ()


class Worker:
    """Holds the device with its networks and sessions."""

    def __init__(self, models: dict[str, str], device: str, precision: str = "auto") -> None:
        """models: the name that clients use -> the name or path of the weights. device, precision: as in
        load_network."""
        self._models = models
        self._device = device
        self._precision = precision
        self._networks: dict[str, tuple[MatAnyone, VettedWeights]] = {}
        self._live: dict[str, LiveSession] = {}
        self._jobs: dict[str, Generator[RunEvent, None, None]] = {}
        self.decoded: dict[int, DecodedPlate] = {}
        """Decoded plates that wait for the device, by ticket."""
        self.done: dict[int, Done] = {}
        """Computed frames that wait to be stored, by ticket."""
        self.halted: set[str] = set()
        self.wanted: dict[str, tuple[int, ...]] = {}
        """Frames of jobs that clients wait for; the one that was asked for last comes first."""
        self.activity = "idle"
        self.activity_of = ""
        self.progress_at = time.monotonic()
        self.passes = 0
        """Counts the beginnings and ends of all work, including each pass over a key frame."""

    # --------------------------------------------------------------------------------------------- the network

    def network(self, name: str) -> tuple[MatAnyone, VettedWeights]:
        """Return a network, loaded once for all sessions. Raises CheckpointError, LicenceRefused, DeviceError."""
        if name not in self._networks:
            with self._doing("loading", ""):
                self._networks[name] = load_vetted(self._models[name], self._device, self._precision)
        return self._networks[name]

    @property
    def loaded(self) -> tuple[str, ...]:
        """Return the names of the networks that are on the device."""
        return tuple(self._networks)

    def unload(self) -> None:
        """Give the weights' memory back; the next session loads them again."""
        self._networks.clear()
        self.tidy()

    def tidy(self) -> None:
        """Free the memory that earlier frames have left in reserve.

        Call it only on the device thread, when it has no work.
        """
        give_back()
        give_freed_memory_back()

    # ------------------------------------------------------------------------------------------------ sessions

    def load(self, session: str, opening: say.Open, folder: SessionFolder) -> RestoredSession:
        """Load a session from its folder, or make a new one. Raises EngineError."""
        network, weights = self.network(opening.model)
        folder.mend_journal()
        journal = folder.journal()
        for next_seq in folder.usable_snapshots():
            restored = _restored(network, folder, next_seq)
            if restored is not None:
                folder.drop_snapshots_after(next_seq)
                keys = (line for line in journal.values() if line.mask and line.seq < next_seq)
                key = max(keys, key=_seq, default=JournalLine(0, 0, "", "", "unknown"))
                guides = guides_of_journal(journal, next_seq)
                self._live[session] = LiveSession(restored, opening, weights, key.frame, key.mask, guides)
                return RestoredSession(next_seq, True, tuple(journal.values()))
        folder.drop_snapshots_after(0)
        fresh = MattingSession(network, **keywords(opening.options))
        self._live[session] = LiveSession(fresh, opening, weights)
        return RestoredSession(0, False, tuple(journal.values()))

    def step(self, session: str, ticket: int, frame: int, *, key: bool) -> None:
        """Compute a decoded frame and keep the result in `done`. Raises EngineError; the session is then unchanged."""
        live, decoded = self._live[session], self.decoded.pop(ticket)
        planes = torch.from_numpy(decoded.seen).permute(2, 0, 1)
        before, guides_before = live.session.state, live.guides
        guide = judged(guides_before, decoded, frame)
        with self._doing("seeding" if key else "stepping", session):
            alpha = again_if_out_of_memory(
                live.session, lambda: self._alpha(session, planes, decoded, frame, guide.constraints, key=key)
            )
        live.guides = guide.after
        if key:
            live.mask_frame, live.mask_sha256 = frame, decoded.mask_sha256
        report = live.session.report
        sure = CERTAIN if report.signals is None else confidence(report.signals)
        sure = without_guide(sure) if guide.outvoted else sure
        self.done[ticket] = Done(
            alpha,
            before,
            live.session.state,
            decoded.header,
            {
                **_provenance(live, decoded.colour),
                **({"guide": guide.said} if guide.said else {}),
                **describe_frame(report),
                **describe_confidence({SUBJECT: sure}),
            },
            decoded.mask_sha256,
            warnings_of(
                black=decoded.black,
                alpha=alpha,
                cut=report.cut,
                outvoted=guide.outvoted,
                white_guide=guide.white,
                masks=warnings_about(decoded.mask) if key and decoded.mask is not None else (),
            ),
            report,
            sure,
            guides_before,
            guide.place,
        )

    def _alpha(
        self,
        session: str,
        planes: torch.Tensor,
        decoded: DecodedPlate,
        frame: int,
        constraints: Constraints,
        *,
        key: bool,
    ) -> FloatImage:
        live = self._live[session]
        if not key:
            return live.session.advance(planes, constraints=constraints, frame=frame).cpu().numpy()
        assert decoded.mask is not None
        return live.session.seed(planes, decoded.mask, stopping=self._stopping(session), frame=frame).cpu().numpy()

    def _stopping(self, session: str) -> Callable[[], bool]:
        def stopping() -> bool:
            self._progress()
            return session in self.halted

        return stopping

    def snapshot(self, session: str, state: StreamState | None = None) -> bytes:
        """Return the session's state as bytes. States are immutable, so any thread may call it."""
        return self._live[session].session.snapshot(state)

    def rewind(self, session: str, ticket: int) -> None:
        """Reset the session to the state before a frame that could not be stored."""
        live, done = self._live[session], self.done[ticket]
        live.session.rewind(done.before)
        live.guides = done.guides_before

    def forget(self, session: str) -> None:
        """Remove a session. Any thread may call it."""
        self._live.pop(session, None)
        self.halted.discard(session)

    def give_room_back(self) -> None:
        """Give memory that no session needs any more back to the system. Call it only on the device thread."""
        if not self._live:
            give_back()

    # ---------------------------------------------------------------------------------------------------- jobs

    def job_step(self, session: str, plan: MattePlan, model: str, *, resume: bool) -> RunEvent | None:
        """Do the job's next step; return its event, or None at the job's end. Raises EngineError."""
        network, weights = self.network(model)
        if session not in self._jobs:
            self._jobs[session] = run_matte(
                plan,
                network,
                weights,
                resume=resume,
                stopping=self._stopping(session),
                wanted=lambda: self.wanted.get(session, ()),
            )
        with self._doing("stepping", session):
            try:
                event = next(self._jobs[session], None)
            except BaseException:
                self.end_job(session)
                raise
        if event is None:
            self.end_job(session)
        return event

    def end_job(self, session: str) -> None:
        """End a job; it writes its resume point."""
        events = self._jobs.pop(session, None)
        if events is not None:
            events.close()
        self.halted.discard(session)
        self.wanted.pop(session, None)

    @contextmanager
    def _doing(self, what: str, session: str) -> Iterator[None]:
        """Note what the device is doing, for Pong."""
        self.activity, self.activity_of = what, session
        self._progress()
        try:
            yield
        finally:
            self.activity, self.activity_of = "idle", ""
            self._progress()

    def _progress(self) -> None:
        self.progress_at = time.monotonic()
        self.passes += 1


def judged(history: GuideHistory, decoded: DecodedPlate, frame: int) -> JudgedGuide:
    """Decide whether the guide of a decoded frame is believed, given those before it.

    After a key, guides are compared with its mask.
    """
    if decoded.mask is not None:
        place = small(decoded.mask)
        return JudgedGuide(GuideHistory.after_key(frame, place), packed(place))
    if decoded.guide is None:
        return JudgedGuide(history)
    place = small(decoded.guide)
    after, text = history.after(frame, place), packed(place)
    if has_edge(place) and not history.believes(frame, place):
        return JudgedGuide(after, text, outvoted=True, said="sent with the frame, but it is somewhere else: left out")
    band = decoded.guide_band or default_band(Size(*decoded.guide.shape).resolution)
    found = history.limits(frame, decoded.guide, place, band)
    if found is None:
        white = bool(place.all())
        return JudgedGuide(after, text, white=white, said=f"sent with the frame, but {'white' if white else 'black'}")
    return JudgedGuide(after, text, with_guide(NO_CONSTRAINTS, found), said=f"sent with the frame, band {band} pixels")


def guides_of_journal(journal: Mapping[int, JournalLine], next_seq: int) -> GuideHistory:
    """Return what is remembered of the guides before a seq, as the journal has it."""
    history = NO_GUIDES
    for seq in sorted(seq for seq in journal if seq < next_seq):
        line = journal[seq]
        place = unpacked(line.place) if line.place else None
        if line.mask:
            history = NO_GUIDES if place is None else GuideHistory.after_key(line.frame, place)
        elif place is not None:
            history = history.after(line.frame, place)
    return history


def _seq(line: JournalLine) -> int:
    return line.seq


def _restored(network: MatAnyone, folder: SessionFolder, next_seq: int) -> MattingSession | None:
    """Return the session at a snapshot; None if the snapshot is damaged, since an older one may work. Raises
    ForeignSnapshot.
    """
    try:
        return MattingSession.restore(network, folder.snapshot(next_seq))
    except ForeignSnapshot:
        raise
    except (OSError, SnapshotError):
        return None


def _provenance(live: LiveSession, colour: ColourChoice) -> dict[str, str]:
    options = replace(live.opening.options, warm_up_passes=live.session.warm_up_passes)
    return describe_making(
        live.weights,
        colour,
        NetworkView(colour.space, exposure_of_session(options)),
        mask="sent with the frame",
        mask_frame=live.mask_frame,
        mask_sha256=live.mask_sha256,
        mask_grow=options.mask_grow,
        options=options,
        plate=Resolution(*live.opening.size),
        memory=MemoryPolicy(),
    )
