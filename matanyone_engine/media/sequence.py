# SPDX-License-Identifier: Apache-2.0
"""Reads frame numbers, frame ranges and file names. No pixel is read here.

Rules of this file:
1. A frame keeps its number. Nothing is renumbered, paired by position, or filled in silently.
2. Names are read from the right: the frame number is the last number before the suffix, and a number after 'v' is a
   version. A name with two meanings is an error that lists both.
3. Only folders are listed; no file is opened.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from matanyone_engine.errors import BadInput, FrameRangeError, PlateError, SettingError
from matanyone_engine.media.portable_names import check_portable

READABLE_SUFFIXES = frozenset(
    {".exr", ".png", ".tif", ".tiff", ".jpg", ".jpeg", ".dpx", ".cin", ".tga", ".bmp", ".hdr", ".jp2", ".jxl", ".webp"}
    | {".sgi", ".rgb"}
)
MOVIE_SUFFIXES = frozenset(
    {".mov", ".mp4", ".m4v", ".mkv", ".avi", ".mxf", ".webm", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".3gp", ".wmv"}
)
WRITABLE_SUFFIXES = (".exr", ".png", ".tif", ".tiff")

# The most frames of a shot: a typing error such as 1-10000000000 must not fill the memory.
MOST_FRAMES = 1_000_000
FRAME_OF_AN_UNNUMBERED_FILE = 1

_DIGITS = re.compile(r"[0-9#]+")
_RANGE = re.compile(r"(-?[0-9]+)(?:\s*-\s*(-?[0-9]+)(?:\s*x\s*([0-9]+))?)?")
# A minus is a sign only where it cannot be a hyphen between words: shot-0010 is frame 10, shot.-0010 frame -10.
_TOKEN = re.compile(
    r"(?P<range>(?:(?<![A-Za-z0-9])-?|(?<=[A-Za-z]))[0-9]+--?[0-9]+(?:x[0-9]+)?)?(?P<hashes>#+)"
    r"|%(?P<printf>0[0-9]+|[0-9]*)d"
)
# The frame number of a file name is the last field that is only a number (a.1001.left2.exr), else the digits before
# the suffix (plate1001.exr); digits after a 'v' are a version.
_NUMBER_FIELD = re.compile(r"(?:^|(?<=\.))-?[0-9]+(?=\.)")
_LAST_DIGITS = re.compile(r"(?<![0-9vV])(?:(?<![A-Za-z0-9])-)?[0-9]+(?=\.[^.]+$)")


# ---------------------------------------------------------------------------------------------- frame ranges


def parse_frames(text: str) -> tuple[int, ...]:
    """Read '1001-1045,1050,1060-1080x2' as frame numbers, ascending, each once. Negative numbers: '-5--1'.

    Raises FrameRangeError for anything that is not exactly that (spaces around the numbers are fine).
    """
    frames: set[int] = set()
    for part in text.split(","):
        frames.update(_parse_part(part.strip(), text))
        if len(frames) > MOST_FRAMES:
            raise _bad_range(text, f"more than {MOST_FRAMES} frames")
    return tuple(sorted(frames))


def _parse_part(part: str, whole: str) -> range:
    match = _RANGE.fullmatch(part)
    if match is None:
        raise _bad_range(whole, f"{part!r}" if part else "an empty part")
    first = int(match[1])
    last = int(match[2]) if match[2] else first
    step = int(match[3]) if match[3] else 1
    if last < first:
        raise _bad_range(whole, f"{part!r}, which runs backwards")
    if step < 1:
        raise _bad_range(whole, f"{part!r}, whose step is 0")
    if (last - first) // step >= MOST_FRAMES:
        raise _bad_range(whole, f"{part!r}, which is more than {MOST_FRAMES} frames")
    return range(first, last + 1, step)


def _bad_range(text: str, came: str) -> FrameRangeError:
    return FrameRangeError(
        expected="frames such as 1001-1045,1050,1060-1080x2",
        came=f"{came} in {text!r}",
        action="Write single frames and first-last or first-lastxstep, with commas between.",
    )


def describe_frames(frames: Iterable[int]) -> str:
    """Write frames in the form that parse_frames reads, as short as possible: '1-3,7' for (1, 2, 3, 7)."""
    left = sorted(set(frames))
    parts = []
    while left:
        length = _steady_run(left)
        parts.append(_describe_run(left[:length]))
        left = left[length:]
    return ",".join(parts)


def _steady_run(frames: Sequence[int]) -> int:
    """Return how many frames from the start are evenly spaced; a pair counts only if the two are neighbours."""
    if len(frames) < 2:
        return len(frames)
    step = frames[1] - frames[0]
    length = 2
    while length < len(frames) and frames[length] - frames[length - 1] == step:
        length += 1
    return length if length > 2 or step == 1 else 1


def _describe_run(run: Sequence[int]) -> str:
    if len(run) == 1:
        return str(run[0])
    step = run[1] - run[0]
    return f"{run[0]}-{run[-1]}" + (f"x{step}" if step > 1 else "")


def _name_frames(frames: Sequence[int]) -> str:
    """Describe frames for a message by their number and a list, which is cut if it is long."""
    text = describe_frames(frames)
    if len(text) > 200:
        text = text[:200].rsplit(",", 1)[0] + ", ..."
    return f"{_count(len(frames))} ({text})"


# ------------------------------------------------------------------------------------------------- sequences


@dataclass(frozen=True)
class FrameSequence:
    """Holds numbered files of one name in one folder, or one file.

    folder, prefix, suffix: the path of frame 7 with padding 4 is folder/prefix0007suffix.
    padding:  the least number of digits, to which a negative frame's sign is added (-0005).
    frames:   the frames that exist, ascending.
    declared: the frames of the range in the pattern; None if it has no range.
    numbered: False for one file without a frame number, whose only frame is 1.
    """

    folder: Path
    prefix: str
    padding: int
    suffix: str
    frames: tuple[int, ...]
    declared: tuple[int, ...] | None = None
    numbered: bool = True

    def path(self, frame: int) -> Path:
        """Return the path of this frame, whether it exists or not."""
        number = frame_text(frame, self.padding) if self.numbered else ""
        return self.folder / f"{self.prefix}{number}{self.suffix}"

    @property
    def name(self) -> str:
        """Returns the pattern without the folder, as in 'plate.####.exr'."""
        return f"{self.prefix}{'#' * max(self.padding, 1) if self.numbered else ''}{self.suffix}"

    @property
    def gaps(self) -> tuple[range, ...]:
        """Returns the missing frames as ranges: those of the pattern's range, or those between the first and the last.

        They are ranges because one stray file with a far number makes a gap of millions.
        """
        if self.declared is None:
            pairs = zip(self.frames, self.frames[1:], strict=False)
            return tuple(range(before + 1, after) for before, after in pairs if after > before + 1)
        there = set(self.frames)
        return tuple(range(frame, frame + 1) for frame in self.declared if frame not in there)

    @property
    def missing(self) -> tuple[int, ...]:
        """Returns the frames of the gaps, one by one."""
        return tuple(frame for gap in self.gaps for frame in gap)


def frame_text(frame: int, padding: int) -> str:
    """Write a frame number with `padding` digits, not counting the sign: '0005' and '-0005' for 5 and -5 with 4."""
    return f"{'-' if frame < 0 else ''}{abs(frame):0{padding}d}"


def find_sequence(text: str | Path) -> FrameSequence:
    """Find the frames of a pattern, a folder or a file name.

    The name of a file means this file alone, not the sequence that it belongs to. Raises FrameRangeError if the text is
    no pattern, or fits more than one sequence; PlateError if there is nothing to read.
    """
    path = Path(text)
    check_name(path)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise _unreadable(path, error) from error
    if is_folder:
        return _only_sequence(path)
    if is_file:
        return _single_file(path)
    token = _last_token(path.name)
    if token is None:
        raise not_there(path, "a file, a folder, or a pattern such as plate.####.exr")
    return _match_pattern(path, token)


def check_name(path: Path) -> None:
    """Raise PlateError for a path that is not UTF-8, as with a folder name in Latin-1, which no library can open."""
    _check_utf8(path, PlateError)


def _check_utf8(path: Path, refusal: type[BadInput]) -> None:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise refusal(
            expected="a path in UTF-8",
            came=f"{str(path)!a}, in which {str(path)[error.start]!a} is a byte of another encoding",
            action="Rename the file or folder: convmv -f latin1 -t utf8 does it for whole trees.",
        ) from error


def is_movie(path: Path) -> bool:
    """Return whether a path has the suffix of a movie."""
    return path.suffix.lower() in MOVIE_SUFFIXES


def _single_file(path: Path) -> FrameSequence:
    split = _split_number(path.name)
    if split is None:
        return FrameSequence(path.parent, path.name, 0, "", (FRAME_OF_AN_UNNUMBERED_FILE,), numbered=False)
    prefix, number, suffix = split
    return FrameSequence(path.parent, prefix, len(number.lstrip("-")), suffix, (int(number),))


def _split_number(name: str) -> tuple[str, str, str] | None:
    """Split 'a.b.-0005.exr' into 'a.b.', '-0005' and '.exr'; return None for a name without a frame number."""
    found = list(_NUMBER_FIELD.finditer(name)) or list(_LAST_DIGITS.finditer(name))
    if not found:
        return None
    start, end = found[-1].span()
    if name[start] == "-" and int(name[start:end]) == 0:
        start += 1  # there is no frame -0: the hyphen belongs to the name
    return name[:start], name[start:end], name[end:]


def _only_sequence(folder: Path) -> FrameSequence:
    found = _sequences_in(folder)
    if len(found) == 1:
        return found[0]
    if not found:
        raise PlateError(
            expected=f"an image sequence in {str(folder)!r}",
            came="a folder without image files",
            action="Give the folder that holds the frames, or a pattern such as plate.####.exr.",
        )
    candidates = ", ".join(repr(sequence.name) for sequence in found[:10]) + (", ..." if len(found) > 10 else "")
    raise FrameRangeError(
        expected=f"one sequence in {str(folder)!r}",
        came=f"{len(found)}: {candidates}",
        action="Give the pattern of the one you mean.",
    )


def _sequences_in(folder: Path) -> list[FrameSequence]:
    """Return every sequence and every single image in a folder, ordered by name. Hidden files are ignored."""
    numbers: dict[tuple[str, str], list[str]] = defaultdict(list)
    sequences = []
    listing = _list_folder(folder)
    for name in listing.files:
        if Path(name).suffix.lower() not in READABLE_SUFFIXES:
            continue
        split = _split_number(name)
        if split is None:
            sequences.append(_single_file(folder / name))
        else:
            numbers[split[0], split[2]].append(split[1])
    for split in filter(None, map(_split_number, listing.no_files)):
        if (split[0], split[2]) in numbers:
            numbers[split[0], split[2]].append(split[1])
    for (prefix, suffix), texts in numbers.items():
        for padding, frames in _by_padding(texts).items():
            sequences.append(FrameSequence(folder, prefix, padding, suffix, frames))
    return sorted(sequences, key=lambda sequence: (sequence.name, sequence.frames))


def _by_padding(numbers: list[str]) -> dict[int, tuple[int, ...]]:
    """Return the frames by padding. If no single padding fits all numbers (1, 002), they are grouped by length."""
    lengths = {len(number.lstrip("-")) for number in numbers}
    padding = min(lengths)
    if all(frame_text(int(number), padding) == number for number in numbers):
        return {padding: tuple(sorted(int(number) for number in numbers))}
    return {
        length: tuple(sorted(int(number) for number in numbers if len(number.lstrip("-")) == length))
        for length in sorted(lengths)
    }


class _Listing(NamedTuple):
    """Holds the names in a folder, ascending, without hidden files and folders."""

    files: list[str]
    no_files: list[str]
    """Broken links, and pipes. One that is named like a frame of a sequence counts as a frame, so that reading it is an
    error. If it were left out, a first or last frame could be lost unnoticed."""


def _list_folder(folder: Path) -> _Listing:
    listing = _Listing([], [])
    try:
        for entry in sorted(folder.iterdir()):
            if not entry.name.startswith(".") and not entry.is_dir():
                (listing.files if entry.is_file() else listing.no_files).append(entry.name)
    except FileNotFoundError as error:
        raise not_there(folder, "a folder with files") from error
    except OSError as error:
        raise _unreadable(folder, error) from error
    return listing


def not_there(path: Path, expected: str) -> PlateError:
    """Return the error about a missing file or folder. It names one that differs in capitals or accents alone."""
    missing = "a link to nothing, or to itself" if path.is_symlink() else f"which is not there{other_spelling(path)}"
    return PlateError(
        expected=expected,
        came=f"{str(path)!r}, {missing}",
        action="Check the path; for a sequence write #### or %04d in place of the frame number.",
    )


def other_spelling(path: Path) -> str:
    """Return the end of a sentence that names an existing path which differs from a missing one in capitals or in the
    way accents are stored; '' if there is none. Names that were copied from another system often differ so.
    """
    for part in (path, *path.parents):
        if part.parent.is_dir() and not part.exists() and not part.is_symlink():
            try:
                names = sorted(entry.name for entry in part.parent.iterdir())
            except OSError:
                return ""
            found = (name for name in names if _plain(name) == _plain(part.name))
            return next((_but_for(part.name, name) for name in found), "")
    return ""


def _but_for(name: str, there: str) -> str:
    same_letters = _DIGITS.sub("#", unicodedata.normalize("NFC", name)) == _DIGITS.sub(
        "#", unicodedata.normalize("NFC", there)
    )
    differ = "the way that accents are stored" if same_letters else "capitals"
    return f"; {there!a} is, and differs from {name!a} in {differ}"


def _unreadable(path: Path, error: OSError) -> PlateError:
    return PlateError(
        expected="a path that can be read",
        came=f"{str(path)!r}: {error.strerror or error}",
        action="Check the path and the permissions of the folder.",
    )


# -------------------------------------------------------------------------------------------------- patterns


def has_frame_token(name: str) -> bool:
    """Return whether a file name has ####, %04d or a range in place of a frame number."""
    return _last_token(name) is not None


