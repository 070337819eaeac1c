# SPDX-License-Identifier: Apache-2.0
"""Reads masks, objects and constraint masks from the command line.

--mask hero=roto.1001.exr@1001 --mask hero=fix.1047.exr@1047      one object, two keys
--mask hero=roto.####.exr@1001,1047                               the same from an animated matte
--mask comp.exr:hero.A@1001  --mask labels.png#2@1001             a layer, or a label, of a file with several
--distractor twin=twin.exr@1001                                   followed only to keep the others off it
--life hero=1010-1080  --inside hero=core.####.exr  --outside garbage.####.exr  --guide hero=rough.####.exr
--refine-area hero=hair.####.exr                                  where the alpha is solved along the plate
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matanyone_engine.errors import BadInput, FrameRangeError, MaskError, SettingError
from matanyone_engine.jobs.guide_keys import with_keys_of_guides
from matanyone_engine.jobs.masks import KeyMask, ObjectOptions
from matanyone_engine.media.layouts import SUBJECT
from matanyone_engine.media.mask_channels import MaskSource
from matanyone_engine.media.sequence import find_sequence, parse_frames

_MASK = "[NAME=]FILE[:LAYER|#LABEL][@FRAME]"


def add_masks(parser: argparse.ArgumentParser) -> None:
    """Add --mask, and the options about single objects."""
    parser.add_argument(
        "--mask",
        action="append",
        default=[],
        metavar=_MASK,
        help="A mask and the plate frame that it was drawn on. Without @FRAME it belongs to the first frame. Give it "
        "again for more key frames and more objects; hero=roto.####.exr@1001,1047 takes two keys of the object hero.",
    )
    _add_objects(parser)


def _add_objects(parser: argparse.ArgumentParser) -> None:
    """Add the options about single objects: distractors, the frames on which they can be seen, and constraint masks."""
    group = parser.add_argument_group(
        "objects", "NAME= says which object an option is about. Leave it out where the shot has a single object."
    )
    group.add_argument(
        "--distractor",
        action="append",
        default=[],
        metavar=_MASK,
        help="The mask of something that is followed only so that the others keep off it, such as a look-alike. It is "
        "not written.",
    )
    # The name of version 0.1.0.
    group.add_argument("--rival", dest="distractor", action="append", default=[], help=argparse.SUPPRESS)
    group.add_argument(
        "--life",
        action="append",
        default=[],
        metavar="[NAME=]FIRST-LAST",
        help="The frames on which the object can be seen. Its alpha is 0 on all others.",
    )
    _add_constraints(group)
    group.add_argument(
        "--pin-keys",
        action="store_true",
        help="Make the network remember every key of an object on all frames, not only the two keys around a "
        "frame. A changed key then changes all frames.",
    )
    group.add_argument(
        "--separate",
        action="store_true",
        help="Keep the mattes of different objects from adding up to more than 1. A distractor does this anyway.",
    )


def _add_constraints(group: argparse._ActionsContainer) -> None:
    """Add --inside, --outside, --guide and the options of guides and areas."""
    group.add_argument(
        "--inside",
        action="append",
        default=[],
        metavar="[NAME=]MASKS",
        help="Masks of where the object surely is: one file for all frames, or a numbered sequence.",
    )
    group.add_argument(
        "--outside",
        action="append",
        default=[],
        metavar="[NAME=]MASKS",
        help="Masks of where the object surely is not.",
    )
    group.add_argument(
        "--guide",
        action="append",
        default=[],
        metavar="[NAME=]MASKS",
        help="Rough masks of the object, numbered as the plate, from a tracker or fast roto. Frames may be "
        "missing. The network finds the edge near theirs. Without --mask, the best of them becomes the key.",
    )
    group.add_argument(
        "--guide-band",
        type=int,
        metavar="PIXELS",
        help="By how many pixels the edges of guides may be wrong; within so many pixels, the network finds the "
        "edge. Default: a sixteenth of the plate's shorter side.",
    )
    group.add_argument(
        "--refine-area",
        action="append",
        default=[],
        metavar="[NAME=]MASKS",
        help="Masks of areas, such as hair, in which the alpha is solved anew from the plate's own pixels: white "
        "where it is to be solved, numbered as the plate. Frames may be missing, and stay as they are.",
    )


def masks_of(args: argparse.Namespace, frames: Sequence[int] | None = None) -> dict[str, Any]:
    """Return the fields of a MatteJob about masks and objects. frames: those that are asked for; None is all. Raises
    MaskError, SettingError, FrameRangeError.
    """
    guides = dict(_once("--guide", args.guide))
    if args.guide_band is not None and not guides:
        raise SettingError(
            expected="--guide with --guide-band", came="--guide-band alone", action="Add --guide rough.####.exr."
        )
    drawn = [_key(text) for text in (*args.mask, *args.distractor)]
    keys = with_keys_of_guides(drawn, guides, frames)
    if not keys:
        raise MaskError(expected="a mask", came="none", action="Give --mask FILE@FRAME, or --guide rough.####.exr.")
    only = keys[0]
    plain = len(keys) == 1 and only.object == SUBJECT and len(only.frames) <= 1
    return {
        "mask": only.file if plain else "",
        "mask_frame": only.frames[0] if plain and only.frames else None,
        "keys": () if plain else keys,
        "objects": _objects(args),
        "pin_keys": args.pin_keys,
        "separate": args.separate,
    }


def mask_of(text: str) -> tuple[str, int | None]:
    """Parse one mask and its frame, such as 'roto.exr@1001'. Raises MaskError."""
    key = _key(text)
    return key.file, key.frames[0] if key.frames else None


def _key(text: str) -> KeyMask:
    """Parse a mask such as 'hero=roto.####.exr@1001,1047'.

    If a file has exactly this name, its = and @ are part of the name.
    """
    name, rest = _named(text)
    file, at, frames = rest.rpartition("@")
    if not at or Path(rest).is_file():
        return KeyMask(rest, (), name)
    try:
        return KeyMask(file, parse_frames(frames), name)
    except FrameRangeError as error:
        raise MaskError(
            expected="a mask as FILE or FILE@FRAME",
            came=repr(text),
            action="Write the number of the plate frame after the @: mask.exr@1001.",
        ) from error


def _named(text: str) -> tuple[str, str]:
    """Split 'NAME=rest' into both parts; without a name it belongs to the shot's only object."""
    name, equals, rest = text.partition("=")
    if not equals or _is_there(text) or any(mark in name for mark in "/\\#@"):
        return SUBJECT, text
    if not name or not rest:
        raise MaskError(
            expected="a mask as NAME=FILE",
            came=repr(text),
            action="Write the object's name before the = and the file after it.",
        )
    return name, rest


