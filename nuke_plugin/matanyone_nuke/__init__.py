# SPDX-License-Identifier: Apache-2.0
"""MatAnyone in Nuke (docs/nuke.md).

    shape.py     the node as data: its knobs and what is inside     script.py  the same as .gizmo and toolset
    plan.py      what a run will do                                 bridge.py  the way to the engine
    run.py       a run from its plan to its end                     exr.py     whether a rendered file has changed
    host.py      the line between threads                           knobs.py, node.py, batch.py  Nuke itself
    engine/      a copy of the engine's client; wheels/  pyzmq for each Python

Rules of this folder:
1. nuke is imported by host, knobs, node and batch only; what the others do can be tested without it.
2. No torch, no numpy, nothing compiled but pyzmq, and that at the end of sys.path.
3. Python 3.7 syntax, so that Nuke 13 takes it through the companion.
"""