def _last_token(name: str) -> re.Match[str] | None:
    """Return the rightmost ####, 1001-1100#, %04d or %d of a file name."""
    tokens = list(_TOKEN.finditer(name))
    return tokens[-1] if tokens else None


def _token_padding(token: re.Match[str]) -> int | None:
    """Return the number of digits that a token stands for; None for a single '#', which stands for any."""
    if token["hashes"]:
        return len(token["hashes"]) if len(token["hashes"]) > 1 else None
    return int(token["printf"] or 0)


def _match_pattern(path: Path, token: re.Match[str]) -> FrameSequence:
    folder, prefix, suffix = path.parent, path.name[: token.start()], path.name[token.end() :]
    listing = _list_folder(folder)
    numbers = _numbers_between(listing, prefix, suffix)
    padding = _token_padding(token)
    declared = parse_frames(token["range"]) if token["range"] else None
    if padding is None:
        padding = _padding_on_disk(path, numbers)
    frames = {int(number) for number in numbers if frame_text(int(number), padding) == number}
    _refuse_other_padding(path, numbers, frames, declared or ())
    if not token["range"]:
        _refuse_other_spelling(path, listing, token, frames)
    if declared is not None:
        frames &= set(declared)
    if not frames:
        raise PlateError(
            expected=f"files that match {path.name!r}",
            came=f"no such file in {str(folder)!r}{_spelled_otherwise(path, listing, token)}",
            action="Check the name, and write as many # as the frame numbers have digits.",
        )
    return FrameSequence(folder, prefix, padding, suffix, tuple(sorted(frames)), declared)


