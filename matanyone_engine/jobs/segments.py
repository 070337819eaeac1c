# SPDX-License-Identifier: Apache-2.0
"""Splits a job into segments for several workers, whose alphas are those of one run.

    keys        1001              1047                     1100
    passes         ->1002..1046<-    ->1048 .. 1099<-         ->1101..1130
    cuts       |    1001-1046       |      1047-1099         |   1100-1130     none goes through a pass

Memory is sequential: a frame needs the whole of the passes that lead to it, so a cut costs nothing only where no pass
of any object goes across. There are such places on both sides of a key; between keys there are none.

If asked to, a stretch is split all the same: a scout runs the shot at a small size first, and its alphas on the frames
of the splits are keys. Neighbours share such a key and run both ways between two, so that the alphas meet there; they
are not those of one run any more (benchmarks/segments.py, docs/farm.md).

Rules of this file:
1. A segment's job is the job with its frames and the keys that these depend on, nothing else.
2. What is written is planned without reading a pixel, but for the exposure, which all segments must share: the planner
   has it found before it cuts.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.delivery import next_version
from matanyone_engine.jobs.job import ResolvedJob, plan_outputs_of, seeds_behind
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
    """Ascending, of those that the job asks for."""
    moves: int
    """Frames of passes to compute, keys included: what it costs."""


def cut(shot: Shot, asked: Sequence[int], most: int) -> tuple[Segment, ...]:
    """Cut a shot into at most `most` segments of about the same cost. Raises SettingError for less than one."""
    if most < 1:
        raise SettingError(
            expected="at least 1 segment",
            came=f"{most} segments",
            action="Give the number of workers that shall share the shot.",
        )
    groups = list(_shares(shot, _stretches(shot, sorted(set(asked))), most))
    return tuple(Segment(frames, cost(shot, frames)) for frames in groups)


def cost(shot: Shot, frames: Sequence[int]) -> int:
    """Return how many key frames and frames of passes have to be computed for the alphas of these frames."""
    return sum(len(step.seeds) + len(step.moves) for step in plan_steps(shot, frames))


SHORTEST_SPLIT = 8
"""Frames: a segment shorter than that is all keys and no shot."""

SCOUT_SIZE = 540
"""Shortest side the scout computes at, in pixels: half of 1080, below which its alphas are poor keys (docs/farm.md)."""


def split(shot: Shot, asked: Sequence[int], most: int) -> tuple[int, ...]:
    """Return the frames on which a scout must make key frames, so that there are as many segments as wanted."""
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


def scout_job(job: Job, shot: Shot, frames: Sequence[int], out: str) -> Job:
    """Return the job of the scout, a fast pass at a small size that makes alphas of every object on these frames."""
    if job.options.mask_grow:
        raise SettingError(
            expected="masks that are neither grown nor shrunk, for --split",
            came=f"mask_grow {job.options.mask_grow}, which would also grow the alphas of the first, small pass",
            action="Grow the masks in your application, or plan without --split.",
        )
    size = min(job.options.working_size or SCOUT_SIZE, SCOUT_SIZE)
    return replace(
        job,
        frames=tuple(frames),
        out=out,
        options=replace(job.options, working_size=size),
        delivery=Delivery(layout="alpha"),
        edges=EdgeControls(),
        objects=tuple(replace(each, distractor=False, refine_area=None) for each in job.objects),
        separate=job.separate or any(subject.distractor for subject in shot.subjects),
    )


def scout_keys(shot: Shot, frames: Sequence[int], out: str) -> tuple[KeyMask, ...]:
    """Return the alphas that the scout writes, as masks for key frames."""
    names = layer_names([subject.name for subject in shot.subjects])
    return tuple(
        KeyMask(out.replace("{object}", names[each.name]).replace("####", frame_text(frame, 4)), (frame,), each.name)
        for each in shot.subjects
        for frame in frames
        if each.lives(frame)
    )


def _stretches(shot: Shot, asked: list[int]) -> list[tuple[int, ...]]:
    """Return the asked frames, cut where no pass goes across; a key is with the frames after it, the last one
    before.
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
    """Yield shares of neighbouring stretches, each as near to its part of the cost that is left as it comes.

    Every share has one stretch at least, for as long as there are any.
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
    """Return the job of one segment. job: with paths as they are written, and an output without {version}."""
    behind = {seed for frame in segment.frames for seed in seeds_behind(shot, frame)}
    # An object that is not to be seen here still has a file or a layer: it needs some key.
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
    """Return the seeds with the one nearest to its object's main key before the others of that object.

    The first key of an object is its main key, on which it depends what other passes take over (DR024). The segment may
    lack that of the whole shot; then the nearest lies on the same side of all that the segment makes. Objects stay in
    their order.
    """

    def far(seed: Seed) -> int:
        return abs(seed.frame - shot.subject(seed.subject).main_key)

    names = {seed.subject for seed in seeds}
    ordered = {name: iter(sorted((seed for seed in seeds if seed.subject == name), key=far)) for name in names}
    return [next(ordered[seed.subject]) for seed in seeds]


def _nearest(name: str, keys: Sequence[int], frame: int) -> Seed:
    return Seed(name, min(keys, key=lambda key: abs(key - frame)))


def _written_keys(job: Job, keys: Sequence[KeyFrame]) -> Mapping[Seed, str]:
    """Return each key's file, as the job has it. keys: as the job's masks are expanded, in their order."""
    texts: list[str] = []
    plain = [KeyMask(job.mask, () if job.mask_frame is None else (job.mask_frame,))] if job.mask else []
    for mask in (*plain, *job.keys):
        texts += [mask.file] * max(len(mask.frames), 1)
    return {
        key.seed: text if _last(text) in (key.path.name, key.source.name) else _beside(text, key.source.name)
        for key, text in zip(keys, texts, strict=True)
    }


def _last(path: str) -> str:
    """Return a path's last part, with what follows the file's name: 'roto.exr:hero.A'."""
    return posixpath.basename(path.replace("\\", "/"))


def _beside(pattern: str, name: str) -> str:
    """Return one file of a pattern, as the pattern is written."""
    folder = pattern.replace("\\", "/").rpartition("/")[0]
    return f"{folder}/{name}" if folder else name


@dataclass(frozen=True)
class KeyedJob:
    """Holds a job with paths as they are written, and its key frames with files of this machine."""

    job: Job
    shot: Shot
    keys: tuple[KeyFrame, ...]

    def with_scout(self, frames: Sequence[int], out: str) -> KeyedJob:
        """Return the job with the alphas of the scout as more key frames."""
        masks = scout_keys(self.shot, frames, out)
        more = tuple(KeyFrame(Seed(mask.object, mask.frames[0]), MaskSource(Path(mask.file))) for mask in masks)
        job = replace(self.job, keys=(*self.job.keys, *masks))
        return KeyedJob(job, with_keys(self.shot, frames), (*self.keys, *more))


def output_with_version(as_written: str, here: ResolvedJob) -> str:
    """Return an output name with its {version} taken now: every segment would take one of its own.

    as_written: the name in the job file; here: the job on this machine. Raises SettingError.
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
