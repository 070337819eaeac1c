# SPDX-License-Identifier: GPL-3.0-or-later
"""The MatAnyone extension makes mattes inside Blender: an artist gives it rotoscoped masks and gets alphas in the
compositor.

    plan.py         what the panel says -> a job for the engine; which scene frame shows which plate frame     no bpy
    bridge.py       one network thread, and the queue between it and Blender                                   no bpy
    exr.py          is this EXR whole?; masks as EXR                                                           no bpy
    target.py       which engine, and how to start it                                                          no bpy
    engine/         the engine's own client, copied here by build.py                                           no bpy
    scene.py        what Blender's datablocks say
    session.py      the run at hand: the pump that brings the bridge's events into Blender
    outline.py      what a Mask datablock is drawn of, by which a change is seen
    guide_keys.py   which frame of a guide stands in for a mask                                                no bpy
    constraint_masks.py   masks that count on every frame: inside, outside, guide, area
    raster.py       Mask datablocks -> soft masks; runs in a second Blender
    nodes.py        the compositor of Blender 4 and of Blender 5, behind one set of names
    result.py       alphas on disk -> image datablock and node group
    pointer.py      the mouse of Mask by Box and Clicks
    ondisk.py       what runs have left on disk, and whose it is                                                no bpy
    words.py        the engine's sentences in the words of the panel                                            no bpy
    live.py         masks made again after each click                                                           no bpy
    alphas.py       alphas for the screen, read on a thread of their own                                        no bpy
    overlay.py      the matte over the plate
    brush.py        strokes of a brush -> the areas that are refined                                            no bpy
    contours.py     outlines of a mask's picture with few points, for splines                                  no bpy
    splines.py      a Mask datablock of a mask's picture
    shape_files.py  shapes that the engine has made of alphas, read and checked                                 no bpy
    mask_import.py  an animated Mask datablock of them
    strip.py        how far it can be trusted, under the timeline
    flamenco.py     hands a job file to a render farm                                                           no bpy
    edges.py        the edge controls by name                                                                  no bpy
    edge_update.py  mattes written anew a moment after an edge control was turned
    chosen.py       the engine that the preferences choose
    reporting.py layouts.py    how operators end; text that fits a panel
    properties.py preferences.py operators.py setup_operators.py point_operators.py
    area_operators.py panels.py

Rules of this folder:
1. bpy is touched on the main thread only; the network thread knows none of it.
2. Nothing waits: what takes longer than a moment is done by the network thread, the engine or a second Blender.
3. The scene keeps names and numbers; a file that is opened without this add-on loses the panel and nothing else.
"""

import atexit


def register():
    """Blender calls this when the add-on is enabled."""
    from . import session

    atexit.register(session.leave)
    for module in _modules():
        module.register()


def unregister():
    """Blender calls this when the add-on is disabled: the network thread ends, and nothing is left behind."""
    from . import session

    atexit.unregister(session.leave)
    session.end()
    for module in reversed(_modules()):
        module.unregister()


def _modules():
    """Return the modules that register something, in order. They are imported when Blender asks, since tests import
    others without bpy.
    """
    from . import (
        area_operators,
        edge_update,
        operators,
        overlay,
        panels,
        point_operators,
        preferences,
        properties,
        setup_operators,
    )

    buttons = (operators, setup_operators, point_operators, area_operators)
    return (preferences, properties, overlay, edge_update, *buttons, panels)
