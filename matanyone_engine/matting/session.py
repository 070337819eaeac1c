# SPDX-License-Identifier: Apache-2.0
"""Mattes one object through one shot, frame by frame.

Rules of this file:
1. A session checks its input, gets the plan of a frame from schedule.py, computes it with step.py, and stores the new
   state.
2. If a move fails for any reason, the session stays as it was before.
3. It knows no files, colour spaces or sockets; plates have display-referred values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from matanyone_engine.errors import (
    BadResult,
    ForeignSnapshot,
    Interrupted,
    MaskError,
    PlateError,
)
from matanyone_engine.matting import step
from matanyone_engine.matting.confidence import Signals, covered, measured
from matanyone_engine.matting.geometry import Box, Geometry, Window
from matanyone_engine.matting.inference import inference
from matanyone_engine.matting.inside_outside import NO_CONSTRAINTS, Constraints, Image, MaskLimits
from matanyone_engine.matting.learned_refine import learned_refined, refined_size
from matanyone_engine.matting.memory_policy import MemoryPolicy
from matanyone_engine.matting.options import check_options, options_of_snapshot
from matanyone_engine.matting.prepared_plate import AnyPlate, EncodeOn, ReadyPlate, at_once, check_values, float_tensor
from matanyone_engine.matting.refine import refined
from matanyone_engine.matting.region import Region, is_cut, subject_cells
from matanyone_engine.matting.schedule import Cursor, FrameKind, check_move, plan_frame
from matanyone_engine.matting.shift_window import moved
from matanyone_engine.matting.state import LastAnswer, StreamState, from_bytes, read_about, to_bytes
from matanyone_engine.matting.step import StepResult
from matanyone_engine.memory.read import DEFAULT_BLOCK_BYTES
from matanyone_engine.model.checkpoint import network_digest
from matanyone_engine.model.encoders import ImageFeatures
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.sizes import Size


@dataclass(frozen=True)
class FrameReport:
    """Describes how the alpha of a frame was made."""

    region: Box | None = None
    """The box of plate pixels that was computed; the alpha is 0 outside. None for sessions without a region."""
    held: bool = False
    """Whether the frame repeats the one before and was not computed."""
    tries: int = 1
    """Number of windows that were computed until one contained the whole subject."""
    cut: bool = False
    """Whether the subject touches a side of the artist's box, so that its alpha is clipped there."""
    signals: Signals | None = None
    """The signals of the confidence; a repeat has those of the frame that it repeats."""


@dataclass(frozen=True)
class FrameInputs:
    """Holds the network's input from one frame and window."""

    features: ImageFeatures
    mask: Tensor | None
    """(1, 1, H, W) of the window; None if the frame is predicted."""
    limits: MaskLimits | None


Compute = Callable[[StreamState, FrameInputs], StepResult]
"""Computes a frame in a window, from the state before it."""


