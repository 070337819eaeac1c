# SPDX-License-Identifier: Apache-2.0
"""Follows a job by path to its end, also when nobody was told of that, or the engine was restarted meanwhile.

run = JobRun(client, job)
for event in run.events():      # Progress, and at last JobEnded; None now and then
    if event is None and user_wants_to_stop:
        run.cancel()
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Iterator
from typing import Optional, Union

from ..wire import messages as say
from ..wire.errors import Code
from .client import EngineClient

SILENT_S = 10.0
"""After so long without a word of the job it is asked for again: the engine repeats what it had said."""

JobEvent = Union[say.Progress, say.JobEnded]


class JobRun:
    """Follows one job of one engine. If the engine is restarted, the job goes on from its resume point."""

    def __init__(self, client: EngineClient, job: say.Job, *, go_on: bool = False) -> None:
        """Send the job. go_on: continue an unfinished run of this very job, if there is one; else it begins anew.

        Raises WireError where the engine does not take it.
        """
        self._client, self._asked, self._job = client, job, job
        self._cancelled = False
        self._ask(self._again(resume=True) if go_on else job)

    def events(self, poll_s: float = 0.5) -> Iterator[Optional[JobEvent]]:
        """Yield what becomes of the job, JobEnded last; None after poll_s seconds of silence. Raises WireError."""
        while True:
            event = self._client.next_event(poll_s)
            if isinstance(event, (say.Progress, say.JobEnded)) and event.session == self.accepted.session:
                self._heard = time.monotonic()
                if isinstance(event, say.JobEnded) and self._begun_anew(event):
                    continue
                yield event
                if isinstance(event, say.JobEnded):
                    return
            elif event is None:
                yield None
                if not self._still_there():
                    yield say.JobEnded(self.accepted.session, "cancelled", 0)
                    return

    def _still_there(self) -> bool:
        """See to it that the engine works on the job; False where it was cancelled and the engine forgot it."""
        changed = self._client.pump.connection.epoch != self._epoch
        if not changed and time.monotonic() - self._heard <= SILENT_S:
            return True
        self._client.call(say.Status())  # an engine that is away is waited for; one that stays away is an error
        if self._client.pump.connection.epoch == self._epoch:
            self._ask(self._job)
            return True
        if self._cancelled:
            return False
        # Another run of the engine knows nothing of the job; the disk does, if it came to a resume point.
        self._ask(self._again(resume=True))
        return True

    def _begun_anew(self, ended: say.JobEnded) -> bool:
        """Return the job as it was asked for where an engine found nothing to resume."""
        resumed = self._job.resume and not self._asked.resume
        if not resumed or self._cancelled or ended.code != Code.BAD_INPUT.value or ended.written:
            return False
        self._ask(self._again(resume=False))
        return True

    def _again(self, resume: bool) -> say.Job:
        return dataclasses.replace(self._asked, nonce=secrets.token_hex(16), resume=resume)

    def show(self, frame: int) -> str:
        """Have a frame made before all others, wait for it, and return its file. Raises WireError."""
        shown = self._client.call(say.Show(self.accepted.session, frame))
        assert isinstance(shown, say.Shown)
        return shown.path

    def cancel(self) -> None:
        """Stop within one frame; JobEnded says how far it came. Raises WireError."""
        if not self._cancelled:
            self._cancelled = True
            self._client.call(say.Cancel(self.accepted.session))

    def _ask(self, job: say.Job) -> None:
        accepted = self._client.call(job)
        assert isinstance(accepted, say.Accepted)
        self._job, self.accepted, self._heard = job, accepted, time.monotonic()
        self._epoch = self._client.pump.connection.epoch