def _refuse_other_padding(path: Path, numbers: Sequence[str], frames: set[int], declared: Collection[int]) -> None:
    """Raise FrameRangeError if a neighbour of a matching frame has another number of digits than the pattern.

    With '####' for 0999, 1000, 01001, or '##' for 8, 9, 10, such frames would be left out unnoticed. declared: the
    frames of the pattern's range, if it has one.
    """
    others = {int(number) for number in numbers} - frames
    if declared:
        others &= set(declared)
    beside = sorted(frame for frame in others if {frame - 1, frame + 1} & frames)
    if not beside:
        return
    one_hash_takes_all = len(_by_padding(list(numbers))) == 1
    raise FrameRangeError(
        expected=f"as many # in {path.name!r} as the shortest frame number has digits"
        if one_hash_takes_all
        else f"all frames of {path.name!r} with as many digits as the pattern",
        came=f"files with other digits right beside them: {_name_frames(sorted(others))}",
        action="Write one #, which takes them all, or move those files to another folder."
        if one_hash_takes_all
        else "Rename those files like the others, or move them to another folder.",
    )


def _numbers_between(listing: _Listing, prefix: str, suffix: str) -> list[str]:
    inside = re.compile(re.escape(prefix) + r"(-?[0-9]+)" + re.escape(suffix))
    files, others = ([match[1] for match in map(inside.fullmatch, names) if match] for names in listing)
    return files + others if files else []


