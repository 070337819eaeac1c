# SPDX-License-Identifier: Apache-2.0
"""Schedules requests for first masks. A mask is made once, however often its request is sent."""

from __future__ import annotations

from collections.abc import Iterator

from matanyone_engine.engine.events import Instruction, MakeMask, MaskMade, Reply, Requested, Requester
from matanyone_engine.engine.faults import as_fault, shutting_down
from matanyone_engine.engine.workloads import EngineLimits
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.errors import Code, WireError


class MaskScheduler:
    """Holds the first masks that were made, and those that are being made."""

    def __init__(self, limits: EngineLimits) -> None:
        self._limits = limits
        self._made: dict[str, say.Masked] = {}
        """The answers of finished masks by nonce, for requests that are sent again."""
        self._waiting: dict[str, list[Requester]] = {}
        """For each nonce, the clients that wait for a mask that is being made."""

    @property
    def idle(self) -> bool:
        """Return whether no client waits for a mask."""
        return not self._waiting

    def ask_prompt(self, event: Requested, message: say.Prompt) -> Iterator[Instruction]:
        """Have a mask made, or answer with the one that was made before."""
        if message.nonce in self._made:
            yield Reply(event.who, self._made[message.nonce])
        elif message.nonce in self._waiting:
            self._waiting[message.nonce].append(event.who)
        elif len(self._waiting) >= self._limits.prompts:
            raise WireError(
                Code.BUSY,
                f"{self._limits.prompts} first masks are waiting to be made; the engine takes no more",
                "Try again in a moment.",
            )
        else:
            self._waiting[message.nonce] = [event.who]
            yield MakeMask(message)

    def on_mask_made(self, event: MaskMade) -> Iterator[Instruction]:
        """Answer the clients that wait for a first mask that was written, or that could not be made."""
        askers = self._waiting.pop(event.nonce, [])  # no client waits if the engine was told to end meanwhile
        if event.masked is not None:
            self._made[event.nonce] = event.masked
            while len(self._made) > self._limits.sessions:
                self._made.pop(next(iter(self._made)))
            yield from (Reply(who, event.masked) for who in askers)
        elif event.fault is not None:
            yield from (Reply(who, as_fault(event.fault)) for who in askers)

    def on_closing(self) -> Iterator[Instruction]:
        """Answer all waiting clients with a fault: the engine is about to end."""
        waiting, self._waiting = self._waiting, {}
        yield from (Reply(who, as_fault(shutting_down())) for askers in waiting.values() for who in askers)
