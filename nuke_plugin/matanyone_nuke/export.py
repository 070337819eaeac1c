# SPDX-License-Identifier: Apache-2.0
"""Renders what the engine needs into files, and deletes them again. Main thread only.

Rules of this file:
1. Every file is looked for after it was rendered: a render that left one out is an error that names it.
2. Only files listed in our own list are ever deleted, and no folder that holds anything else.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, Iterator, List, Optional, Tuple

import nuke

from . import exr, frames, knobs, plan, shape
from .run import Cancelled

LIST = ".matanyone_export.json"
"""In the folder of rendered inputs: the files that are ours."""


EARLIER = ".earlier.tmp"
"""Added to a file's name while it is rendered again."""


class ExportError(Exception):
    """Nuke could not render what the engine needs."""


def render_all(identity: str, exports: Tuple[plan.Export, ...], views: Tuple[str, ...]) -> None:
    """Render these files. Raises ExportError, Cancelled."""
    node = knobs.find(identity)
    if node is None:
        raise Cancelled
    with undisturbed():
        for export in exports:
            _render(node, export, list(views))


def _render(node: Any, export: plan.Export, views: List[str]) -> None:
    write = node.node(shape.WRITES[export.what])
    if export.what in shape.PICKS:
        node.node(shape.PICKS[export.what])["from0"].setValue(export.channel)
    for view in views:
        folder = frames.with_view(export.folder, view)
        os.makedirs(folder, exist_ok=True)
        remember(folder, _paths(export, view))
    write["disable"].setValue(False)
    try:
        with _unchanged_kept([path for view in views for path in _paths(export, view)]):
            _render_stretches(write, export, views)
    finally:
        write["disable"].setValue(True)
    _check_there(export, views)


def _paths(export: plan.Export, view: str) -> List[str]:
    return [frames.with_view(frames.frame_file(export.file, frame), view) for frame in export.frames]


def _render_stretches(write: Any, export: plan.Export, views: List[str]) -> None:
    for first, last in _stretches(export):
        # Nuke pads a negative number in its own way: such frames are rendered by their full name.
        write["file"].setValue(frames.frame_file(export.file, first) if first < 0 else export.file)
        _execute(write, first, last, views)


@contextlib.contextmanager
def _unchanged_kept(paths: List[str]) -> Iterator[None]:
    """Keep files that come out as they were, but for the time in their header."""
    for path in paths:
        if os.path.isfile(path):
            os.replace(path, path + EARLIER)
    try:
        yield
    finally:
        for path in paths:
            _keep_earlier(path, path + EARLIER)


def _keep_earlier(path: str, earlier: str) -> None:
    """Put the earlier file back if there is no new one, or one of the same picture."""
    if not os.path.isfile(earlier):
        return
    if os.path.isfile(path):
        with open(path, "rb") as new, open(earlier, "rb") as old:
            if not exr.same_picture(new.read(), old.read()):
                os.remove(earlier)
                return
    os.replace(earlier, path)


def _stretches(export: plan.Export) -> Iterator[Any]:
    for frame in export.frames:
        if frame < 0:
            yield frame, frame
    for stretch in frames.stretches(frame for frame in export.frames if frame >= 0):
        yield stretch


def _execute(write: Any, first: int, last: int, views: List[str]) -> None:
    try:
        nuke.execute(write, first, last, 1, views, continueOnError=False)
    except nuke.CancelledError:
        raise Cancelled
    except RuntimeError as error:
        if "ancelled" in str(error):
            raise Cancelled
        raise ExportError("Nuke could not render %s, frames %d-%d: %s" % (write.fullName(), first, last, error))


def _check_there(export: plan.Export, views: List[str]) -> None:
    for view in views:
        for frame, path in zip(export.frames, _paths(export, view)):
            if not os.path.isfile(path):
                raise ExportError("Nuke rendered frame %d without an error, but there is no %s" % (frame, path))


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Render at full size whatever the proxy switch says, and leave undo and the modified flag as they were."""
    root = nuke.root()
    proxy, modified = bool(root["proxy"].value()), root.modified()
    nuke.Undo.disable()
    try:
        if proxy:
            root["proxy"].setValue(False)
        yield
    finally:
        if proxy:
            root["proxy"].setValue(True)
        nuke.Undo.enable()
        root.setModified(modified)


# ------------------------------------------------------------------------------------------------ our own files


def remember(folder: str, paths: List[str]) -> None:
    """List files as ours before they are written, so that none is forgotten."""
    names = sorted(set(_listed(folder) or []) | {os.path.basename(path) for path in paths})
    temporary = os.path.join(folder, LIST + ".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(names, file)
    os.replace(temporary, os.path.join(folder, LIST))


def _listed(folder: str) -> Optional[List[str]]:
    try:
        with open(os.path.join(folder, LIST), encoding="utf-8") as file:
            return [name for name in json.load(file) if os.path.basename(name) == name]
    except (OSError, ValueError):
        return None


def is_listed(path: str) -> bool:
    """Tell whether a file is there and ours to delete."""
    listed = _listed(os.path.dirname(path)) or []
    return os.path.basename(path) in listed and os.path.isfile(path) and not os.path.islink(path)


def delete_rendered(folder: str) -> int:
    """Delete the files of our list, and the folder if that leaves it empty; return how many there were."""
    names = _listed(folder)
    if names is None:
        return 0
    there = [os.path.join(folder, name) for name in names]
    there = [path for path in there if os.path.isfile(path) and not os.path.islink(path)]
    for path in there:
        os.remove(path)
    os.remove(os.path.join(folder, LIST))
    if not os.listdir(folder):
        os.rmdir(folder)
    return len(there)
