# SPDX-License-Identifier: Apache-2.0
"""This package is the MatAnyone node for Nuke (docs/nuke.md).

    panel.py     the knobs as data            shape.py    the inside of the group as data
    script.py    both as gizmo and toolset    frames.py   frame lists and file names
    plan.py      what a run will do           jobs.py     the plan in the engine's words
    run.py       a run from plan to end       progress.py its status line
    record.py    what the last run was        exr.py      headers of EXR files
    bridge.py    the way to the engine        edges.py    the edge controls
    words.py     errors in the node's words
                                              ---- above: no nuke; below: Nuke's API ----
    knobs.py     the knobs in Nuke            scene.py    what stands around the node
    node.py      built, pressed, converted    stage.py    runs in this Nuke
    masks.py     first masks, corrections     export.py   renders inputs
    layers.py    what comes out as layers     wiring.py   connections
    update.py    nodes of earlier versions    farm.py     the run as a job file
    host.py      the line between threads     batch.py    nuke -t
    engine/      a copy of the client         wheels/     pyzmq for each Python

Rules of this folder:
1. What is above the line imports no nuke, and is tested without it.
2. No torch, no numpy, nothing compiled but pyzmq, and that at the end of sys.path.
3. Python 3.7 syntax, so that Nuke 13 takes it through the companion.
4. Nothing waits on Nuke's main thread but a render of Nuke's own, which the artist can cancel.
"""
