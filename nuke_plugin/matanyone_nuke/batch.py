# SPDX-License-Identifier: Apache-2.0
"""Mattes the nodes of a script without a GUI, and ends with an exit code (docs/nuke.md).

    nuke -t .../matanyone_nuke/batch.py --script=SHOT.nk [--node=NAME] [--range=1001-1100]

It takes one node after another. Every option is one word with
'=', since Nuke takes bare numbers for a frame range of its own.
"""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Optional, Sequence

import nuke


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Matte the nodes; the exit code is 0, or the first that is not."""
    parser = argparse.ArgumentParser(prog="matanyone_nuke.batch", description=__doc__)
    parser.add_argument("--script", required=True, help="the Nuke script")
    parser.add_argument("--node", help="one node by name (default: every MatAnyone node)")
    parser.add_argument("--range", help="frames, as 1001-1045,1050 (default: the nodes' own)")
    args = parser.parse_args(argv)
    from matanyone_nuke import frames, host, knobs, node

    nuke.scriptOpen(args.script)
    try:
        only = frames.parse_frames(args.range) if args.range else None
    except frames.PlanError as error:
        host.log(str(error))
        return 2
    nodes = [each for each in knobs.our_nodes() if args.node in (None, each.name(), each.fullName())]
    if not nodes:
        host.log("not begun: expected a MatAnyone node%s in %s" % (" " + args.node if args.node else "", args.script))
        return 2
    signal.signal(signal.SIGTERM, lambda *_: node.on_script_close())
    codes = [node.matte(each, only) for each in nodes]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
