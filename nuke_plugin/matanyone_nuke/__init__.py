# SPDX-License-Identifier: Apache-2.0
"""MatAnyone in Nuke (docs/nuke.md).

    shape.py     the node as data             script.py  the same as gizmo and toolset
    plan.py      what a run will do           run.py     a run from its plan to its end
    bridge.py    the way to the engine        exr.py     whether a rendered file has changed
                                              ---- above: no nuke; below: Nuke's API ----
    knobs.py     the panel                    scene.py   what stands around the node
    node.py      built, pressed, converted    export.py  renders inputs        layers.py  objects come out
    stage.py     runs in this Nuke            host.py    the line between threads
    batch.py     nuke -t                      farm.py    the run as a job file
    engine/      a copy of the client         wheels/    pyzmq for each Python

Rules of this folder:
1. What is above the line imports no nuke, and is tested without it.
2. No torch, no numpy, nothing compiled but pyzmq, and that at the end of sys.path.
3. Python 3.7 syntax, so that Nuke 13 takes it through the companion.
"""