def _refuse_other_spelling(path: Path, listing: _Listing, token: re.Match[str], frames: set[int]) -> None:
    """Raise FrameRangeError for P.0001.exr beside p.0002.exr: it would be left out unnoticed."""
    before, after = path.name[: token.start()], path.name[token.end() :]
    inside = re.compile(re.escape(_plain(before)) + r"(-?[0-9]+)" + re.escape(_plain(after)))
    unlike = (name for name in listing.files if not (name.startswith(before) and name.endswith(after)))
    found = ((name, inside.fullmatch(_plain(name))) for name in unlike)
    others = {int(match[1]): name for name, match in found if match and int(match[1]) not in frames}
    nearest = next((others[frame] for frame in sorted(others) if {frame - 1, frame + 1} & frames), None)
    if nearest is not None:
        raise FrameRangeError(
            expected=f"all frames of {path.name!r} spelled alike",
            came=f"{nearest!r} beside them, which differs in capitals or in the way that accents are stored",
            action="Rename it like the others, or move it to another folder.",
        )


def _spelled_otherwise(path: Path, listing: _Listing, token: re.Match[str]) -> str:
    """Return the end of a sentence that names a file which would match with other capitals or accents; '' if none."""
    before, after = path.name[: token.start()], path.name[token.end() :]
    inside = re.compile(re.escape(_plain(before)) + r"-?[0-9]+" + re.escape(_plain(after)))
    alike = (name for name in listing.files if not (name.startswith(before) and name.endswith(after)))
    return next((_but_for(path.name, name) for name in alike if inside.fullmatch(_plain(name))), "")


