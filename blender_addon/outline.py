# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes digests of what a Mask datablock is drawn of, so that a change is seen. The artist's Blender and the second one
use it.

Blender shows a mask's points as they are on the playhead's frame and gives no way to ask for another one. So the second
Blender, which draws the masks anyway, plays them through and tells what they are on each frame: a movement.
"""

from __future__ import annotations

import bpy

from . import plan


def looks(mask):
    """Return a digest of layers, splines and points as they are on the playhead's frame."""
    return plan.digest([_layer(layer) for layer in mask.layers])


def _layer(layer):
    looks = [layer.name, layer.alpha, layer.blend, layer.falloff, layer.invert, layer.hide_render]
    return [*looks, [_spline(spline) for spline in layer.splines]]


def _spline(spline):
    numbers = []
    for point in spline.points:
        for vector in (point.co, point.handle_left, point.handle_right):
            numbers += [round(value, 6) for value in vector]
        numbers.append(round(point.weight, 6))
        numbers += [[round(feather.u, 6), round(feather.weight, 6)] for feather in point.feather_points]
    return [spline.use_cyclic, spline.use_fill, spline.offset_mode, spline.weight_interpolation, numbers]


def looks_on(mask, scene_frames):
    """Return for some scene frames the digest of a mask, wherever the playhead is and without moving it."""
    aside = bpy.data.scenes.new("matanyone look")  # it has nothing in it, so its frames cost nothing
    try:
        found = {}
        for frame in scene_frames:
            aside.frame_set(frame)
            there = mask.evaluated_get(aside.view_layers[0].depsgraph)
            found[frame] = plan.digest([looks(there), ties(mask, frame)])
        return found
    finally:
        bpy.data.scenes.remove(aside)


def ties(mask, scene_frame):
    """Return where the tracks that points hang on are at a frame, wherever the playhead is."""
    parents = [point.parent for layer in mask.layers for spline in layer.splines for point in spline.points]
    return sorted({_tie(parent, scene_frame) for parent in parents if parent.id is not None})


def ties_along(mask, first, last):
    """Return where the tracks that points hang on are from one scene frame to another."""
    parents = {}
    for point in (point for layer in mask.layers for spline in layer.splines for point in spline.points):
        if point.parent.id is not None:
            name = (point.parent.id.name, point.parent.type, point.parent.parent, point.parent.sub_parent)
            parents[name] = point.parent
    return [_tie(parents[name], frame) for name in sorted(parents) for frame in range(first, last + 1)]


def _tie(parent, scene_frame):
    """Describe as a text what ties a point to a movie clip; parent: the point's parent."""
    name = f"{parent.type} {parent.parent} {parent.sub_parent}"
    of = parent.id.tracking.objects.get(parent.parent)
    tracks = () if of is None else of.plane_tracks if parent.type == "PLANE_TRACK" else of.tracks
    track = tracks.get(parent.sub_parent) if tracks else None
    marker = None if track is None else track.markers.find_frame(scene_frame - parent.id.frame_start + 1, exact=False)
    if marker is None:
        return f"{name}: nowhere"
    spots = marker.corners if parent.type == "PLANE_TRACK" else (marker.co, track.offset)
    return f"{name}: {[round(value, 6) for spot in spots for value in spot]}"


def movement(scene, mask, frames):
    """Return for each scene frame the digest of a mask that moves; {} for one that does not. Moves the playhead.
    frames: first, last.
    """
    found = {}
    for frame in range(frames[0], frames[1] + 1):
        scene.frame_set(frame)
        found[str(frame)] = looks(mask)
    return found if len(set(found.values())) > 1 else {}
