# SPDX-License-Identifier: Apache-2.0
"""Holds the protocol between hosts and the engine as plain values (docs/protocol.md).

    messages.py      what is said: one frozen dataclass per message
    conversation.py  who may say what when, and what answers it
    codec.py         message <-> list of byte strings; arrays.py declares the binary ones
    errors.py        what can go wrong, as codes; version.py the first six bytes
    jobfile.py       a job as a file, and what its paths are on this machine
    connection.py    the file through which a client finds an engine of this user; lock.py: held by one process

Rule of this folder: the standard library of Python 3.9 and relative imports only. It is copied into hosts as it is.
"""
