# SPDX-License-Identifier: Apache-2.0
"""Runs jobs in this process for 'matte', 'run' and 'batch': loads the network, plans and mattes, and prints the
report."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from matanyone_engine.cli.progress import MatteProgress
from matanyone_engine.cli.reporting import Reporter
from matanyone_engine.cli.signals import StopRequest, graceful_stop
from matanyone_engine.errors import Doubtful, EngineError, Interrupted, SettingError
from matanyone_engine.jobs.allocator import keep_freed_memory
from matanyone_engine.jobs.cache import DEFAULT_LIMIT, DiskCache, default_folder
from matanyone_engine.jobs.guides import ObjectGuide
from matanyone_engine.jobs.job import MatteJob, MattePlan, describe_all_edges
from matanyone_engine.jobs.one_call import plan_or_go_on
from matanyone_engine.jobs.run import run_matte
from matanyone_engine.jobs.run_events import FrameDone, StepDone
from matanyone_engine.jobs.run_identity import may_resume
from matanyone_engine.matting.options import describe_density
from matanyone_engine.media.contact_sheet import ContactSheet, choose_preview_frames
from matanyone_engine.media.mattes import check_writable
from matanyone_engine.media.plates import PLAIN_PICTURE, describe_picture
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.media.views import has_view, with_view
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.registry import VettedWeights, load_vetted, require_licence_class

_GIB = 1 << 30


Networks = dict[str, tuple[MatAnyone, VettedWeights]]
"""Loaded networks with the facts about their weights files, by the model's name in the job."""


@dataclass(frozen=True)
class RunSettings:
    """Holds how jobs are run: the model, the device, the precision, the cache and the preview."""

    model: str
    licence: str = "any"
    device: str = "auto"
    precision: str = "auto"
    cache_gib: float = DEFAULT_LIMIT / _GIB
    preview: Path | None = None
    """A contact sheet (PNG) to write."""
    resume_interval_s: float | None = None
    """Seconds between resume points; None means a minute."""


def add_cache(parser: argparse._ActionsContainer) -> None:
    """Add --cache to a parser."""
    parser.add_argument(
        "--cache",
        type=float,
        default=DEFAULT_LIMIT / _GIB,
        metavar="GIB",
        help="How much disk space the cache may take, which keeps results for later runs of a shot. 0 keeps none. "
        "A running engine (--endpoint) has a cache of its own. Default: 20.",
    )


def run_locally(
    how: RunSettings,
    jobs: Callable[[], Sequence[MatteJob]],
    console: Console,
    reporter: Reporter,
    *,
    resume: bool | None,
    networks: Networks | None = None,
) -> None:
    """Plan all jobs, then run them one after the other. Several jobs are the views of one shot.

    resume: True continues an unfinished run, and raises an error if there is none; None continues one if there is one.
    networks: those that are loaded already; networks that are loaded here are added to it.
    """
    keep_freed_memory()
    if how.preview:
        _check_preview(how.preview)
    network, weights = _loaded(how, {} if networks is None else networks)
    require_licence_class(weights, how.licence)
    with _checking(console) as checked:
        plans: list[MattePlan] = []
        for job in jobs():
            plans.append(plan_or_go_on(_exposed_like(plans, job), network, checked, resume=resume))
    previews = [_preview(how.preview, plan, len(plans)) for plan in plans]
    for plan, preview in zip(plans, previews, strict=True):
        # A view that was finished, or not started, when the run was stopped has no resume point. It is run from the
        # start.
        going_on = may_resume(plan, network) if resume is None else resume and _is_left(plan, len(plans))
        _LocalRun(how, plan, network, weights, console, reporter).run(preview, resume=going_on)


def _loaded(how: RunSettings, networks: Networks) -> tuple[MatAnyone, VettedWeights]:
    if how.model not in networks:
        networks[how.model] = load_vetted(how.model, how.device, how.precision)
    return networks[how.model]


def _is_left(plan: MattePlan, views: int) -> bool:
    return views == 1 or plan.sidecars.resume.is_file()


