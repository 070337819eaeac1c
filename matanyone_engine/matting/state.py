# SPDX-License-Identifier: Apache-2.0
"""Holds the state that is carried from frame to frame, and converts it to bytes and back.

Rules of this file:
1. A state is a value: a step makes a new one, and the old one can still be used.
2. A snapshot is safetensors data after a magic number and a digest: it holds no pickle and no code, and damage is
   detected.
3. A snapshot with an unknown tensor is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from matanyone_engine.errors import SnapshotError
from matanyone_engine.matting.confidence import Signals
from matanyone_engine.matting.geometry import Window
from matanyone_engine.matting.memory_policy import MemoryPolicy
from matanyone_engine.matting.schedule import Cursor, SessionPhase
from matanyone_engine.memory.bank import MemoryBank, Tokens
from matanyone_engine.sizes import Size

_MAGIC = b"MATANYONE-SNAPSHOT-3\n"
_HEADER = "header"
_CARRIED = "carried."
_TOKENS = "tokens."
_ANSWERED = "answered."
_PLATE = "plate"
NAMES_OF_0_1_0 = {"answered.look": "answered.fingerprint"}
"""Names of tensors in snapshots of version 0.1.0, and their names now."""


class Carried(NamedTuple):
    """Holds the maps of the last frame, and the object summary up to it.

    B is 1; H W padded working size, h w stride 16.
    """

    sensory: Tensor
    """(B, S, h, w)."""
    alpha: Tensor
    """(B, 1, H, W) 0..1: the last alpha."""
    pix: Tensor
    """(B, pixel_dim, h, w): the last frame's pixel feature."""
    value: Tensor
    """(B, V, h, w): the last frame's value, whether or not it went into memory."""
    summary: Tensor
    """(B, Q, D + 1): object summary, added up."""


class LastAnswer(NamedTuple):
    """Holds what is needed of the last computed frame if a repeat follows (held_frames.py)."""

    fingerprint: Tensor
    """The fingerprint with which later plates are compared."""
    alpha: Tensor | None = None
    """(H, W) of the plate: the alpha that was returned; None if it can be made from the carried alpha."""


@dataclass(frozen=True)
class StreamState:
    """Holds the state of one object after one frame of a shot."""

    cursor: Cursor
    bank: MemoryBank
    frame: Size | None = None
    """Size of the shot's frames; None before the first mask."""
    carried: Carried | None = None
    """None before the first mask."""
    window: Window | None = None
    """The window of the padded frame that the carried maps cover; None before the first mask."""
    plate: Tensor | None = None
    """(B, 3, H, W) of the last frame, whole and padded; None if windows do not move."""
    answered: LastAnswer | None = None
    """None before the first mask, or if every frame is computed."""
    held: int = 0
    """Number of frames that were repeats; they change nothing else in the state."""
    signals: Signals | None = None
    """Signals of the last computed frame; None before the first mask."""

    @classmethod
    def empty(cls, policy: MemoryPolicy) -> StreamState:
        """Return the state before any mask."""
        return cls(Cursor(), MemoryBank(policy.bank_frames, policy.long_term))

    def known(self) -> Carried:
        """Return the carried maps. The schedule ensures that it is not called before a mask was given."""
        if self.carried is None:
            raise LookupError("nothing is carried before the first mask")
        return self.carried


