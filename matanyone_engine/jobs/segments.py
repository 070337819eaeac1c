# SPDX-License-Identifier: Apache-2.0
"""Splits a job into segments for several workers. Together they write the same alphas as one run.

    keys        1001              1047                     1100
    passes         ->1002..1046<-    ->1048 .. 1099<-         ->1101..1130
    cuts       |    1001-1046       |      1047-1099         |   1100-1130     no cut goes through a pass

Each frame of a pass depends on all frames before it. So a cut costs nothing only at a place that no pass of any object
crosses. There are such places on both sides of a key, and none between keys.

On request a stretch is split all the same: a fast first pass runs the shot at a small size, and its alphas on the
frames of the cuts become keys. Neighbouring segments share such a key and blend both passes between two keys, so that
the alphas are continuous there; but they are not those of one run (benchmarks/segments.py, docs/farm.md). On the
command line, version 0.1.0 called the first pass the scout.

Rules of this file:
1. A segment's job is the whole job with the segment's frames and the keys that these depend on.
2. Segments are planned without reading pixels. The only exception is the exposure, which all segments must share: it is
   found before the job is split.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.delivery import next_version
from matanyone_engine.jobs.job import ResolvedJob, plan_outputs_of, seeds_used
from matanyone_engine.jobs.masks import KeyFrame
from matanyone_engine.matting.shot import Seed, Shot, plan_steps
from matanyone_engine.media.layouts import SUBJECT, layer_names
from matanyone_engine.media.mask_channels import MaskSource
from matanyone_engine.media.output_names import with_tokens
from matanyone_engine.media.sequence import frame_text
from matanyone_engine.runs.record import reserve
from matanyone_engine.wire.messages import Delivery, EdgeControls, Job, KeyMask


@dataclass(frozen=True)
class Segment:
    """Names the frames that one worker computes."""

    frames: tuple[int, ...]
    """The segment's frames, ascending."""
    moves: int
    """Cost: the number of key frames and frames of passes to compute."""


def cut(shot: Shot, asked: Sequence[int], most: int) -> tuple[Segment, ...]:
    """Split a shot into at most `most` segments of about the same cost.

    Raises SettingError if `most` is less than one.
    """
    if most < 1:
        raise SettingError(
            expected="at least 1 segment",
            came=f"{most} segments",
            action="Give the number of workers that shall share the shot.",
        )
    groups = list(_shares(shot, _stretches(shot, sorted(set(asked))), most))
    return tuple(Segment(frames, cost(shot, frames)) for frames in groups)


def cost(shot: Shot, frames: Sequence[int]) -> int:
    """Return the number of key frames and frames of passes that must be computed for the alphas of these frames."""
    return sum(len(step.seeds) + len(step.moves) for step in plan_steps(shot, frames))


SHORTEST_SPLIT = 8
"""Fewest frames between two cuts: a shorter segment would consist mostly of keys."""

FIRST_PASS_SIZE = 540
"""Shortest side, in pixels, of the first pass: half of 1080. With less, its alphas are poor keys (docs/farm.md)."""


