# SPDX-License-Identifier: Apache-2.0
"""Writes a review as one page of HTML: values go in, text comes out.

Rules of this file:
1. The page loads nothing: styles, script and pictures are inside, and its own content policy forbids the rest.
2. Whatever came from a file name or a header is escaped.
3. What matters can be read without the script, which adds the viewer of a frame and the keyboard.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from importlib.resources import files

from matanyone_engine.matting.confidence import DOUBTFUL
from matanyone_engine.media.preview import percent as in_percent
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.review.plots import Axis, confidence_plot, coverage_plot, flicker_plot, heat
from matanyone_engine.review.review import ObjectOnFrame, Pictures, Review, Stretch, Track
from matanyone_engine.wire.reasons import REASONS
from matanyone_engine.wire.text import page_text

_SIGNALS = {
    "edge": "edge width",
    "grey": "grey of the matte",
    "jump": "jump of area",
    "change": "new to the network",
    "guide": "changed by the guide",
    "disagreement": "passes disagree",
}
_GOOD = 0.75


def page(review: Review) -> str:
    """Return the whole document."""
    first = review.pictures[review.worst[0]]
    parts = (
        _header(review),
        '<main><div class="left">',
        _viewer(review, first),
        _timeline(review),
        _to_do(review),
        _remarks(review),
        "</div>",
        _cards(review),
        "</main>",
        _footer(review),
        _help(),
        f'<script type="application/json" id="data">{_data(review)}</script>',
        f"<script>{_asset('page.js')}</script>",
    )
    return (
        '<!doctype html>\n<html lang="en" data-theme="dark">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="'
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{page_text(review.title)} - review</title>\n<style>{_asset('page.css')}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _asset(name: str) -> str:
    return files("matanyone_engine.review").joinpath("assets", name).read_text(encoding="utf-8")


def _picture(data: bytes, alt: str = "", name: str = "") -> str:
    named = f' class="{name}"' if name else ""
    return f'<img{named} alt="{page_text(alt)}" src="{_uri(data)}">'


def _uri(data: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"


# --------------------------------------------------------------------------------------------------------- the parts


def _header(review: Review) -> str:
    made = review.made
    facts = [
        f"frames <b>{page_text(describe_frames(review.frames))}</b>",
        f"objects <b>{page_text(', '.join(track.name for track in review.tracks))}</b>",
        *(
            f"{word} <b>{page_text(made[key])}</b>"
            for word, key in (("model", "model"), ("size", "computed"))
            if key in made
        ),
        *([f"run <b>{page_text(review.state)}</b>"] if review.state else []),
    ]
    return (
        f"<header><div><h1>{page_text(review.title)}</h1>"
        f'<p class="facts">{" &nbsp; ".join(facts)}</p><p class="verdict">{_verdict(review)}</p></div>'
        '<div><button class="tool" id="theme" title="light or dark (T)">light</button> '
        '<button class="tool" id="help" title="keys (?)">?</button></div></header>'
    )


def _verdict(review: Review) -> str:
    """Return one sentence that names the frames to look at."""
    seen = (each.confidence for track in review.tracks for each in track.frames.values())
    told = [confidence for confidence in seen if confidence is not None]
    if not told:
        return "No confidence was recorded for this run."
    if not review.stretches:
        return (
            f"<b>Nothing stands out.</b> No frame is below a confidence of {DOUBTFUL:g}; the lowest is frame "
            f"{_jump(review.worst[0])} {_pill(min(told))}"
        )
    doubtful = {n for stretch in review.stretches for n in range(stretch.first, stretch.last + 1)} & set(review.frames)
    worst = review.stretches[0]
    count = len(review.stretches)
    return (
        f"<b>Look at {count} {'stretch' if count == 1 else 'stretches'}</b>, {len(doubtful)} of {len(review.frames)} "
        f"frames; first at {_jump(worst.worst)} {_pill(worst.confidence)}. {page_text(_in_words(worst.why))}"
    )


def _viewer(review: Review, first: Pictures) -> str:
    modes = (("plate", "1 plate"), ("alpha", "2 alpha"), ("checker", "3 checker"), ("colour", "4 green"))
    there = [(name, words) for name, words in modes if getattr(first, name)]
    buttons = "".join(f'<button class="tool mode" data-mode="{name}">{words}</button>' for name, words in there)
    return (
        '<section class="viewer" aria-label="the frame that is looked at"><div>'
        f'<div class="stage" style="aspect-ratio:{review.resolution.width}/{review.resolution.height}">'
        f'<img id="shown" alt="" src="{_uri(first.checker or first.alpha)}">'
        '<span class="small" id="small" hidden>small preview: only the worst frames have large pictures</span></div>'
        f'<div class="modes">{buttons}<span class="keys"><kbd>&larr;</kbd> <kbd>&rarr;</kbd> frame &nbsp; '
        "<kbd>&uarr;</kbd> <kbd>&darr;</kbd> worst first &nbsp; <kbd>?</kbd> keys</span></div></div>"
        f'<div class="now" id="now" aria-live="polite">{_now(review)}</div></section>'
    )


def _now(review: Review) -> str:
    """Return the text beside the worst frame before the script runs."""
    frame = review.worst[0]
    lines = "".join(
        f'<div class="object"><b>{page_text(track.name)}</b> {_pill(track.frames[frame].confidence)}</div>'
        for track in review.tracks
    )
    return f'<div class="number">{frame}</div>{lines}'


def _timeline(review: Review) -> str:
    axis = Axis(review.frames)
    tracks = "".join(_track(track, axis, review) for track in review.tracks)
    strip = "".join(f'<img alt="" data-frame="{n}" src="{_uri(data)}">' for n, data in sorted(review.strip.items()))
    small = _row("", f'<div class="plot strip">{strip}</div>')
    return (
        '<section id="timeline" aria-label="the shot frame by frame"><h2>The shot, frame by frame</h2>'
        f"{heat()}{tracks}{small}{_row('', axis.ticks())}"
        '<div class="legend"><i style="background:var(--accent);transform:rotate(45deg)"></i>key '
        f'<i style="background:var(--shade)"></i>below {DOUBTFUL:g} '
        '<i style="background:var(--flicker)"></i>flicker: the part of the matte that neither neighbouring frame has '
        '<i style="background:var(--area)"></i>area</div></section>'
    )


def _row(label: str, plot: str) -> str:
    return f'<div class="row"><div class="label">{label}</div>{plot}</div>'


def _track(track: Track, axis: Axis, review: Review) -> str:
    told = [each.confidence for each in track.frames.values() if each.confidence is not None]
    least = f"<span>least {min(told):.2f}, {_keys(track)}</span>" if told else f"<span>{_keys(track)}</span>"
    keys = "".join(f'<i class="key" title="key {key}" style="left:{axis.percent(key)}%"></i>' for key in track.keys)
    mine = [stretch for stretch in review.stretches if stretch.object == track.name]
    most = max(each.flicker or 0.0 for each in track.frames.values())
    rows = (
        _row("confidence", f'<div class="plot confidence">{confidence_plot(track, axis, mine)}{keys}</div>')
        if told
        else "",
        _row("flicker", f'<div class="plot flicker">{flicker_plot(track, axis, most)}{_most(100 * most)}</div>'),
        _row("area", f'<div class="plot coverage">{coverage_plot(track, axis)}</div>'),
    )
    return f'<div class="track"><h3>{page_text(track.name)}{least}</h3>{"".join(rows)}</div>'


def _keys(track: Track) -> str:
    return f"keys {', '.join(map(str, track.keys))}" if track.keys else "keys not known"


def _most(percent: float) -> str:
    return f'<span class="most">at most {in_percent(percent / 100, 2)}</span>'


def _cards(review: Review) -> str:
    cards = "".join(_card(review, frame) for frame in review.worst)
    return f'<aside aria-label="worst frames"><h2>Worst frames first</h2><div class="cards">{cards}</div></aside>'


def _card(review: Review, frame: int) -> str:
    pictures = review.pictures[frame]
    track, seen = _least_sure(review.tracks, frame)
    name = f"{page_text(track.name)}: " if len(review.tracks) > 1 else ""
    shown = _picture(pictures.checker, f"frame {frame} over a checker", "checker") if pictures.checker else ""
    shown += _picture(pictures.alpha, f"alpha of frame {frame}", "alpha")
    alone = "" if pictures.checker else " alone"
    return (
        f'<button class="card" data-frame="{frame}"><div class="pair{alone}">{shown}</div>'
        f'<div class="words"><b>{frame}</b><span></span>{_pill(seen.confidence)}'
        f"<span>{name}{page_text(_reason(seen))}</span></div></button>"
    )


def _least_sure(tracks: Sequence[Track], frame: int) -> tuple[Track, ObjectOnFrame]:
    least = min(tracks, key=lambda each: _value(each.frames[frame]))
    return least, least.frames[frame]


def _value(seen: ObjectOnFrame) -> float:
    return 1.0 if seen.confidence is None else seen.confidence


def _reason(seen: ObjectOnFrame) -> str:
    if seen.confidence is None:
        return f"flicker {in_percent(seen.flicker or 0.0, 2)}"
    return _in_words(seen.why) if seen.confidence < _GOOD else "for comparison"


def _in_words(why: str) -> str:
    """Return the sentence of a reason's code; a code of a newer engine is shown as it is."""
    return REASONS.get(why, why)


