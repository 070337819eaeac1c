# SPDX-License-Identifier: Apache-2.0
"""Talks to an engine, for programs that must not load torch or numpy (docs/protocol.md).

    client.py      blocking: EngineClient, and Shot, which survives a restart of the engine
    job.py         a job by path, to its end
    pump.py        non-blocking: EnginePump.poll() for UI timers
    launcher.py    find this user's engine, or start one
    detached.py    start a process that is independent of the host
    transport.py   the only file that knows ZeroMQ
    vendor.py      copies this folder and wire/ into a host's add-on

Rule of this folder: Python 3.9, its standard library, pyzmq in transport.py, and the wire package beside it. Both
folders are copied into hosts as they are.
"""
