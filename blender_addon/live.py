# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks of what an artist points at, made again after each click, over one connection. No bpy.

    live = LivePrompts(); link.call(live.work)     the network thread makes masks until live.stop()
    live.ask(prompt)                               the newest prompt is made; older ones that wait are left out
    live.made, live.fault                          what has become of the newest

Rule of this file: ask() and stop() are called by the main thread and never wait.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .engine.wire import messages as say
from .engine.wire.errors import Code, WireError

if TYPE_CHECKING:
    from .engine.client.client import EngineClient

_POLL_S = 0.1


class LivePrompts:
    """Holds the masks of one time that an artist clicks, until Enter or ESC."""

    def __init__(
        self,
        check: Callable[[], None] = lambda: None,
        prepare: Callable[[], None] = lambda: None,
        written: Callable[[str], None] = lambda file: None,
    ) -> None:
        """Get ready; work() begins.

        check: called several times a second on the network thread; what it raises ends the mode.
        prepare: called once on the network thread, before the first mask.
        written: called on the network thread with the file of each mask, as soon as it is on disk.
        """
        self._check, self._prepare, self._written = check, prepare, written
        self._wanted: queue.SimpleQueue[say.Prompt | None] = queue.SimpleQueue()
        self.asked = ""
        """The nonce of the newest prompt."""
        self.made: say.Masked | None = None
        """The newest mask that is on disk."""
        self.fault: WireError | None = None
        """Why the newest prompt gave none."""
        self.answered = ""
        """The nonce of the newest prompt that was made or refused."""

    def ask(self, prompt: say.Prompt) -> None:
        """Have a mask made of this; what was asked before and has not begun is left out."""
        self.asked = prompt.nonce
        self._wanted.put(prompt)

    def stop(self) -> None:
        """End the mode, after the mask at hand."""
        self._wanted.put(None)

    def fail(self, fault: WireError) -> None:
        """Say why no mask can be made any more: there is no engine, or Blender leaves."""
        self.fault, self.answered = fault, self.asked

    @property
    def is_done(self) -> bool:
        """Return whether the newest prompt was answered."""
        return self.answered == self.asked

    def work(self, client: EngineClient) -> None:
        """Make masks until stop(). On the network thread."""
        self._prepare()
        while True:
            self._check()
            try:
                prompt = self._newest()
            except queue.Empty:
                continue
            if prompt is None:
                return
            self._make(client, prompt)

    def _newest(self) -> say.Prompt | None:
        """Return the last prompt that waits; None once it is over. Raises queue.Empty where there is none."""
        prompt = self._wanted.get(timeout=_POLL_S)
        while prompt is not None and not self._wanted.empty():
            prompt = self._wanted.get()
        return prompt

    def _make(self, client: EngineClient, prompt: say.Prompt) -> None:
        try:
            Path(prompt.out).parent.mkdir(parents=True, exist_ok=True)
            made = client.make_mask(prompt)
            self._written(prompt.out)
            self.made, self.fault = made, None
        except OSError as error:
            self.fault = WireError(Code.OUTPUT, str(error), "Choose an output folder that you may write to.")
        except WireError as error:
            self.fault = error
        self.answered = prompt.nonce