def _plain(name: str) -> str:
    """Return the name without differences of capitals and of the way in which accents are stored."""
    return unicodedata.normalize("NFC", name).casefold()


def _padding_on_disk(path: Path, numbers: list[str]) -> int:
    paddings = sorted(_by_padding(numbers)) if numbers else [0]
    if len(paddings) > 1:
        raise FrameRangeError(
            expected=f"frame numbers of one length for {path.name!r}",
            came=f"numbers of {' and '.join(map(str, paddings))} digits",
            action="Write as many # as the frames you mean have digits.",
        )
    return paddings[0]


# ------------------------------------------------------------------------------------------------- selection


class HasFrames(Protocol):
    """Describes a source of numbered frames: an image sequence or a movie."""

    @property
    def name(self) -> str: ...
    @property
    def frames(self) -> tuple[int, ...]: ...
    @property
    def gaps(self) -> tuple[range, ...]: ...


def select_frames(
    sequence: HasFrames, wanted: tuple[int, ...] | None, missing: Literal["error", "skip"]
) -> tuple[int, ...]:
    """Return the frames to run: the wanted ones, or all if `wanted` is None.

    missing: whether a wanted frame that does not exist is an error or is skipped.
    Raises PlateError, which names the missing frames, or says that none of the wanted ones exists.
    """
    if wanted is None:
        ends = [
            *sequence.frames[:1],
            *sequence.frames[-1:],
            *(end for gap in sequence.gaps for end in (gap[0], gap[-1])),
        ]
        return select_between(sequence, min(ends), max(ends), missing)
    there = set(sequence.frames)
    absent = [frame for frame in wanted if frame not in there]
    if absent and missing == "error":
        raise _absent(sequence, wanted, absent)
    frames = tuple(frame for frame in wanted if frame in there)
    if not frames:
        raise PlateError(
            expected=f"at least one of the frames {describe_frames(wanted)[:200]} of {sequence.name!r}",
            came=f"only {_name_frames(sequence.frames)}",
            action="Ask for frames that the plate has.",
        )
    return frames


