# SPDX-License-Identifier: Apache-2.0
"""One object through one shot.

Rules of this file:
1. It checks what the caller gives, asks schedule.py what to do, has step.py do it, and keeps the new state.
2. A move that fails, for whatever reason, leaves the session where it was.
3. It knows no files, no colour spaces and no sockets; plates come display-referred.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from matanyone_engine.errors import (
    BadResult,
    Interrupted,
    MaskError,
    OutOfMemory,
    PlateError,
    SettingError,
    SnapshotError,
)
from matanyone_engine.matting import step
from matanyone_engine.matting.encoder import SharedEncoder, encode
from matanyone_engine.matting.geometry import Geometry, Size
from matanyone_engine.matting.holdout import NO_HOLDOUT, Holdout, Image, Limits
from matanyone_engine.matting.policy import MemoryPolicy
from matanyone_engine.matting.schedule import Cursor, FrameKind, check_move, plan_frame
from matanyone_engine.matting.state import StreamState, from_bytes, read_about, to_bytes
from matanyone_engine.memory.read import DEFAULT_BLOCK_BYTES
from matanyone_engine.model.checkpoint import network_digest
from matanyone_engine.model.encoders import ImageFeatures
from matanyone_engine.model.matanyone import MatAnyone

SETTLE_PASSES = 10
"""The published default (spec section 5.3)."""
_ROUNDING = 1e-3
"""How far outside 0..1 a value may lie: resampling and half floats overshoot by less."""


class MattingSession:
    """Follows one object, frame by frame, forwards or backwards, but without leaps.

        session = MattingSession(network, MemoryPolicy(), settle_passes=10)
        alpha = session.seed(plate, mask)
        alpha = session.advance(plate)

    Plates are (3, H, W), display-referred 0..1; masks and alphas are (H, W), 0..1. Tensors or numpy arrays are taken;
    alphas come back as float32 tensors on the network's device. The network may serve any number of sessions.
    """

    def __init__(
        self,
        network: MatAnyone,
        policy: MemoryPolicy | None = None,
        *,
        settle_passes: int = SETTLE_PASSES,
        working_size: int | None = None,
        encoder: SharedEncoder | None = None,
    ) -> None:
        """network: put into evaluation mode, since batch norm must run on its stored statistics.

        settle_passes: how often the seeded frame is predicted again after its first prediction.

        working_size: limit of the shortest side that is computed, in pixels; None computes at full size. Alphas come
        back at the plate's size either way.

        encoder: given to several sessions of one network, a plate is encoded once for all of them.
        """
        check_options(settle_passes, working_size)
        self._network = network.eval()
        self._policy = policy or MemoryPolicy()
        self._settle_passes = settle_passes
        self._working_size = working_size
        self._encoder = encoder
        self._state = StreamState.empty(self._policy)
        self.block_bytes = DEFAULT_BLOCK_BYTES
        """Room for the largest matrix of a memory read; less is slower, and takes less memory."""

    @property
    def cursor(self) -> Cursor:
        """Where the session stands."""
        return self._state.cursor

    @property
    def state(self) -> StreamState:
        """Everything remembered at this moment, as a value that later moves do not change."""
        return self._state

    def rewind(self, state: StreamState) -> None:
        """Go back to a state that this session had."""
        self._state = state

    def forget(self) -> None:
        """Know nothing, as a new session."""
        self._state = StreamState.empty(self._policy)

    def seed(
        self,
        plate: Image,
        mask: Image,
        stopping: Callable[[], bool] = lambda: False,
        holdout: Holdout = NO_HOLDOUT,
    ) -> Tensor:
        """Give the object by its mask on this plate and settle on it: the alpha (H, W) of this frame.

        The mask may be soft. The frame is predicted 1 + settle_passes times, each time from the last answer. On a
        session that was seeded before, working memory starts anew from this frame. `stopping` is asked before each
        prediction: once it says yes, nothing has happened.

        Raises PlateError, MaskError, Interrupted.
        """
        state, frame = self._entered(plate, holdout)
        given = self._mask(mask, frame.geometry)
        _, state = self._run(FrameKind.SEED, state, frame, given)
        for done in range(1 + self._settle_passes):
            if stopping():
                raise Interrupted(
                    expected=f"{1 + self._settle_passes} passes over the mask's frame",
                    came=f"a stop after {done}",
                    action="Seed the frame again.",
                )
            alpha, state = self._run(FrameKind.SETTLE, state, frame)
        return self._commit(alpha, state, frame)

    def assign(self, plate: Image, mask: Image) -> Tensor:
        """Remember this plate with this mask as its alpha, without a prediction; the mask comes back.

        Raises PlateError, MaskError.
        """
        return self._move(FrameKind.SEED, plate, mask)

    def settle(self, plate: Image) -> Tensor:
        """Predict the frame just seen once more from its own last answer; memory restarts from the result."""
        return self._move(FrameKind.SETTLE, plate)

    def advance(self, plate: Image, holdout: Holdout = NO_HOLDOUT) -> Tensor:
        """The alpha (H, W) of the next frame, within its holdout.

        Raises IllegalMove before a mask was given, PlateError, MaskError.
        """
        return self._move(FrameKind.ADVANCE, plate, holdout=holdout)

    def finish(self, plate: Image, mask: Image | None = None) -> Tensor:
        """The alpha of a last frame, which is not remembered; with a mask, the mask is the alpha."""
        return self._move(FrameKind.FINISH if mask is None else FrameKind.FINISH_SEED, plate, mask)

    def snapshot(self, state: StreamState | None = None) -> bytes:
        """All that this session remembers (or remembered: any state it had), for restore().

        No pickle; damage is noticed on restore.
        """
        about = {
            "policy": self._policy.to_dict(),
            "settle_passes": self._settle_passes,
            "working_size": self._working_size,
            "network": self._network_digest,
        }
        return to_bytes(state or self._state, about)

    @classmethod
    def restore(cls, network: MatAnyone, blob: bytes) -> MattingSession:
        """A session that goes on exactly where snapshot() was taken.

        Raises SnapshotError for damaged bytes or another network's.
        """
        about = read_about(blob)
        session = cls(
            network,
            MemoryPolicy.from_dict(about["policy"]),
            settle_passes=about["settle_passes"],
            working_size=about["working_size"],
        )
        session.recall(blob)
        return session

    def recall(self, blob: bytes) -> None:
        """Go to where snapshot() was taken, in this session or one with its options.

        Raises SnapshotError for damaged bytes or another network's.
        """
        network = read_about(blob)["network"]
        if network != self._network_digest:
            raise SnapshotError(
                expected=f"a snapshot of this network ({self._network_digest[:12]})",
                came=f"one of another network ({network[:12]})",
                action="Load the weights that the snapshot was made with.",
            )
        self._state = from_bytes(blob, self._policy, self._network.device)

    @cached_property
    def _network_digest(self) -> str:
        return network_digest(self._network)

    def _move(self, kind: FrameKind, plate: Image, mask: Image | None = None, holdout: Holdout = NO_HOLDOUT) -> Tensor:
        check_move(kind, self._state.cursor.phase)
        state, frame = self._entered(plate, holdout)
        given = None if mask is None else self._mask(mask, frame.geometry)
        alpha, state = self._run(kind, state, frame, given)
        return self._commit(alpha, state, frame)

    def _entered(self, plate: Image, holdout: Holdout = NO_HOLDOUT) -> tuple[StreamState, _Frame]:
        """Check plate and holdout, encode the plate, and note the shot's frame size if it is the first."""
        image = _float_tensor(plate)
        size = _plate_size(image)
        known = self._state.frame
        if known is not None and size != known:
            raise PlateError(
                expected=f"a plate of the shot's size {_words(known)}",
                came=f"one of {_words(size)}",
                action="Give every frame at one size, or start a new session.",
            )
        _check_values(image, "plate", PlateError)
        geometry = Geometry.of(size, self._working_size)
        limits = self._limits(holdout, size)
        with _guarded():
            shared = self._encoder
            features = shared(plate, image, geometry) if shared else encode(self._network, image, geometry)
        return replace(self._state, frame=size), _Frame(geometry, features, limits)

    def _limits(self, holdout: Holdout, size: Size) -> Limits | None:
        """What a holdout leaves to an alpha of the plate's size; None for an empty holdout."""
        masks = {"inside": holdout.inside, "outside": holdout.outside}
        given = {name: _float_tensor(mask) for name, mask in masks.items() if mask is not None}
        for name, mask in given.items():
            if tuple(mask.shape) != size:
                raise MaskError(
                    expected=f"a holdout ({name}) of the plate's size {_words(size)}",
                    came=f"shape {tuple(mask.shape)}",
                    action="Render it at the plate's format; it is never stretched to fit.",
                )
            _check_values(mask, f"holdout ({name})", MaskError)
        return Limits.of(given, self._network.device) if given else None

    def _mask(self, mask: Image, geometry: Geometry) -> Tensor:
        """Checked, at working size, padded: (1, 1, H, W)."""
        given = _float_tensor(mask)
        if tuple(given.shape) != geometry.frame:
            raise MaskError(
                expected=f"a mask of the plate's size {_words(geometry.frame)}",
                came=f"shape {tuple(given.shape)}",
                action="Render the mask at the plate's format; it is never stretched to fit.",
            )
        _check_values(given, "mask", MaskError)
        if not given.max() > 0:
            raise MaskError(
                expected="a mask that covers some of the subject",
                came="an empty one (every pixel is 0)",
                action="Check that the mask was drawn on this frame and its channel is the one that was read.",
            )
        return geometry.prepare(given.clamp(0, 1)[None, None].to(self._network.device))

    def _run(
        self, kind: FrameKind, state: StreamState, frame: _Frame, mask: Tensor | None = None
    ) -> tuple[Tensor, StreamState]:
        plan = plan_frame(kind, state.cursor, self._policy)
        with _guarded():
            if mask is not None:
                return step.assign(self._network, plan, state, frame.features, mask)
            limits = frame.limits and frame.limits.prepared(frame.geometry)
            return step.predict(
                self._network, plan, state, frame.features, self._policy.top_k, self.block_bytes, limits
            )

    def _commit(self, alpha: Tensor, state: StreamState, frame: _Frame) -> Tensor:
        """Check the answer, then keep the new state: an alpha that is not a number never leaves, nor is remembered."""
        if not torch.isfinite(alpha).all():
            raise BadResult(
                expected="an alpha of finite numbers",
                came="NaN or Inf from the network",
                action="Run matanyone-engine doctor; --device cpu tells a driver fault from bad weights.",
            )
        with _guarded():
            answer = frame.geometry.restore(alpha)
            answer = (frame.limits.applied(answer) if frame.limits else answer)[0, 0]
        self._state = state
        return answer.clone()  # outside inference mode: the caller may change it