def to_bytes(state: StreamState, about: dict[str, Any]) -> bytes:
    """Return a snapshot of a state with a description of its session, which must be JSON values."""
    bank = state.bank
    header = {
        "about": about,
        "cursor": {**dataclasses.asdict(state.cursor), "phase": state.cursor.phase.value},
        "frame": state.frame,
        "window": None if state.window is None else dataclasses.astuple(state.window),
        "held": state.held,
        "signals": None if state.signals is None else dataclasses.asdict(state.signals),
        "bank": {"prototypes": bank.prototypes, "stored": bank.stored},
    }
    tensors = {_HEADER: torch.frombuffer(bytearray(json.dumps(header).encode()), dtype=torch.uint8)}
    if state.carried is not None:
        tensors |= {_CARRIED + name: tensor for name, tensor in state.carried._asdict().items()}
    if state.answered is not None:
        answered = state.answered._asdict()
        tensors |= {_ANSWERED + name: tensor for name, tensor in answered.items() if tensor is not None}
    if state.plate is not None:
        tensors[_PLATE] = state.plate
    if bank.tokens is not None:
        tensors |= {_TOKENS + name: tensor for name, tensor in bank.tokens.tensors().items()}
    # With one cell, a transposed tensor is contiguous and shares its memory with another, which safetensors refuses.
    own = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    payload = save(own)
    return _MAGIC + hashlib.sha256(payload).digest() + payload


def read_about(blob: bytes) -> dict[str, Any]:
    """Read the description that was passed to to_bytes."""
    return _header(_tensors(blob))["about"]


def from_bytes(blob: bytes, policy: MemoryPolicy, device: torch.device) -> StreamState:
    """Restore what to_bytes wrote. Raises SnapshotError for anything damaged or unknown."""
    tensors = _tensors(blob)
    header = _header(tensors)
    del tensors[_HEADER]
    carried = _taken(tensors, _CARRIED, device)
    stored = _taken(tensors, _TOKENS, device)
    answered = _taken(tensors, _ANSWERED, device)
    plate = _taken(tensors, _PLATE, device).get("")
    if tensors:
        raise _not_ours(f"tensors nobody asked for: {', '.join(sorted(tensors))}")
    try:
        cursor = Cursor(**{**header["cursor"], "phase": SessionPhase(header["cursor"]["phase"])})
        bank = dataclasses.replace(
            StreamState.empty(policy).bank,
            tokens=Tokens(**stored) if stored else None,
            prototypes=header["bank"]["prototypes"],
            stored=tuple(header["bank"]["stored"]),
        )
        return StreamState(
            cursor,
            bank,
            frame=Size(*header["frame"]) if header["frame"] else None,
            carried=Carried(**carried) if carried else None,
            window=Window(*header["window"]) if header["window"] else None,
            plate=plate,
            answered=LastAnswer(**answered) if answered else None,
            held=header["held"],
            signals=Signals(**header["signals"]) if header["signals"] else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _not_ours(f"a header that does not fit: {error}") from error


def _taken(tensors: dict[str, Tensor], prefix: str, device: torch.device) -> dict[str, Tensor]:
    """Remove and return the tensors whose names have a prefix, on the device, without the prefix.

    They are copied, because in the bytes they may lie at any address, and a matrix product may round differently if its
    factors are aligned differently.
    """
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name).to(device, copy=True) for name in names}


def _tensors(blob: bytes) -> dict[str, Tensor]:
    digest_end = len(_MAGIC) + 32
    if not blob.startswith(_MAGIC):
        raise _not_ours(f"{len(blob)} bytes that begin with {bytes(blob[:16])!r}")
    payload = blob[digest_end:]
    if hashlib.sha256(payload).digest() != blob[len(_MAGIC) : digest_end]:
        raise _not_ours(f"{len(blob)} bytes whose digest does not match (cut short or altered)")
    try:
        return {NAMES_OF_0_1_0.get(name, name): tensor for name, tensor in load(payload).items()}
    except SafetensorError as error:
        raise _not_ours(str(error)) from error


def _header(tensors: dict[str, Tensor]) -> dict[str, Any]:
    if _HEADER not in tensors:
        raise _not_ours("tensors without a header")
    try:
        return json.loads(bytes(tensors[_HEADER].tolist()))
    except (ValueError, TypeError, RecursionError) as error:
        raise _not_ours(f"a header that is no JSON ({error})"[:120]) from error


def _not_ours(came: str) -> SnapshotError:
    return SnapshotError(
        expected="bytes made by MattingSession.snapshot()",
        came=came,
        action="Use an intact snapshot, or seed the shot again.",
    )