def _is_there(text: str) -> bool:
    """Return whether the whole text, with or without @FRAMES, names existing files, as take=3/roto.####.exr@1001 may
    do."""
    for name in dict.fromkeys((text, text.rpartition("@")[0])):
        try:
            if name and find_sequence(MaskSource.parse(name).path).frames:
                return True
        except BadInput:
            continue
    return False


def _objects(args: argparse.Namespace) -> tuple[ObjectOptions, ...]:
    lives = {name: _ends(text) for name, text in _once("--life", args.life)}
    inside, outside = dict(_once("--inside", args.inside)), dict(_once("--outside", args.outside))
    guides, areas = dict(_once("--guide", args.guide)), dict(_once("--refine-area", args.refine_area))
    distractors = [_named(text)[0] for text in args.distractor]
    names = dict.fromkeys((*lives, *inside, *outside, *guides, *areas, *distractors))

    def ends(name: str) -> tuple[int | None, int | None]:
        return lives.get(name, (None, None))

    return tuple(
        ObjectOptions(
            name,
            *ends(name),
            name in distractors,
            inside=inside.get(name),
            outside=outside.get(name),
            guide=guides.get(name),
            guide_band=args.guide_band if name in guides else None,
            refine_area=areas.get(name),
        )
        for name in names
    )


def _once(option: str, texts: list[str]) -> list[tuple[str, str]]:
    """Return (object, value) for each use of an option. Raises an error if it is given twice for one object."""
    values = [_named(text) for text in texts]
    names = [name for name, _ in values]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingError(
            expected=f"{option} no more than once for the object {twice!r}",
            came=f"{option} twice",
            action="Leave one of them out.",
        )
    return values


def _ends(text: str) -> tuple[int, int]:
    frames = parse_frames(text)
    return frames[0], frames[-1]