class MattingSession:
    """Mattes one object frame by frame, forwards or backwards. No frame may be left out.

        session = MattingSession(network, MemoryPolicy(), warm_up_passes=5)
        alpha = session.seed(plate, mask)
        alpha = session.advance(plate)

    Plates are (3, H, W) or (H, W, 3), display-referred 0..1; masks and alphas are (H, W), 0..1. Inputs are tensors or
    numpy arrays; alphas are returned as float32 tensors on the network's device. Any number of sessions may share a
    network. The plate that ready() prepares may be passed in place of the plate to any session of this network with the
    same options. `frame`, the plate's own number, is needed only if the region has keys.
    """

    def __init__(
        self,
        network: MatAnyone,
        policy: MemoryPolicy | None = None,
        *,
        warm_up_passes: int | None = None,
        working_size: int | None = None,
        refine: bool = True,
        region: Region | str | None = None,
        hold_tolerance: float | None = 0.0,
    ) -> None:
        """network: it is set to evaluation mode, since batch norm must use its stored statistics.

        warm_up_passes: how often the seeded frame is predicted again after its first prediction; None is the default of
        the network's weights.

        working_size: limit of the shortest computed side, in pixels. None is the network's core_size, to which small
        plates are enlarged, or the plate's size for networks without one. Alphas are always returned at the plate's
        size: refined from the plate (learned_refine.py if the weights have a refiner, otherwise refine.py), or enlarged
        bilinearly without `refine`.

        region: which part of the plate is computed, as a Region or as text for Region.parse(); the alpha is 0
        elsewhere.

        hold_tolerance: a plate that differs from the last computed one by no more than this gets its alpha
        (held_frames.py). With 0 the bits must be equal; None computes every frame. Frames with a constraint mask are
        always computed.

        Raises SettingError.
        """
        self._region = check_options(warm_up_passes, working_size, refine, region, hold_tolerance)
        self._network = network.eval()
        self._policy = policy or MemoryPolicy()
        self._warm_up_passes = network.warm_up_passes if warm_up_passes is None else warm_up_passes
        self._working_size = network.core_size if working_size is None else working_size
        self._refine = refine
        self._hold_tolerance = hold_tolerance
        self._state = StreamState.empty(self._policy)
        self.block_bytes = DEFAULT_BLOCK_BYTES
        """Bytes of the largest matrix in a memory read; a smaller value is slower and takes less memory."""
        self.report = FrameReport()
        """How the last frame was computed."""

    @property
    def cursor(self) -> Cursor:
        """Returns the session's position."""
        return self._state.cursor

    @property
    def warm_up_passes(self) -> int:
        """Returns how often seed() predicts its frame again."""
        return self._warm_up_passes

    @property
    def state(self) -> StreamState:
        """Returns the session's whole state, as a value that later moves do not change."""
        return self._state

    def rewind(self, state: StreamState) -> None:
        """Go back to an earlier state of this session."""
        self._state = state

    def forget(self) -> None:
        """Forget everything, so that the session is like a new one."""
        self._state = StreamState.empty(self._policy)

    def seed(
        self,
        plate: AnyPlate,
        mask: Image,
        *,
        stopping: Callable[[], bool] = lambda: False,
        constraints: Constraints = NO_CONSTRAINTS,
        frame: int | None = None,
    ) -> Tensor:
        """Start from a plate and the mask of the object on it, warm up, and return the alpha (H, W) of this frame.

        The mask may be soft. The frame is predicted 1 + warm_up_passes times, each time from the last result. In a
        session that was seeded before, working memory starts anew from this frame. `stopping` is called before each
        prediction; if it returns True, the session stays unchanged.

        Raises PlateError, MaskError, Interrupted.
        """

        def warmed_up(state: StreamState, seen: FrameInputs) -> StepResult:
            stepped = self._run(FrameKind.SEED, state, seen)
            for done in range(1 + self._warm_up_passes):
                self._go_on(stopping, done)
                stepped = self._run(FrameKind.WARM_UP, stepped.state, replace(seen, mask=None))
            return stepped

        shown = self._shown(plate, constraints)
        return self._located(shown, self._mask(mask, shown.geometry), frame, warmed_up)

    def _go_on(self, stopping: Callable[[], bool], done: int) -> None:
        if stopping():
            raise Interrupted(
                expected=f"{1 + self._warm_up_passes} passes over the mask's frame",
                came=f"a stop after {done}",
                action="Seed the frame again.",
            )

    def warm_up(self, plate: AnyPlate, *, frame: int | None = None) -> Tensor:
        """Predict the key frame once more from its own last alpha; memory starts anew from the result.

        Raises IllegalMove before a mask was given, PlateError.
        """
        return self._move(FrameKind.WARM_UP, plate, frame)

    def advance(
        self, plate: AnyPlate, *, constraints: Constraints = NO_CONSTRAINTS, frame: int | None = None
    ) -> Tensor:
        """Return the alpha (H, W) of the next frame, within its constraint masks.

        Raises IllegalMove before a mask was given, PlateError, MaskError.
        """
        return self._move(FrameKind.ADVANCE, plate, frame, constraints)

    def snapshot(self, state: StreamState | None = None) -> bytes:
        """Return the session's state, or a given state of it, as bytes for restore(). No pickle is used; restore()
        detects damage.
        """
        options = {
            "warm_up_passes": self._warm_up_passes,
            "working_size": self._working_size,
            "refine": self._refine,
            "region": str(self._region),
            "hold_tolerance": self._hold_tolerance,
        }
        about = {"policy": self._policy.to_dict(), "options": options, "network": self._network_digest}
        return to_bytes(state or self._state, about)

    @classmethod
    def restore(cls, network: MatAnyone, blob: bytes) -> MattingSession:
        """Return a session that continues exactly where snapshot() was called.

        Raises SnapshotError for damaged bytes, ForeignSnapshot for another network's.
        """
        about = read_about(blob)
        session = cls(network, MemoryPolicy.from_dict(about["policy"]), **options_of_snapshot(about["options"]))
        session.recall(blob)
        return session

    def recall(self, blob: bytes) -> None:
        """Set the state to that of a snapshot of this session or of one with the same options.

        Raises SnapshotError for damaged bytes, ForeignSnapshot for another network's.
        """
        network = read_about(blob)["network"]
        if network != self._network_digest:
            raise ForeignSnapshot(
                expected=f"a snapshot of this network ({self._network_digest[:12]})",
                came=f"one of another network ({network[:12]})",
                action="Load the weights that the snapshot was made with.",
            )
        self._state = from_bytes(blob, self._policy, self._network.device)

    @cached_property
    def _network_digest(self) -> str:
        return network_digest(self._network)

    def _move(
        self,
        kind: FrameKind,
        plate: AnyPlate,
        number: int | None,
        constraints: Constraints = NO_CONSTRAINTS,
    ) -> Tensor:
        check_move(kind, self._state.cursor.phase)
        shown = self._shown(plate, constraints)
        if kind is FrameKind.ADVANCE and self._repeats(shown):
            return self._held(shown)
        return self._located(shown, None, number, lambda state, seen: self._run(kind, state, seen))

    def ready(self, plate: Image, encode_on: EncodeOn = at_once) -> ReadyPlate:
        """Check and prepare a plate, possibly ahead on another thread; the result does not depend on the session's
        state.

        encode_on: runs the encoding, ahead or in its turn. Raises PlateError, OutOfMemory.
        """
        with inference():
            return ReadyPlate.of(self._network, plate, self._working_size, self._hold_tolerance, encode_on)

    @property
    def sees_all(self) -> bool:
        """Returns whether every frame is computed whole, so that its window is known ahead."""
        return self._region.off

    def _shown(self, plate: AnyPlate, constraints: Constraints = NO_CONSTRAINTS) -> _SessionPlate:
        """Check the plate and the constraint masks, and move them to the device."""
        with inference():
            ready = plate if isinstance(plate, ReadyPlate) else self.ready(plate)
            if not ready.suits(self._network, self._working_size, self._hold_tolerance):
                raise ValueError("a plate was made ready for a session with other options, or of another network")
            size, known = ready.geometry.frame, self._state.frame
            if known is not None and size != known:
                raise PlateError(
                    expected=f"a plate of the shot's size, {known}",
                    came=f"a plate of {size}",
                    action="Give every frame at one size, or start a new session.",
                )
            self._region.check(ready.geometry)
            return _SessionPlate(ready, self._limits(constraints, size))

    def _limits(self, constraints: Constraints, size: Size) -> MaskLimits | None:
        """Return the limits that the constraint masks set on an alpha of the plate's size; None if there are none."""
        masks = {"inside": constraints.inside, "outside": constraints.outside, "guide": constraints.guide}
        given = {name: float_tensor(mask) for name, mask in masks.items() if mask is not None}
        for name, mask in given.items():
            if tuple(mask.shape) != size:
                raise MaskError(
                    expected=f"a constraint mask ({name}) of the plate's size, {size}",
                    came=f"shape {tuple(mask.shape)}",
                    action="Render it at the plate's size; it is never stretched.",
                )
            check_values(mask, f"constraint mask ({name})", MaskError)
        return MaskLimits.of(given, self._network.device) if given else None

    def _mask(self, mask: Image, geometry: Geometry) -> Tensor:
        """Return the mask checked, at working size and padded: (1, 1, H, W)."""
        with inference():
            given = float_tensor(mask)
            if tuple(given.shape) != geometry.frame:
                raise MaskError(
                    expected=f"a mask of the plate's size, {geometry.frame}",
                    came=f"shape {tuple(given.shape)}",
                    action="Render the mask at the plate's size; it is never stretched.",
                )
            check_values(given, "mask", MaskError)
            if not given.max() > 0:
                raise MaskError(
                    expected="a mask that covers some of the subject",
                    came="an empty one (every pixel is 0)",
                    action="Check that the mask was drawn on this frame, and in the channel that was read.",
                )
            return geometry.prepare(given.clamp(0, 1)[None, None].to(self._network.device))

    def _repeats(self, shown: _SessionPlate) -> bool:
        last = self._state.answered
        return last is not None and shown.limits is None and shown.ready.repeats(last.fingerprint)

    def _held(self, shown: _SessionPlate) -> Tensor:
        """Return the last alpha again; the state does not change."""
        state, geometry = self._state, shown.geometry
        assert state.answered is not None
        assert state.window is not None
        box, answer = geometry.box_of(state.window), state.answered.alpha
        if answer is None:
            answer = shown.full_size(state.window.placed(state.known().alpha, geometry.whole), box, refine=False)
        self._state = replace(state, held=state.held + 1)
        self.report = FrameReport(None if self._region.off else box, held=True, signals=state.signals)
        return answer.clone()

    def _located(self, shown: _SessionPlate, given: Tensor | None, number: int | None, compute: Compute) -> Tensor:
        """Compute the frame in the window that the region chooses, and again in another one as long as the subject
        would be clipped; store the result.
        """
        geometry, before = shown.geometry, replace(self._state, frame=shown.geometry.frame)
        window, tries = self._region.window(geometry, number, before.window, self._subject(given, geometry)), 1
        while True:
            stepped = self._through(window, before, shown, given, compute)
            found = subject_cells(stepped.alpha, window) if self._region.follows else None
            wanted = self._region.after(geometry, window, found, first=tries == 1)
            if wanted == window:
                break
            window, tries = wanted, tries + 1
        cut = bool(self._region.boxes) and is_cut(stepped.alpha, window, geometry.whole)
        signals = self._signals(stepped, given, geometry)
        report = FrameReport(
            None if self._region.off else geometry.box_of(window), tries=tries, cut=cut, signals=signals
        )
        return self._commit(stepped, shown, report)

    def _signals(self, stepped: StepResult, given: Tensor | None, geometry: Geometry) -> Signals:
        """Measure a computed frame against its mask, or else against the frame before."""
        last = self._state.signals
        before = None if last is None else last.area
        with inference():
            if given is not None:
                before = covered(given, geometry.working)
            return measured(stepped.alpha, stepped.change, before, geometry.working, stepped.overruled)

    def _subject(self, given: Tensor | None, geometry: Geometry) -> Window | None:
        """Return where the subject is by its mask, or was on the last frame; None if the window does not follow it."""
        if not self._region.follows:
            return None
        if given is not None:
            return subject_cells(given, geometry.whole)
        window = self._state.window
        return None if window is None else subject_cells(self._state.known().alpha, window)

    def _through(
        self, window: Window, before: StreamState, shown: _SessionPlate, given: Tensor | None, compute: Compute
    ) -> StepResult:
        """Compute one frame in one window and check its alpha."""
        mask = None if given is None else window.cut(given)
        if mask is not None and not mask.max() > 0:
            raise MaskError(
                expected="a mask that shows some of the subject inside the region",
                came=f"a mask that is empty inside {shown.geometry.box_of(window)}",
                action="Draw the region around the subject, in plate pixels from the top left.",
            )
        with inference():
            seen = FrameInputs(shown.ready.features(window), mask, shown.limits_in(window))
            stepped = compute(moved(self._network, before, window), seen)
        if not torch.isfinite(stepped.alpha).all():
            raise BadResult(
                expected="an alpha of finite numbers",
                came="NaN or Inf from the network",
                action="Run matanyone-engine doctor. If --device cpu works, the driver is at fault, else the weights.",
            )
        return stepped

    def _run(self, kind: FrameKind, state: StreamState, seen: FrameInputs) -> StepResult:
        plan = plan_frame(kind, state.cursor, self._policy)
        with inference():
            if seen.mask is not None:
                return step.assign(self._network, plan, state, seen.features, seen.mask)
            return step.predict(
                self._network, plan, state, seen.features, self._policy.top_k, self.block_bytes, seen.limits
            )

    def _commit(self, stepped: StepResult, shown: _SessionPlate, report: FrameReport) -> Tensor:
        """Store the new state, including what moving windows and held frames need from this frame."""
        state = stepped.state
        assert state.window is not None
        geometry, refine = shown.geometry, self._refine and shown.can_refine
        whole = state.window.placed(stepped.alpha, geometry.whole)
        with inference():
            answer = shown.full_size(whole, geometry.box_of(state.window), refine=refine)
        self._state = replace(
            state,
            plate=shown.ready.padded if self._region.moves else None,
            answered=None if shown.fingerprint is None else LastAnswer(shown.fingerprint, answer if refine else None),
            signals=report.signals,
        )
        self.report = report
        return answer.clone()  # outside of inference mode, so that the caller may change the tensor


