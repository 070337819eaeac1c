# SPDX-License-Identifier: Apache-2.0
"""Masks, objects and constraint masks on the command line.

--mask hero=roto.1001.exr@1001 --mask hero=fix.1047.exr@1047      one object, two keys
--mask hero=roto.####.exr@1001,1047                               the same from an animated matte
--distractor twin=twin.exr@1001                                        followed, to keep the others off it
--life hero=1010-1080  --inside hero=core.####.exr  --outside garbage.####.exr
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from matanyone_engine.errors import FrameRangeError, MaskError, SettingError
from matanyone_engine.jobs.masks import KeyMask, ObjectOptions
from matanyone_engine.media.layouts import SUBJECT
from matanyone_engine.media.sequence import parse_frames

_MASK = "[NAME=]FILE[@FRAME]"


def add_masks(parser: argparse.ArgumentParser) -> None:
    """What the objects are, and where."""
    parser.add_argument(
        "--mask",
        action="append",
        required=True,
        metavar=_MASK,
        help="mask, and its frame (default: the first); again for more keys and objects: hero=roto.####.exr@1001,1047",
    )
    group = parser.add_argument_group("objects", "NAME= may be left out where the shot has one object without a name.")
    group.add_argument(
        "--distractor",
        "--rival",  # the name of version 0.1.0
        action="append",
        default=[],
        metavar=_MASK,
        help="an object to follow only so that the others keep off it; it is not written",
    )
    group.add_argument(
        "--life", action="append", default=[], metavar="[NAME=]FIRST-LAST", help="frames the object is to be seen on"
    )
    group.add_argument(
        "--inside", action="append", default=[], metavar="[NAME=]MASKS", help="where the object is, whatever is thought"
    )
    group.add_argument("--outside", action="append", default=[], metavar="[NAME=]MASKS", help="where it is not")
    group.add_argument(
        "--pin-keys", action="store_true", help="keep all keys of an object in memory, on all of its frames"
    )
    group.add_argument(
        "--separate",
        action="store_true",
        help="mattes of different objects add up to at most 1 (so with any distractor)",
    )


def masks_of(args: argparse.Namespace) -> dict[str, Any]:
    """The part of a MatteJob that says what is followed. Raises MaskError, SettingError, FrameRangeError."""
    keys = tuple(_key(text) for text in (*args.mask, *args.distractor))
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
    """One mask and its frame: 'roto.exr@1001'. Raises MaskError."""
    key = _key(text)
    return key.file, key.frames[0] if key.frames else None


def _key(text: str) -> KeyMask:
    """'hero=roto.####.exr@1001,1047'. A file whose own name has an = or an @ is taken as it is."""
    name, rest = _named(text)
    file, at, frames = rest.rpartition("@")
    if not at or Path(rest).is_file():
        return KeyMask(rest, (), name)
    try:
        return KeyMask(file, parse_frames(frames), name)
    except FrameRangeError as error:
        raise MaskError(
            expected="FILE or FILE@FRAME", came=repr(text), action="Give the plate frame as a number: mask.exr@1001."
        ) from error


def _named(text: str) -> tuple[str, str]:
    """'NAME=rest' -> both; without a name it is the shot's only object."""
    name, equals, rest = text.partition("=")
    if not equals or Path(text).is_file() or any(mark in name for mark in "/\\#@"):
        return SUBJECT, text
    if not name or not rest:
        raise MaskError(expected="NAME=FILE", came=repr(text), action="Write a name before the = and a file after it.")
    return name, rest


def _objects(args: argparse.Namespace) -> tuple[ObjectOptions, ...]:
    lives = {name: _ends(text) for name, text in _once("--life", args.life)}
    inside, outside = dict(_once("--inside", args.inside)), dict(_once("--outside", args.outside))
    distractors = [_named(text)[0] for text in args.distractor]
    names = dict.fromkeys((*lives, *inside, *outside, *distractors))

    def ends(name: str) -> tuple[int | None, int | None]:
        return lives.get(name, (None, None))

    return tuple(
        ObjectOptions(name, *ends(name), name in distractors, inside=inside.get(name), outside=outside.get(name))
        for name in names
    )


def _once(option: str, texts: list[str]) -> list[tuple[str, str]]:
    """(object, what is said), at most once for each object."""
    said = [_named(text) for text in texts]
    names = [name for name, _ in said]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingError(expected=f"{option} once for {twice!r}", came="it twice", action="Leave one of them out.")
    return said


def _ends(text: str) -> tuple[int, int]:
    frames = parse_frames(text)
    return frames[0], frames[-1]
