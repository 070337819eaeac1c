# SPDX-License-Identifier: Apache-2.0
"""Reads untrusted image files in a child process, so that a crash in a library cannot stop the engine.

The child runs this Python. Requests go to its standard input and answers come from its standard output, each pickled
and preceded by its length. The child ends when its standard input is closed, so it also ends if the engine dies.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import BinaryIO, TypeVar, cast

from matanyone_engine.engine.faults import shutting_down
from matanyone_engine.wire.errors import Code, WireError

T = TypeVar("T")

_SERVE = "import sys; sys.path[:] = sys.argv[1:]; from matanyone_engine.engine.sandbox import serve; serve()"
"""Sets the import path before anything but sys, which is built in, is imported: with -c the current folder is searched
first."""
_LENGTH = struct.Struct("<Q")
"""The length in bytes, which precedes each request and each answer."""


class Sandbox:
    """Owns a child process that does one piece of work after another. It is started for the first piece of work, and
    again after it has died. Work that waits for its turn has not started: if the process dies meanwhile, that work runs
    in the next one.
    """

    def __init__(self, timeout_s: float) -> None:
        """timeout_s: seconds for one piece of work, once it has begun."""
        self._timeout_s = timeout_s
        self._child: _Child | None = None
        self._turn = Lock()
        """Held while work is in the process."""
        self._closed = False

    def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Run work(*arguments) in the child; return its result or raise its error. Everything is pickled.

        If the child dies, it is started again once, since it may have died for another reason between two pieces of
        work. Raises WireError (bad-input) if it dies again, or if the work does not end in time.
        """
        request = pickle.dumps((work, arguments), pickle.HIGHEST_PROTOCOL)
        with self._turn:
            try:
                answer = self._attempt(request)
            except _Died:
                answer = self._last_attempt(request)
        return cast(T, _result(answer))

    def _last_attempt(self, request: bytes) -> bytes:
        try:
            return self._attempt(request)
        except _Died as error:
            raise _killed() from error

    def _attempt(self, request: bytes) -> bytes:
        if self._closed:
            raise shutting_down()
        if self._child is None:
            self._child = _Child()
        if self._closed:  # close() was called while the child was being started, when there was no process to end
            self._replace()
            raise shutting_down()
        try:
            return self._child.ask(request, self._timeout_s)
        except _Died:
            self._replace()
            raise
        except TimeoutError:
            self._replace()
            raise _killed() from None

    def _replace(self) -> None:
        """End a child process that may be in a wrong state."""
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def processes(self) -> list[int]:
        """Return the ids of the child processes."""
        child = self._child
        return [] if child is None else [child.pid]

    def rest(self) -> None:
        """End the child process if it is idle, since its libraries take about 100 MB. The next work starts it again."""
        if self._turn.acquire(blocking=False):
            try:
                self._replace()
            finally:
                self._turn.release()

    def close(self) -> None:
        """End the child process, even while it works."""
        self._closed = True
        self._replace()


class _Died(Exception):
    """Raised if the child has ended before it answered."""


class _Child:
    """Holds a running child process, on the engine's side.

    It gets the import path as arguments. The environment is not changed for it, so that other programs which this
    process starts do not inherit what only the child needs.
    """

    def __init__(self) -> None:
        folders = [folder for folder in sys.path if Path(folder).is_absolute()]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, *folders], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: bytes, timeout_s: float) -> bytes:
        """Return the answer. Raises _Died, or TimeoutError if it takes longer than timeout_s."""
        answers: SimpleQueue[bytes | None] = SimpleQueue()
        Thread(target=lambda: answers.put(self._exchange(request)), daemon=True).start()
        try:
            answer = answers.get(timeout=timeout_s)
        except Empty:
            raise TimeoutError from None
        if answer is None:
            raise _Died
        return answer

    def _exchange(self, request: bytes) -> bytes | None:
        """Send a request and return the answer; None if the child has ended."""
        to, of = cast(BinaryIO, self._process.stdin), cast(BinaryIO, self._process.stdout)
        try:
            _write(to, request)
            return _read(of)
        except (OSError, ValueError):  # ValueError: the streams were closed meanwhile
            return None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError, ValueError):
                    stream.close()


def _write(stream: BinaryIO, message: bytes) -> None:
    stream.write(_LENGTH.pack(len(message)))
    stream.write(message)
    stream.flush()


def _read(stream: BinaryIO) -> bytes | None:
    """Return the next message; None if the stream ended before a whole one."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    message = stream.read(length)
    return message if len(message) == length else None


def _result(answer: bytes) -> object:
    """Return the work's result, or raise its error; the error's cause has the child's traceback as text."""
    returned, raised, where = pickle.loads(answer)
    if raised is not None:
        raise raised from RuntimeError(f"in the sandbox:\n{where}")
    return returned


def _killed() -> WireError:
    return WireError(
        Code.BAD_INPUT,
        "the image library crashed on this file, or did not finish reading it",
        "Write the file again from your application. If that does not help, report this with the file.",
    )


def serve() -> None:
    """Serve the engine that started this process until it closes standard input or ends. It never returns."""
    # Ctrl-C in a terminal is for the engine, which then ends this process in an orderly way
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = _own_streams()
    heard: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_hear, args=(requests, heard), daemon=True).start()
    while True:
        _write(answers, _done(heard.get()))


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """Reserve standard input and output for requests and answers; what a library prints goes to standard error."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _hear(requests: BinaryIO, heard: SimpleQueue[bytes]) -> None:
    """Pass requests on.

    When they end, the process ends, even in the middle of work, since no one waits for its result.
    """
    while True:
        request = _read(requests)
        if request is None:
            os._exit(1)
        heard.put(request)


def _done(request: bytes) -> bytes:
    """Return the answer to a request: the work's result, or its error with the traceback."""
    try:
        work, arguments = pickle.loads(request)
        return pickle.dumps((work(*arguments), None, ""), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        return _pickled(error, traceback.format_exc())


def _pickled(error: Exception, where: str) -> bytes:
    """Return an error as an answer.

    The errors of some libraries cannot be unpickled: of these, only the text is sent.
    """
    try:
        answer = pickle.dumps((None, error, where), pickle.HIGHEST_PROTOCOL)
        pickle.loads(answer)
    except Exception:
        return pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}"), where), pickle.HIGHEST_PROTOCOL)
    return answer