def select_between(sequence: HasFrames, first: int, last: int, missing: Literal["error", "skip"]) -> tuple[int, ...]:
    """Return the existing frames from `first` to `last`. Raises PlateError for a missing one if that is an error."""
    gaps = [range(max(gap[0], first), min(gap[-1], last) + 1) for gap in sequence.gaps]
    gaps = [gap for gap in gaps if gap]
    if gaps and missing == "error":
        count, named = sum(map(len, gaps)), ",".join(describe_range(gap) for gap in gaps[:20])
        raise PlateError(
            expected=f"every frame of {sequence.name!r} from {first} to {last}",
            came=f"{_count(count)} ({named}{', ...' if len(gaps) > 20 else ''}) missing",
            action="Restore the frames, remove a stray file with a far-off number, or run without: --missing skip.",
        )
    return tuple(frame for frame in sequence.frames if first <= frame <= last)


def _absent(sequence: HasFrames, wanted: Sequence[int], absent: Sequence[int]) -> PlateError:
    """Return the error about wanted frames that do not exist: beyond the plate's ends, or missing between them."""
    first, last = sequence.frames[0], sequence.frames[-1]
    if all(frame < first or frame > last for frame in absent):
        numbered = "; a movie's first frame is number 1" if is_movie(Path(sequence.name)) and first == 1 else ""
        return PlateError(
            expected=f"frames of {sequence.name!r}, which has {first} to {last}{numbered}",
            came=f"{_name_frames(absent)} asked for and not among them",
            action="Ask for frames that the plate has, or leave the others out: --missing skip.",
        )
    return PlateError(
        expected=f"every frame of {sequence.name!r} from {wanted[0]} to {wanted[-1]}",
        came=f"{_name_frames(absent)} missing",
        action="Restore the frames, or run without them: --missing skip.",
    )


def _count(frames: int) -> str:
    return f"{frames} frame{'s' if frames != 1 else ''}"


def describe_range(frames: range) -> str:
    """Write a range as '1003-20240114', or as one number."""
    return str(frames[0]) if len(frames) == 1 else f"{frames[0]}-{frames[-1]}"


# ---------------------------------------------------------------------------------------------------- output