def split(shot: Shot, asked: Sequence[int], most: int) -> tuple[int, ...]:
    """Return the frames that a first pass must turn into key frames, so that there are as many segments as wanted."""
    extra: list[int] = []
    while len(segments := cut(with_keys(shot, extra), asked, most)) < most:
        longest = max(segments, key=lambda each: each.moves)
        middle = longest.frames[len(longest.frames) // 2]
        known = {*extra, *(key for subject in shot.subjects for key in subject.keys)}
        if len(longest.frames) < 2 * SHORTEST_SPLIT or middle in known:
            break
        extra.append(middle)
    return tuple(sorted(extra))


def with_keys(shot: Shot, frames: Sequence[int]) -> Shot:
    """Return the shot with more key frames, for every object that is to be seen there."""
    subjects = tuple(
        replace(each, keys=tuple(sorted({*each.keys, *(frame for frame in frames if each.lives(frame))})))
        for each in shot.subjects
    )
    return Shot(shot.frames, subjects)


def first_pass_job(job: Job, shot: Shot, frames: Sequence[int], out: str) -> Job:
    """Return the job of the first pass, which makes alphas of every object on these frames, fast and at a small
    size."""
    if job.options.mask_grow:
        raise SettingError(
            expected="masks that are neither grown nor shrunk, for --split",
            came=f"mask_grow {job.options.mask_grow}, which would also grow the alphas of the first, small pass",
            action="Grow the masks in your application, or plan without --split.",
        )
    size = min(job.options.working_size or FIRST_PASS_SIZE, FIRST_PASS_SIZE)
    return replace(
        job,
        frames=tuple(frames),
        out=out,
        options=replace(job.options, working_size=size),
        delivery=Delivery(layout="alpha"),
        edges=EdgeControls(),
        objects=tuple(replace(each, distractor=False, refine_area=None, edges=None) for each in job.objects),
        separate=job.separate or any(subject.distractor for subject in shot.subjects),
    )


def first_pass_keys(shot: Shot, frames: Sequence[int], out: str) -> tuple[KeyMask, ...]:
    """Return the alphas of the first pass as masks for key frames."""
    names = layer_names([subject.name for subject in shot.subjects])
    return tuple(
        KeyMask(out.replace("{object}", names[each.name]).replace("####", frame_text(frame, 4)), (frame,), each.name)
        for each in shot.subjects
        for frame in frames
        if each.lives(frame)
    )


def _stretches(shot: Shot, asked: list[int]) -> list[tuple[int, ...]]:
    """Return the asked frames, split at the places that no pass crosses. A key belongs to the frames after it, the last
    key to those before.
    """
    crossed = [(min(each.frames), max(each.frames)) for each in shot.passes]

    def inside(first: int, last: int) -> bool:
        return any(begin <= first and last <= end for begin, end in crossed)

    found: list[list[int]] = []
    for frame in asked:
        if found and (inside(found[-1][-1], frame) or not any(inside(each, each) for each in found[-1])):
            found[-1].append(frame)
        else:
            found.append([frame])
    if len(found) > 1 and not any(inside(each, each) for each in found[-1]):
        found[-2:] = [found[-2] + found[-1]]
    return [tuple(each) for each in found]


def _shares(shot: Shot, stretches: list[tuple[int, ...]], most: int) -> Iterator[tuple[int, ...]]:
    """Yield shares of neighbouring stretches; each share's cost is as near as possible to an equal part of the
    remaining cost.

    Every share has at least one stretch, as long as there are any.
    """
    costs = [cost(shot, stretch) for stretch in stretches]
    at = 0
    for left in range(most, 0, -1):
        if at == len(stretches):
            return
        fair, share, taken = sum(costs[at:]) / left, 0.0, at
        while at < len(stretches) - left + 1 and (at == taken or abs(share + costs[at] - fair) <= abs(share - fair)):
            share += costs[at]
            at += 1
        at = len(stretches) if left == 1 else max(at, taken + 1)
        yield tuple(frame for stretch in stretches[taken:at] for frame in stretch)


def segment_job(job: Job, segment: Segment, shot: Shot, keys: Sequence[KeyFrame]) -> Job:
    """Return the job of one segment. job: the whole job, with its paths as written and an output without {version}."""
    behind = {seed for frame in segment.frames for seed in seeds_used(shot, frame)}
    # An object that cannot be seen in this segment still gets a file or a layer, so it needs a key.
    for subject in shot.subjects:
        if not any(seed.subject == subject.name for seed in behind):
            behind.add(_nearest(subject.name, subject.keys, segment.frames[0]))
    written = _written_keys(job, keys)
    seeds = _main_first([seed for seed in written if seed in behind], shot)
    masks = tuple(KeyMask(written[seed], (seed.frame,), seed.subject) for seed in seeds)
    own = replace(job, frames=segment.frames, delivery=replace(job.delivery, version=None))
    if len(masks) == 1 and masks[0].object == SUBJECT:
        return replace(own, mask=masks[0].file, mask_frame=masks[0].frames[0], keys=())
    return replace(own, mask="", mask_frame=None, keys=masks)


def _main_first(seeds: Sequence[Seed], shot: Shot) -> list[Seed]:
    """Return the key frames; of each object, the one nearest to its main key comes first.

    An object's first key is its main key, which decides what other passes take over (DR024). If the segment lacks the
    main key of the whole shot, the nearest key lies on the same side of all frames of the segment. Objects keep their
    order.
    """

    def far(seed: Seed) -> int:
        return abs(seed.frame - shot.subject(seed.subject).main_key)

    names = {seed.subject for seed in seeds}
    ordered = {name: iter(sorted((seed for seed in seeds if seed.subject == name), key=far)) for name in names}
    return [next(ordered[seed.subject]) for seed in seeds]


def _nearest(name: str, keys: Sequence[int], frame: int) -> Seed:
    return Seed(name, min(keys, key=lambda key: abs(key - frame)))


def _written_keys(job: Job, keys: Sequence[KeyFrame]) -> Mapping[Seed, str]:
    """Return each key's file as it is written in the job. keys: the expanded masks of the job, in their order."""
    texts: list[str] = []
    plain = [KeyMask(job.mask, () if job.mask_frame is None else (job.mask_frame,))] if job.mask else []
    for mask in (*plain, *job.keys):
        texts += [mask.file] * max(len(mask.frames), 1)
    return {
        key.seed: text if _last(text) in (key.path.name, key.source.name) else _beside(text, key.source.name)
        for key, text in zip(keys, texts, strict=True)
    }


def _last(path: str) -> str:
    """Return a path's last part, including a layer or label: 'roto.exr:hero.A'."""
    return posixpath.basename(path.replace("\\", "/"))


def _beside(pattern: str, name: str) -> str:
    """Return one file of a pattern, in the folder that the pattern is written with."""
    folder = pattern.replace("\\", "/").rpartition("/")[0]
    return f"{folder}/{name}" if folder else name


@dataclass(frozen=True)
class KeyedJob:
    """Holds a job with its paths as written, and its key frames with the paths of this machine."""

    job: Job
    shot: Shot
    keys: tuple[KeyFrame, ...]

    def with_first_pass(self, frames: Sequence[int], out: str) -> KeyedJob:
        """Return the job with the alphas of the first pass added as key frames."""
        masks = first_pass_keys(self.shot, frames, out)
        more = tuple(KeyFrame(Seed(mask.object, mask.frames[0]), MaskSource(Path(mask.file))) for mask in masks)
        job = replace(self.job, keys=(*self.job.keys, *masks))
        return KeyedJob(job, with_keys(self.shot, frames), (*self.keys, *more))


def output_with_version(as_written: str, here: ResolvedJob) -> str:
    """Return an output name with its {version} replaced now, since otherwise each segment would take another version.

    as_written: the name in the job file; here: the job with the paths of this machine. Raises SettingError.
    """
    version = next_version(here.job.out, here.job.delivery, here.source)
    if version is None:
        return as_written
    job, delivery = here.job, replace(here.job.delivery, version=None)
    named = replace(job, out=with_tokens(job.out, version=version), delivery=delivery)
    outputs = plan_outputs_of(replace(here, job=named))
    outputs.main.folder.mkdir(parents=True, exist_ok=True)
    reserve(outputs.sidecars.record, outputs.main.name)
    return with_tokens(as_written, version=version)
