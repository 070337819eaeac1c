# SPDX-License-Identifier: Apache-2.0
"""Follows a job to its end, also if the message about the end was lost or the engine was restarted.

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
"""Seconds without a message about the job after which it is sent again; the engine then repeats its last answer."""

JobEvent = Union[say.Progress, say.JobEnded]


class JobRun:
    """Follows one job of an engine. If the engine is restarted, the job continues from its resume point."""

    def __init__(self, client: EngineClient, job: say.Job, *, go_on: bool = False) -> None:
        """Send the job. go_on: continue an unfinished run of this job, if there is one; otherwise the job starts at the
        beginning. Raises WireError if the engine refuses the job.
        """
        self._client, self._asked, self._job = client, job, job
        self._cancelled = False
        self._ask(self._again(resume=True) if go_on else job)

    def events(self, poll_s: float = 0.5) -> Iterator[Optional[JobEvent]]:
        """Yield the messages about the job, JobEnded last; None after poll_s seconds without one. Raises WireError."""
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
        """Make sure that the engine still works on the job; return False if it was cancelled and the engine no longer
        knows it."""
        changed = self._client.pump.connection.epoch != self._epoch
        if not changed and time.monotonic() - self._heard <= SILENT_S:
            return True
        # an unreachable engine is waited for; if it stays unreachable, that is an error
        self._client.call(say.Status())
        if self._client.pump.connection.epoch == self._epoch:
            self._ask(self._job)
            return True
        if self._cancelled:
            return False
        # A restarted engine does not know the job; it continues from the resume point on disk, if there is one.
        self._ask(self._again(resume=True))
        return True

    def _begun_anew(self, ended: say.JobEnded) -> bool:
        """Send the job from its beginning if a restarted engine found no resume point; return its message."""
        resumed = self._job.resume and not self._asked.resume
        if not resumed or self._cancelled or ended.code != Code.BAD_INPUT.value or ended.written:
            return False
        self._ask(self._again(resume=False))
        return True

    def _again(self, resume: bool) -> say.Job:
        return dataclasses.replace(self._asked, nonce=secrets.token_hex(16), resume=resume)

    def show(self, frame: int) -> str:
        """Have a frame computed before all others, wait for it, and return its file. Raises WireError."""
        shown = self._client.call(say.Show(self.accepted.session, frame))
        assert isinstance(shown, say.Shown)
        return shown.path

    def cancel(self) -> None:
        """Cancel the job within one frame; JobEnded says how many alphas were written. Raises WireError."""
        if not self._cancelled:
            self._cancelled = True
            self._client.call(say.Cancel(self.accepted.session))

    def _ask(self, job: say.Job) -> None:
        accepted = self._client.call(job)
        assert isinstance(accepted, say.Accepted)
        self._job, self.accepted, self._heard = job, accepted, time.monotonic()
        self._epoch = self._client.pump.connection.epoch