class _Frame:
    """A plate inside the session: its features, how it came in, and what its alpha must keep to."""

    def __init__(self, geometry: Geometry, features: ImageFeatures, limits: Limits | None) -> None:
        self.geometry = geometry
        self.features = features
        self.limits = limits


@contextmanager
def _guarded() -> Iterator[None]:
    """Run without autograd; running out of memory becomes an error of our family."""
    try:
        with torch.inference_mode():
            yield
    except (MemoryError, RuntimeError) as error:
        if not _ran_out_of_memory(error):
            raise
        raise OutOfMemory(
            expected="room for one frame",
            came=str(error).splitlines()[0] if str(error) else "no memory left",
            action="Set a smaller working size (--working-size 720), or free memory on the device.",
        ) from error


def _ran_out_of_memory(error: Exception) -> bool:
    """torch has a class for it on CUDA only; the CPU and Metal allocators say it in words."""
    words = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error) for word in words)


def _float_tensor(image: Image) -> Tensor:
    """float32; a numpy array is copied where torch could not share it safely."""
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.array(image, dtype=np.float32))
    return image.detach().to(torch.float32)


def _plate_size(plate: Tensor) -> Size:
    if plate.dim() != 3 or plate.shape[0] != 3 or 0 in plate.shape:
        raise PlateError(
            expected="a plate of shape (3, height, width)",
            came=f"shape {tuple(plate.shape)}",
            action="Pass RGB planes first; an (H, W, 3) image needs .permute(2, 0, 1).",
        )
    return int(plate.shape[1]), int(plate.shape[2])


