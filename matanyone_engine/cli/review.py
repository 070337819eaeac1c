# SPDX-License-Identifier: Apache-2.0
"""Makes a page about a finished run that shows its worst frames first: `matanyone-engine review RUN`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from matanyone_engine.atomic import whole_file
from matanyone_engine.cli.new_file import new_file
from matanyone_engine.cli.plain_console import PlainConsole
from matanyone_engine.errors import OutputError, SettingError
from matanyone_engine.media.mattes import check_writable
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.review.movie import check_movie, write_movie
from matanyone_engine.review.page import page
from matanyone_engine.review.publish import publish_facts, write_publish_file
from matanyone_engine.review.review import Review, RunFiles, find_run, review_run
from matanyone_engine.wire.reasons import reason

MOST_PICTURES = 60
"""Most frames with a large picture; they make a page of about 20 MB."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'review' to the program's parser."""
    parser = subparsers.add_parser(
        "review",
        description="Makes one HTML page about a finished run: the worst frames first, with confidence, flicker and "
        "area of each object. The page needs no other file.",
    )
    parser.add_argument(
        "run_files", metavar="RUN", help="The run: its output pattern, its folder, or its NAME.matanyone.json."
    )
    parser.add_argument(
        "--out", type=new_file, metavar="FILE", help="Where the page goes. Default: review.html beside the alphas."
    )
    parser.add_argument("--plate", metavar="PATTERN", help="Where the plate is now. Default: where the record says.")
    parser.add_argument(
        "--pictures",
        type=int,
        default=24,
        metavar="N",
        help=f"How many frames are shown large, at most {MOST_PICTURES}. Default: 24.",
    )
    parser.add_argument("--width", type=int, default=640, metavar="PIXELS", help="How wide these are. Default: 640.")
    parser.add_argument(
        "--movie",
        type=new_file,
        metavar="FILE",
        help="Also write a review movie: plate, alpha and composite with the frame number and the confidence burnt in. "
        ".mp4 is H.264, .mov is ProRes 422 HQ.",
    )
    parser.add_argument(
        "--publish",
        type=new_file,
        metavar="FILE",
        help="Also write a JSON file that says what a tracker such as AYON, ShotGrid or Kitsu needs to know.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Find the run, measure its alphas and write the page."""
    console = PlainConsole(stderr=True, highlight=False, markup=False, soft_wrap=True)
    _check(args)
    found = find_run(args.run_files)
    out = args.out or next(iter(found.files.values()))[0].parent / "review.html"
    _check_out(out)
    with _looking(console) as seen:
        review = review_run(found, plate=args.plate, most=args.pictures, widest=args.width, seen=seen)
    _write(out, page(review))
    _print_summary(console, review, found)
    console.print(f"page    {out}  ({out.stat().st_size / 1e6:.1f} MB)")
    _deliver(args, found, console)


def _deliver(args: argparse.Namespace, found: RunFiles, console: Console) -> None:
    """Write the movie and the publish file if they are asked for."""
    movie = None
    if args.movie is not None:
        with _looking(console, "movie") as seen:
            movie = write_movie(found, args.movie, plate=args.plate, width=args.width, seen=seen)
        for note in movie.notes:
            console.print(f"note    {note}")
        width, height = movie.resolution
        console.print(f"movie   {movie.path}  ({movie.codec}, {width}x{height}, {float(movie.fps):.6g} frames/s)")
    if args.publish is not None:
        write_publish_file(args.publish, publish_facts(found, movie))
        console.print(f"publish {args.publish}")


def _check(args: argparse.Namespace) -> None:
    """Check all arguments before any work. Raises SettingError, OutputError."""
    if args.movie is not None:
        check_movie(args.movie)
        check_writable(args.movie.parent)
    if args.publish is not None:
        check_writable(args.publish.parent)
    for option, given, least, most in (
        ("--pictures", args.pictures, 1, MOST_PICTURES),
        ("--width", args.width, 64, 1920),
    ):
        if not least <= given <= most:
            raise SettingError(
                expected=f"{option} from {least} to {most}",
                came=str(given),
                action=f"Choose a number in between, or leave {option} out.",
            )


def _check_out(out: Path) -> None:
    if out.suffix.lower() not in (".html", ".htm"):
        raise SettingError(
            expected="a page whose name ends in .html",
            came=str(out),
            action="Rename it, for example --out review.html.",
        )
    check_writable(out.parent)


def _write(out: Path, text: str) -> None:
    try:
        with whole_file(out) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            expected=f"that the page {str(out)!r} can be written",
            came=error.strerror or str(error),
            action="Choose a folder with room in which you may write: --out.",
        ) from error


def _print_summary(console: Console, review: Review, found: RunFiles) -> None:
    """Print the main findings in a few lines."""
    console.print(f"run     {found.title}  {describe_frames(review.frames)}  ({len(review.frames)} frames)")
    for note in review.notes:
        console.print(f"note    {note}")
    for words, frames in review.warnings.items():
        console.print(f"check   {words} ({describe_frames(frames)})")
    for stretch in review.stretches[:5]:
        where = describe_frames(range(stretch.first, stretch.last + 1))
        console.print(
            f"doubt   {stretch.object} {where}: the lowest confidence is {stretch.confidence:.2f}, on "
            f"{stretch.worst}. {reason(stretch.why, stretch.confidence)}"
        )
    if len(review.stretches) > 5:
        console.print(f"        and {len(review.stretches) - 5} more")


@contextmanager
def _looking(console: Console, what: str = "look") -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar while alphas are read or a movie is written."""
    columns = (TextColumn(f"{what:6}"), BarColumn(), MofNCompleteColumn(), TextColumn("ETA"), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task("look", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