def _to_do(review: Review) -> str:
    """List the doubtful stretches, and what would help each."""
    if not review.stretches:
        return ""
    rows = "".join(_stretch_row(stretch) for stretch in review.stretches)
    return (
        '<section aria-label="stretches"><h2>Stretches to look at</h2><table><tr><th>frames<th>object<th>lowest'
        f"<th>why<th>what would help</tr>{rows}</table></section>"
    )


def _stretch_row(stretch: Stretch) -> str:
    name = "" if stretch.object == "subject" else f"{stretch.object}="
    key = f"--mask {name}fix.{stretch.worst}.exr@{stretch.worst}"
    frames = describe_frames(range(stretch.first, stretch.last + 1))
    return (
        f'<tr><td class="n">{frames}<td>{page_text(stretch.object)}<td class="n">{_pill(stretch.confidence)} at '
        f"{_jump(stretch.worst)}<td>{page_text(_in_words(stretch.why))}"
        f"<td>Draw a mask on that frame, and run the same command with <code>{page_text(key)}</code></tr>"
    )


def _remarks(review: Review) -> str:
    """List warnings, what could not be found, the keys, and how the alphas were made."""
    remarks = [
        f"{page_text(words)}: {', '.join(_jump(n) for n in frames[:6])}{_and_more(frames)}"
        for words, frames in review.warnings.items()
    ]
    remarks += [page_text(note) for note in review.notes]
    remarks += [f"{page_text(track.name)}: {_keys(track)}; {_passes(track, review.frames)}" for track in review.tracks]
    rows = "".join(
        f"<tr><th>{page_text(key)}<td><code>{page_text(value)}</code></tr>" for key, value in review.made.items()
    )
    listed = "".join(f"<li>{words}</li>" for words in remarks)
    made = f"<details><summary>How it was made</summary><table>{rows}</table></details>" if rows else ""
    return f'<section aria-label="notes"><h2>Notes</h2><ul>{listed}</ul>{made}</section>'


