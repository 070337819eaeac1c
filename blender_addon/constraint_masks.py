# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the masks that an object has on every frame: where it is, where it is not, a guide, and where its alpha is
refined. Each is a Mask datablock, which the second Blender draws frame by frame as it is to be seen there, or files
that the artist names. An area to refine may also be painted, frame by frame.
"""

from __future__ import annotations

from . import outline, plan

GUIDE_FACTOR, MOST_FACTOR = 1, 2
"""How much finer than the plate a mask of many frames is drawn: of a guide only the place counts."""


def each_of(shot):
    """Yield (object, side, mask) for each Mask datablock that counts on every frame. side: of plan.CONSTRAINTS."""
    for each in shot.objects:
        for side in plan.CONSTRAINTS:
            mask = getattr(each, f"{side}_mask")
            if mask is not None:
                yield each, side, mask


def pattern_of(each, side, folder, full):
    """Return the files of an object's masks of one side as the job names them; None where it has none.

    folder: plan.masks_folder(). full: makes a path of Blender's an absolute one. Raises WireError.
    """
    has_mask, named = getattr(each, f"{side}_mask") is not None, getattr(each, side)
    has_strokes = side == "area" and len(each.areas) > 0
    if has_strokes and (has_mask or named):
        raise plan.refused(
            f"expected one refine area of {each.name}, got {'a Mask' if has_mask else 'files'} beside a painted one",
            "Clear the Mask or the files under Refine Area, or remove the painted frames.",
        )
    if has_mask or has_strokes:
        return plan.constraint_files(folder, each.name, side)
    return full(named) if named else None


def named_files(shot, full):
    """Return the patterns that the artist has named, of masks that are files."""
    sides = ((each, side) for each in shot.objects for side in plan.CONSTRAINTS)
    return [
        full(getattr(each, side)) for each, side in sides if getattr(each, side) and not getattr(each, f"{side}_mask")
    ]


def drawn(shot, plate):
    """Return a plan.Drawn for each Mask datablock that counts on every frame, and for each painted area. plate:
    scene.Plate.
    """
    first, last = span(plate)
    masks = [
        plan.Drawn(
            each.name, 0, first, mask.name, outline.looks(mask), (side, tuple(outline.ties_along(mask, first, last)))
        )
        for each, side, mask in each_of(shot)
    ]
    painted = [(each.name, area) for each in shot.objects for area in each.areas]
    return masks + [
        plan.Drawn(name, area.frame, plate.time.scene_frame(area.frame), rest=("area", area.strokes))
        for name, area in painted
    ]


def painted(shot, folder, plate):
    """Return for each object with painted areas their pattern, and the strokes by frame. folder: masks_folder().

    Raises WireError for an area on a frame that the plate does not have, as after another plate was chosen.
    """
    first, last = plate.time.first, plate.time.first + plate.count - 1
    for each in shot.objects:
        off = [area.frame for area in each.areas if not first <= area.frame <= last]
        if off:
            raise plan.refused(
                f"expected painted areas on frames of the plate, {first} to {last}, got one of {each.name} on {off[0]}",
                "Remove it under Refine Area, or paint it anew on a frame of this plate.",
            )
    return [
        (plan.constraint_files(folder, each.name, "area"), {area.frame: area.strokes for area in each.areas})
        for each in shot.objects
        if each.areas
    ]


def throughout(shot, plate):
    """Return the masks that count on every frame, as plan.Record has them."""
    return tuple((mask.name, *span(plate)) for _, _, mask in each_of(shot))


def span(plate):
    """Return the first and the last scene frame of the plate, as Blender counts its frames."""
    return plate.time.scene_start, plate.time.scene_start + plate.count - 1


def orders(shot, size, folder):
    """Return pairs of a Mask datablock and what raster.draw_on_frames() is to make of it. Its files are named later, by
    whoever may ask the disk.
    """
    pairs = []
    for each, side, mask in each_of(shot):
        pattern = plan.constraint_files(folder, each.name, side)
        factor = GUIDE_FACTOR if side == "guide" else min(plan.supersampling(size), MOST_FACTOR)
        pairs.append((mask, {"pattern": pattern, "factor": factor}))
    return pairs
