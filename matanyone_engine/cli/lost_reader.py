# SPDX-License-Identifier: Apache-2.0
"""Keeps a command going when whoever reads its lines goes away, as in `matanyone-engine run JOB --json | head`."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TextIO


def silence(stream: TextIO) -> None:
    """Let a stream whose reader has gone end in nothing, so that neither a later line nor Python's end fails on it."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