@dataclass(frozen=True)
class _LocalRun:
    """Runs one planned shot, or one view of a shot, and shows its progress."""

    how: RunSettings
    plan: MattePlan
    network: MatAnyone
    weights: VettedWeights
    console: Console
    reporter: Reporter

    def run(self, preview: Path | None, *, resume: bool) -> None:
        """Run the shot, show each step, and print how it ended. Raises EngineError."""
        console, plan = self.console, self.plan
        self._announce()
        sheet = ContactSheet(choose_preview_frames(plan.frames)) if preview else None
        begun = time.monotonic()
        with (
            graceful_stop(console, "this frame") as stop,
            MatteProgress(console) as progress,
            _finished_frames_are_kept(console, progress),
            closing(self._events(stop, resume)) as events,
        ):
            doubt = self._show(events, progress, sheet)
        progress.print_summary()
        if not progress.complete:
            raise _interrupted(plan, progress.alphas)
        if preview and sheet and sheet.filled:
            sheet.write(preview)
        if progress.unchanged:
            frames = describe_frames(progress.unchanged)
            console.print(
                f"kept    {len(progress.unchanged)} alphas are up to date and were left as they are: {frames}"
            )
        _conclude(console, plan, progress.alphas, time.monotonic() - begun, preview)
        if doubt is not None:
            raise doubt

    def _show(self, events: Iterable[StepDone], progress: MatteProgress, sheet: ContactSheet | None) -> Doubtful | None:
        """Show every event. Return the error of a run that has written all frames but most likely lost its subject."""
        try:
            for event in events:
                progress.show(event)
                self.reporter.show(event)
                if sheet and isinstance(event, FrameDone):
                    sheet.add(event.frame, event.seen, event.alpha)
        except Doubtful as doubt:
            return doubt
        return None

    def _events(self, stop: StopRequest, resume: bool) -> Generator[StepDone, None, None]:
        with closing(DiskCache(default_folder(), _cache_limit(self.how.cache_gib))) as cache:
            yield from run_matte(
                self.plan,
                self.network,
                self.weights,
                resume=resume,
                stopping=stop.requested,
                cache=cache,
                resume_interval_s=self.how.resume_interval_s,
            )

    def _announce(self) -> None:
        plan, weights = self.plan, self.weights
        _describe(self.console, plan, weights, str(self.network.device))
        self.reporter.planned(
            frames=len(plan.frames),
            range=describe_frames(plan.frames),
            size=list(plan.resolution),
            colour=plan.colour.space,
            model=weights.label,
            licence=weights.licence,
            device=str(self.network.device),
            out=str(plan.paths(plan.frames[0])[0]),
        )


def _describe(console: Console, plan: MattePlan, weights: VettedWeights, device: str) -> None:
    """Print what is about to be computed, so that every default that was chosen can be seen."""
    frames = describe_frames(plan.frames)
    console.print(f"plate   {plan.source.name}  {frames}  ({len(plan.frames)} frames, {plan.resolution})")
    picture = describe_picture(plan.source.header(plan.frames[0]))
    if picture != PLAIN_PICTURE:
        console.print(f"picture {picture}")
    density = describe_density(plan.job, plan.resolution, weights.core_size, learned=weights.refiner)
    console.print(f"size    {density}")
    if plan.job.region:
        console.print(f"region  {plan.job.region}")
    console.print(f"colour  {plan.colour.space}  ({plan.colour.reason}){_exposed(plan)}")
    _describe_masks(console, plan)
    solved = [frame for frame in plan.frames if plan.areas.names_on(frame)]
    if solved:
        console.print(f"areas   solved along the plate on {describe_frames(solved)}")
    if edges := describe_all_edges(plan):
        console.print(f"edges   {edges}")
    console.print(f"model   {weights.label} ({weights.licence}) on {device}")
    for path in plan.paths(plan.frames[0]):
        console.print(f"out     {path}")


def _describe_masks(console: Console, plan: MattePlan) -> None:
    """Print the masks of each object, and on which frames it has others than its key frames' masks."""
    several = len(plan.shot.subjects) > 1
    for seed, file in plan.masks.keys.items():
        kept_off = "  (distractor)" if plan.shot.subject(seed.subject).distractor else ""
        name = f"{seed.subject}{kept_off}  " if several else ""
        console.print(f"mask    {name}{file.source}  on frame {seed.frame}")
        for shortfall in plan.masks.short.get(seed, ()):
            console.print(f"check   {shortfall.words} ({seed.frame})")
    for side, held in (("inside", plan.masks.inside), ("outside", plan.masks.outside)):
        for subject in plan.shot.subjects:
            on = [frame for frame in plan.frames if (subject.name, frame) in held]
            if on:
                console.print(f"{side:8}{f'{subject.name}  ' if several else ''}on {describe_frames(on)}")
    for name, guide in plan.masks.guides.items():
        console.print(f"guide   {name}  {len(guide.digests)} frames, band {guide.band} pixels{_silent(guide, plan)}")