def _and_more(frames: Sequence[int]) -> str:
    return f" ... ({page_text(describe_frames(frames))})" if len(frames) > 6 else ""


def _passes(track: Track, frames: Sequence[int]) -> str:
    """List which frames were computed from which keys."""
    if not track.keys:
        return "how its frames came about is not known"
    first, last = track.keys[0], track.keys[-1]
    begins = frames[0] if track.first is None else max(track.first, frames[0])
    ends = frames[-1] if track.last is None else min(track.last, frames[-1])
    between = zip(track.keys, track.keys[1:], strict=False)
    ranges = (
        (begins, first - 1, "run backwards"),
        *((a + 1, b - 1, f"blended from {a} and {b}") for a, b in between),
        (last + 1, ends, "run forwards"),
    )
    said = [f"{describe_frames(range(a, b + 1))} {how}" for a, b, how in ranges if a <= b]
    return ", ".join(said) or "no frame beside its keys"


def _footer(review: Review) -> str:
    version = page_text(review.made.get("version", ""))
    return (
        f"<footer>Confidence says where to look first; it is no measure of error. MatAnyone Engine {version}, made by "
        "matanyone-engine review; this page holds everything it shows.</footer>"
    )


def _help() -> str:
    keys = (
        ("&larr; &rarr;", "the frame before, the next"),
        ("&uarr; &darr;", "the worse frame, the better one"),
        ("Home End", "first and last frame"),
        ("1 2 3 4", "plate, alpha, over a checker, over green"),
        ("T", "light or dark"),
        ("?", "this list"),
    )
    rows = "".join(f"<tr><td><kbd>{key}</kbd><td>{words}</tr>" for key, words in keys)
    return (
        f'<dialog id="keys"><h2>Keys</h2><table>{rows}</table><form method="dialog">'
        '<button class="tool">close</button></form></dialog>'
    )


def _pill(confidence: float | None) -> str:
    if confidence is None:
        return '<span class="pill">-</span>'
    return f'<span class="pill {_grade(confidence)}">{confidence:.2f}</span>'


def _grade(confidence: float) -> str:
    return "good" if confidence >= _GOOD else "warn" if confidence >= DOUBTFUL else "bad"


def _jump(frame: int) -> str:
    return f'<button class="jump" data-frame="{frame}">{frame}</button>'


# ---------------------------------------------------------------------------------------------- what the script knows


def _data(review: Review) -> str:
    """Return the JSON that the script reads; it must not contain '<', since it is in a script element."""
    objects = [
        {
            "name": track.name,
            "keys": track.keys,
            "life": [track.first, track.last],
            "frames": {n: _told(each) for n, each in track.frames.items()},
        }
        for track in review.tracks
    ]
    warnings: dict[int, list[str]] = {}
    for words, frames in review.warnings.items():
        for frame in frames:
            warnings.setdefault(frame, []).append(words)
    said = {
        "frames": review.frames,
        "worst": review.worst,
        "objects": objects,
        "warnings": warnings,
        "why": REASONS,
        "signals": _SIGNALS,
        "doubtful": DOUBTFUL,
        "good": _GOOD,
        "pictures": {
            n: {name: _uri(data) for name, data in (("plate", each.plate), ("colour", each.colour)) if data}
            for n, each in review.pictures.items()
        },
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _told(seen: ObjectOnFrame) -> list[object]:
    return [seen.confidence, seen.why, seen.flicker, round(seen.coverage, 5), dict(seen.signals)]
