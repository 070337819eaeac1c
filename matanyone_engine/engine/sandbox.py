# SPDX-License-Identifier: Apache-2.0
"""Reads untrusted image files in a child process, so that a crash in a library cannot stop the engine.

The child is this Python, and its standard input and output are the way to it: requests and answers are pickled, each
after its length. It ends when its standard input is closed, which the death of the engine does too.
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
"""Has the path set before anything is imported but sys, which is built in: with -c the current folder comes first."""
_LENGTH = struct.Struct("<Q")
"""Stands before each request and each answer: its bytes."""


class Sandbox:
    """Owns a child process for one piece of work after another. It starts with the first, and anew after it has died.

    Whoever waits for his turn has not begun: if the process dies meanwhile, his work runs in the next one.
    """

    def __init__(self, patience_s: float) -> None:
        """patience_s: seconds for one piece of work, once it has begun."""
        self._patience_s = patience_s
        self._child: _Child | None = None
        self._turn = Lock()
        """Held by whose work is in the process."""
        self._closed = False

    def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Return what work(*arguments) returns there, or raise what it raises; all of it is pickled.

        A process that dies is started again once, since it may have died of something else, between two pieces of
        work. Raises WireError (bad-input) if this work kills it again, or does not end in time.
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
        if self._closed:  # while it was started, when there was nothing to end yet
            self._replace()
            raise shutting_down()
        try:
            return self._child.ask(request, self._patience_s)
        except _Died:
            self._replace()
            raise
        except TimeoutError:
            self._replace()
            raise _killed() from None

    def _replace(self) -> None:
        """End a process that cannot be trusted any more."""
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def processes(self) -> list[int]:
        """Return the ids of the child processes."""
        child = self._child
        return [] if child is None else [child.pid]

    def rest(self) -> None:
        """End the process if it has nothing to do: its libraries hold some 100 MB. The next work starts it again."""
        if self._turn.acquire(blocking=False):
            try:
                self._replace()
            finally:
                self._turn.release()

    def close(self) -> None:
        """End the process; also while it works."""
        self._closed = True
        self._replace()


class _Died(Exception):
    """Says that the child has ended before it answered."""


class _Child:
    """Holds a running child process, as the engine sees it.

    It gets the path that modules are imported from, and nothing of the environment is changed for it: what this
    process starts for others is not to inherit what only the child needs.
    """

    def __init__(self) -> None:
        folders = [folder for folder in sys.path if Path(folder).is_absolute()]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, *folders], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: bytes, patience_s: float) -> bytes:
        """Return the answer. Raises _Died, or TimeoutError where it takes longer than patience_s."""
        answers: SimpleQueue[bytes | None] = SimpleQueue()
        Thread(target=lambda: answers.put(self._exchange(request)), daemon=True).start()
        try:
            answer = answers.get(timeout=patience_s)
        except Empty:
            raise TimeoutError from None
        if answer is None:
            raise _Died
        return answer

    def _exchange(self, request: bytes) -> bytes | None:
        """Send and receive; the answer, or None if the child is gone."""
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
    """Return the next message, or None if there is no whole one any more."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    message = stream.read(length)
    return message if len(message) == length else None


def _result(answer: bytes) -> object:
    """Return what the work returned; raises what it raised, with where it did so as the cause."""
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
    """Work for the engine that started this process, until it closes standard input or ends. Returns never."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the engine's: it ends this process in order
    requests, answers = _own_streams()
    heard: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_hear, args=(requests, heard), daemon=True).start()
    while True:
        _write(answers, _done(heard.get()))


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep standard input and output for requests and answers alone: what a library prints goes to standard error."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _hear(requests: BinaryIO, heard: SimpleQueue[bytes]) -> None:
    """Pass requests on. The end of them ends the process, also in the middle of work: nobody waits for it any more."""
    while True:
        request = _read(requests)
        if request is None:
            os._exit(1)
        heard.put(request)


def _done(request: bytes) -> bytes:
    """Return the answer to a request: what the work returned, or what it raised and where."""
    try:
        work, arguments = pickle.loads(request)
        return pickle.dumps((work(*arguments), None, ""), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        return _pickled(error, traceback.format_exc())


def _pickled(error: Exception, where: str) -> bytes:
    """Return an error as an answer. Some libraries' errors cannot be made again from their pickle: those go as their
    text.
    """
    try:
        answer = pickle.dumps((None, error, where), pickle.HIGHEST_PROTOCOL)
        pickle.loads(answer)
    except Exception:
        return pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}"), where), pickle.HIGHEST_PROTOCOL)
    return answer
