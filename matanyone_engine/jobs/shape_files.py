# SPDX-License-Identifier: Apache-2.0
"""Makes editable shapes of the alphas on disk, and writes them for Nuke, Silhouette, Blender or as plain JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import MaskError, SettingError
from matanyone_engine.media.file_info import read_facts
from matanyone_engine.media.images import FloatImage
from matanyone_engine.media.mask_channels import MaskSource
from matanyone_engine.media.masks import read_alpha, read_constraint_mask
from matanyone_engine.media.mattes import check_writable
from matanyone_engine.media.portable_names import check_portable
from matanyone_engine.media.sequence import FrameSequence, find_sequence, select_frames
from matanyone_engine.shapes.build import ShapeRules, follow_outlines, shape_of
from matanyone_engine.shapes.flow import AlphaFlow
from matanyone_engine.shapes.follow import OutlineTrack
from matanyone_engine.shapes.nuke import to_nk
from matanyone_engine.shapes.plain import to_json
from matanyone_engine.shapes.shape import ShapeSet
from matanyone_engine.shapes.silhouette import to_fxs
from matanyone_engine.sizes import Resolution, Size

WRITERS: dict[str, Callable[[ShapeSet], str]] = {".nk": to_nk, ".fxs": to_fxs, ".json": to_json}
"""File suffix -> the function that makes the file's text."""
_READ_AT_ONCE = 4

Item = TypeVar("Item")
Watched = Callable[[Sequence[Item], str], Iterable[Item]]
"""Passes on the items of a sequence and may show the progress; the text names the work."""


@dataclass(frozen=True)
class ShapePlan:
    """Holds the checked arguments: the alphas to read, the files to write and the rules."""

    alphas: FrameSequence
    frames: tuple[int, ...]
    targets: tuple[Path, ...]
    rules: ShapeRules = field(default_factory=ShapeRules)
    chosen: MaskSource | None = None
    """What in the files is the alpha, where the artist says so; None is the A of the file."""

    def alpha(self, frame: int) -> FloatImage:
        """Read the alpha (H, W) 0..1 of a frame. Raises MaskError."""
        path = self.alphas.path(frame)
        if self.chosen is None:
            return read_alpha(path)
        whole = read_facts(path).parts[0].display_window
        return read_constraint_mask(self.chosen.at(path), Resolution(whole.width, whole.height))

    def layers(self) -> dict[str, str]:
        """Read the objects of the first file and their channels; {} if one of them was chosen."""
        if self.chosen is not None:
            return {}
        return read_facts(self.alphas.path(self.frames[0])).object_channels()


@dataclass(frozen=True)
class MadeShapes:
    """Holds the shapes of a shot, and the outlines that were left out because they exist only for one or two frames."""

    shapes: ShapeSet
    left_out: tuple[tuple[int, ...], ...]
    """The frames of each outline that was left out."""


def plan_shapes(alphas: str, out: Sequence[str], frames: tuple[int, ...] | None, rules: ShapeRules) -> ShapePlan:
    """Check the alphas, the output files and the rules before any work.

    alphas: a pattern, a folder or one file, perhaps with a layer behind it: out/alpha.####.exr:hero. frames: None is
    all. Raises PlateError, FrameRangeError, MaskError, OutputError, and SettingError for an unknown file suffix or a
    number out of range.
    """
    _check_rules(rules)
    targets = tuple(Path(each) for each in out)
    for target in targets:
        check_portable(target)
    for target in targets:
        if target.suffix.lower() not in WRITERS:
            raise SettingError(
                expected=f"a name that ends in {', '.join(WRITERS)}, for --out",
                came=repr(str(target)),
                action="Write .nk for Nuke, .fxs for Silhouette, .json for Blender and for programs of your own.",
            )
        check_writable(target.parent)
    source = MaskSource.parse(alphas)
    sequence = find_sequence(source.path)
    chosen = source if source.choice else None
    return ShapePlan(sequence, select_frames(sequence, frames, "error"), targets, rules, chosen)


def _check_rules(rules: ShapeRules) -> None:
    for name, value, least, most in (
        ("--error", rules.error, 0.05, 50.0),
        ("--smooth", rules.smooth, 0.0, 50.0),
        ("--smallest", rules.smallest, 0.0, 0.5),
    ):
        if not least <= value <= most:
            raise SettingError(
                expected=f"{name} from {least:g} to {most:g}", came=f"{value:g}", action="Give a number in this range."
            )


def make_shapes(plan: ShapePlan, watched: Watched = lambda items, words: items) -> MadeShapes:
    """Make the shapes of a plan. Raises MaskError if an alpha cannot be read or has another size, or if all alphas are
    black.
    """

    @lru_cache(maxsize=_READ_AT_ONCE)
    def alpha_of(frame: int) -> FloatImage:
        return plan.alpha(frame)

    size = Size(*alpha_of(plan.frames[0]).shape)

    def alphas() -> Iterable[tuple[int, FloatImage]]:
        for frame in watched(plan.frames, "outlines"):
            yield frame, _checked(alpha_of(frame), size, plan.alphas.path(frame))

    kept, left_out = follow_outlines(alphas(), AlphaFlow(alpha_of), plan.rules)
    if not kept:
        raise MaskError(
            expected="alphas in which something is above one half",
            came=f"none in {plan.alphas.name!r}",
            action="Look at the alphas. With --smallest 0 the smallest parts count as well.",
        )
    numbered = list(enumerate(kept, start=1))
    shapes = tuple(shape_of(number, track, alpha_of, plan.rules) for number, track in watched(numbered, "shapes"))
    return MadeShapes(ShapeSet(size.resolution, plan.frames, shapes, plan.rules.error), frames_of(left_out))


def frames_of(tracks: Sequence[OutlineTrack]) -> tuple[tuple[int, ...], ...]:
    """Return the frames of each outline."""
    return tuple(tuple(track.frames) for track in tracks)


def _checked(alpha: FloatImage, size: Size, path: Path) -> FloatImage:
    if alpha.shape == size:
        return alpha
    raise MaskError(
        expected=f"alphas of one size, {size}",
        came=f"{Size(*alpha.shape)} in {path}",
        action="Make shapes of each size in a call of its own, with --frames.",
    )


def write_shapes(plan: ShapePlan, shapes: ShapeSet) -> None:
    """Write all files of a plan. Raises OSError."""
    for target in plan.targets:
        with whole_file(target) as temporary:
            temporary.write_text(WRITERS[target.suffix.lower()](shapes), encoding="utf-8")