def _check_values(image: Tensor, name: str, error: type[PlateError] | type[MaskError]) -> None:
    if not torch.isfinite(image).all():
        bad = int((~torch.isfinite(image)).sum())
        raise error(
            expected=f"a {name} of finite numbers",
            came=f"{bad} values that are NaN or Inf",
            action=f"Repair the {name} (a NaN would spread through the shot's memory).",
        )
    low, high = float(image.min()), float(image.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise error(
            expected=f"a {name} with values in 0..1",
            came=f"values from {low:g} to {high:g}",
            action="Divide 8-bit values by 255; encode scene-linear plates for display first (media.color.NetworkView)."
            if name == "plate"
            else "Divide 8-bit values by 255.",
        )


def check_options(settle_passes: int, working_size: int | None) -> None:
    """Raise SettingError for options that no session takes."""
    _check_option("settle_passes", settle_passes, minimum=0)
    if working_size is not None:
        _check_option("working_size", working_size, minimum=16)


def _check_option(name: str, value: int, *, minimum: int) -> None:
    if value < minimum:
        raise SettingError(expected=f"{name} of at least {minimum}", came=str(value), action="Correct the option.")


def _words(size: Size) -> str:
    """Width x height, the way compositors say it."""
    return f"{size[1]}x{size[0]}"