def _exposed_like(others: Sequence[MattePlan], job: MatteJob) -> MatteJob:
    """Return the job with the exposure of the view that was planned first, since all views of a shot need the same
    one."""
    return replace(job, exposure=others[0].job.exposure) if others and job.exposure is None else job


def _silent(guide: ObjectGuide, plan: MattePlan) -> str:
    """Return the end of a line that lists the frames on which the guide is not used, and why."""
    kinds = (
        (guide.outvoted, "left out on"),
        (guide.black, "black, so that it says nothing, on"),
        (guide.white, "white all over, so that it says nothing, on"),
    )
    told = [(sorted(frames & set(plan.frames)), why) for frames, why in kinds]
    return "".join(f", {why} {describe_frames(frames)}" for frames, why in told if frames)


def _exposed(plan: MattePlan) -> str:
    return f"  exposure {plan.job.exposure:+g} stops" if plan.job.exposure else ""


def _cache_limit(gib: float) -> int:
    if gib < 0:
        raise SettingError(
            expected="--cache of 0 GiB or more",
            came=f"{gib:g}",
            action="Write how many GiB of disk space the cache may take.",
        )
    return int(gib * _GIB)


def _check_preview(path: Path) -> None:
    """Check before the work begins that the contact sheet is a PNG in a folder that can be written."""
    if path.suffix.lower() != ".png":
        raise SettingError(
            expected="a preview whose name ends in .png",
            came=str(path),
            action="Rename it, for example --preview preview.png.",
        )
    check_writable(path.parent)


def _preview(asked: Path | None, plan: MattePlan, views: int) -> Path | None:
    """Return the path of this plan's contact sheet; None if none was asked for."""
    if asked is None:
        return None
    if views > 1 and not has_view(str(asked)):
        raise SettingError(
            expected=f"%V in the name of the preview, since there are {views} views",
            came=str(asked),
            action="Write %V where the name of the view shall stand: --preview preview.%V.png.",
        )
    preview = Path(with_view(str(asked), plan.job.view))
    _check_not_an_input(preview, plan)
    return preview


def _check_not_an_input(preview: Path, plan: MattePlan) -> None:
    """Raise SettingError if the contact sheet would overwrite a mask or a plate."""
    inputs = [*(file.source.path for file in plan.masks.files()), *plan.source.paths(plan.shot.frames)]
    if preview.exists() and any(preview.samefile(path) for path in inputs):
        raise SettingError(
            expected="a name for the preview that no input has",
            came=f"{preview}, which is a mask or a plate of this shot",
            action="Choose another name with --preview.",
        )


@contextmanager
def _finished_frames_are_kept(console: Console, progress: MatteProgress) -> Iterator[None]:
    """If the run fails, print that finished frames are kept; the error itself is raised again."""
    try:
        yield
    except (EngineError, KeyboardInterrupt):
        if progress.alphas:
            console.print(
                f"kept    {progress.alphas} alphas are finished and kept. Mend the cause, then go on with --resume."
            )
        raise


def _interrupted(plan: MattePlan, finished: int) -> Interrupted:
    return Interrupted(
        expected=f"all {len(plan.frames)} alphas of the shot",
        came=f"a stop by you after {finished} of them in this run",
        action="They are kept. Run the same command with --resume to go on from there.",
    )


def _conclude(console: Console, plan: MattePlan, finished: int, seconds: float, preview: Path | None) -> None:
    rate = finished / seconds if seconds else 0.0
    console.print(f"done    {finished} alphas in {seconds:.1f} s ({rate:.2f} frames/s): {plan.outputs.main.folder}")
    if preview:
        console.print(f"preview {preview}")


@contextmanager
def _checking(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar while the plates are checked."""
    bar = Progress(TextColumn("check "), BarColumn(), MofNCompleteColumn(), console=console, transient=True)
    bar.disable = not console.is_terminal
    with bar:
        task = bar.add_task("check", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
