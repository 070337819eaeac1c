# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends operators: it says what is wrong, and in background mode waits for the answer."""

from __future__ import annotations

import bpy

from . import session


def report(operator, error):
    """Show a fault as Blender does; the operator has done nothing."""
    operator.report({"ERROR"}, session.told(error))
    return {"CANCELLED"}


def asked(operator):
    """End an operator that has asked the network thread: in background mode the answer is waited for."""
    if not bpy.app.background:
        return {"FINISHED"}
    failure = session.wait_for_calls()
    if failure is not None:
        return report(operator, failure)
    print(f"MatAnyone: {session.now.note or session.now.test}", flush=True)
    return {"FINISHED"}