@dataclass(frozen=True)
class OutputPattern:
    """Holds the paths of alphas: folder/prefix<frame>suffix.

    padding:  digits of the frame number; None for a single '#', which stands for as many as the plate's have.
    numbered: False for a name without a frame token, which can hold one frame only.
    """

    folder: Path
    prefix: str
    padding: int | None
    suffix: str
    numbered: bool

    @classmethod
    def parse(cls, text: str | Path) -> OutputPattern:
        """Read 'out/alpha.####.exr', with #, #### or %04d. If there is no image suffix, '.exr' is added.

        Raises SettingError for a folder, for a format that alphas are not written in, and for a name that is not UTF-8.
        """
        path = Path(text)
        _check_utf8(path, SettingError)
        if str(text).endswith(("/", "\\")) or path.is_dir() or not path.name:
            raise SettingError(
                expected="a file name for the alphas, such as out/alpha.####.exr",
                came=f"the folder {str(text)!r}",
                action="Add the name of the files, such as alpha.####.exr.",
            )
        name = _with_suffix(path.name)
        token = _last_token(name)
        if token is None:
            return cls(path.parent, name[: -len(Path(name).suffix)], None, Path(name).suffix, numbered=False)
        if token["range"]:
            raise SettingError(
                expected="an output name with just #### in place of the frame number",
                came=f"the range {token['range']} in {name!r}",
                action="Say which frames to run with --frames.",
            )
        return cls(path.parent, name[: token.start()], _token_padding(token), name[token.end() :], numbered=True)

    @property
    def name(self) -> str:
        """Returns the pattern without its folder, as it would be written."""
        return f"{self.prefix}{'#' * (self.padding or 1) if self.numbered else ''}{self.suffix}"

    @property
    def file_suffix(self) -> str:
        """Returns '.exr' or what else the files end with."""
        return Path(f"_{self.suffix}").suffix

    def path(self, frame: int, default_padding: int) -> Path:
        """Return the file of this frame. default_padding: the plate's padding, used if the pattern has a single '#'."""
        padding = default_padding if self.padding is None else self.padding
        number = frame_text(frame, padding) if self.numbered else ""
        return self.folder / f"{self.prefix}{number}{self.suffix}"

    def check_portable(self) -> None:
        """Refuse a name that Windows cannot open. Raises SettingError."""
        check_portable(self.folder / self.name)

    def check_frames(self, frames: Sequence[int]) -> None:
        """Refuse a name without a frame token for more than one frame: each would overwrite the one before."""
        if len(frames) > 1 and not self.numbered:
            name = f"{self.prefix}{self.suffix}"
            raise SettingError(
                expected=f"a frame number in the output name, for {len(frames)} frames",
                came=repr(name),
                action=f"Write {self.prefix}.####{self.suffix}.",
            )

    def check_not_plate(self, frames: Sequence[int], default_padding: int, inputs: Iterable[Path]) -> None:
        """Refuse to write over any of the inputs (the plate's files, the mask), also through links."""
        identities = {_identity(path) for path in inputs if path.exists()}
        for frame in frames:
            output = self.path(frame, default_padding)
            if output.exists() and _identity(output) in identities:
                raise SettingError(
                    expected="an output name that no input has",
                    came=f"{str(output)!r}, which is an input",
                    action="Choose another folder or name: a run never writes over what it reads. If you have "
                    "painted on an alpha of this run, copy it to another folder and give the copy as the mask.",
                )


def _with_suffix(name: str) -> str:
    """Add .exr to a name without an image suffix; refuse a suffix that alphas are not written in."""
    suffix = Path(name).suffix
    if suffix.lower() in WRITABLE_SUFFIXES:
        return name
    if suffix.lower() in READABLE_SUFFIXES | MOVIE_SUFFIXES:
        raise SettingError(
            expected=f"an output name that ends in one of {', '.join(WRITABLE_SUFFIXES)}",
            came=f"{suffix!r} in {name!r}",
            action="Use .exr, or .png and .tif, which are written with 16 bits.",
        )
    return f"{name}.exr"


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