@dataclass(frozen=True)
class _SessionPlate:
    """Holds a plate inside the session."""

    ready: ReadyPlate
    limits: MaskLimits | None
    """The limits of its alpha, at the plate's size."""

    @property
    def geometry(self) -> Geometry:
        """Returns the plate's geometry."""
        return self.ready.geometry

    @property
    def fingerprint(self) -> Tensor | None:
        """Returns the plate's fingerprint, with which later plates are compared; None if every frame is computed."""
        return None if self.limits is not None else self.ready.fingerprint

    @property
    def can_refine(self) -> bool:
        """Returns whether alphas of this plate can be refined; a refiner also sharpens alphas that have the plate's own
        size."""
        return self.geometry.scaled or self.ready.network.refiner is not None

    def limits_in(self, window: Window) -> MaskLimits | None:
        """Return the limits at working size, in a window."""
        return self.limits and self.limits.prepared(self.geometry).mapped(window.cut)

    def full_size(self, alpha: Tensor, box: Box, *, refine: bool) -> Tensor:
        """Bring an alpha (1, 1, H, W), padded and 0 outside of the box, to the plate's size (H, W), within the
        limits."""
        answer = self._enlarged(alpha, box) if refine else self.geometry.restore(alpha)
        if self.limits is not None:
            answer = box.placed(box.cut(self.limits.applied(answer)), self.geometry.frame)
        return answer[0, 0]

    def _enlarged(self, alpha: Tensor, box: Box) -> Tensor:
        geometry, network = self.geometry, self.ready.network
        inner, seen, plate = geometry.unpad(alpha), geometry.unpad(self.ready.padded), self.ready.plate
        if network.refiner is None:
            return geometry.restore(alpha) if geometry.enlarged else refined(inner, seen, plate, box)
        size = refined_size(Size(*inner.shape[-2:]), geometry.frame, network.core_size)
        return learned_refined(network.refiner, inner, seen, plate, box, refined_at=size)
