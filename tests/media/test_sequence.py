# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matanyone_engine.errors import FrameRangeError, PlateError, SettingError
from matanyone_engine.media.images import read_header
from matanyone_engine.media.plates import open_plate
from matanyone_engine.media.sequence import (
    FrameSequence,
    OutputPattern,
    describe_frames,
    find_sequence,
    frame_text,
    is_movie,
    parse_frames,
    select_between,
    select_frames,
)

FRAME_SETS = st.sets(st.integers(-10_000, 100_000), min_size=1, max_size=60)


def make_files(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


# ---------------------------------------------------------------------------------------------- frame ranges


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("10", (10,)),
        ("-5", (-5,)),
        ("1-3", (1, 2, 3)),
        ("-5--1,-3-2", (-5, -4, -3, -2, -1, 0, 1, 2)),
        ("1060-1080x10,1050", (1050, 1060, 1070, 1080)),
        ("1-10x4", (1, 5, 9)),
        (" 1 - 3 , 7 - 9 x 2 ", (1, 2, 3, 7, 9)),
        ("5,5,4", (4, 5)),
        ("007-009", (7, 8, 9)),
    ],
)
def test_frame_ranges_are_read(text: str, frames: tuple[int, ...]) -> None:
    assert parse_frames(text) == frames


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "1,", "1-", "-", "--5", "1--", "1-2-3", "a", "1:3", "1-3x", "1-3x0", "1-3x-1", "3-1"),
        *("1..3", "1.5", "1-3 5", "²", "١", "1-10000000000", "1-900000,1000000-1900000"),
    ],
)
def test_what_is_no_frame_range_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(FrameRangeError, match=re.escape(repr(text))):
        parse_frames(text)


@given(FRAME_SETS)
def test_described_frames_parse_back(frames: set[int]) -> None:
    assert parse_frames(describe_frames(frames)) == tuple(sorted(frames))


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ((), ""),
        ((1, 2, 3, 7), "1-3,7"),
        ((1060, 1062, 1064), "1060-1064x2"),
        ((1, 2, 9, 20), "1-2,9,20"),
        ((-3, -2, -1, 0), "-3-0"),
    ],
)
def test_descriptions_are_short(frames: tuple[int, ...], text: str) -> None:
    assert describe_frames(frames) == text


# ------------------------------------------------------------------------------------------- patterns and folders


@pytest.mark.parametrize("pattern", ["p.####.exr", "p.%04d.exr", "p.#.exr", "p.1001-1003#.exr", "p.1001-1003####.exr"])
def test_patterns_of_all_kinds_are_read(tmp_path: Path, pattern: str) -> None:
    make_files(tmp_path, "p.1001.exr", "p.1002.exr", "p.1003.exr", "p.1003.png", "pp.1004.exr", ".p.1004.exr.7.tmp")
    sequence = find_sequence(tmp_path / pattern)
    assert sequence.frames == (1001, 1002, 1003)
    assert sequence.padding == 4
    assert sequence.path(7) == tmp_path / "p.0007.exr"
    assert sequence.missing == ()


def test_printf_without_width_means_no_padding(tmp_path: Path) -> None:
    make_files(tmp_path, "p.9.exr", "p.10.exr", "p.012.exr")
    assert find_sequence(tmp_path / "p.%d.exr").frames == (9, 10)


def test_more_digits_than_the_padding_are_the_same_sequence(tmp_path: Path) -> None:
    make_files(tmp_path, "p.9998.exr", "p.9999.exr", "p.10000.exr", "p.09999.exr")
    assert find_sequence(tmp_path / "p.####.exr").frames == (9998, 9999, 10000)


def test_a_pattern_that_would_leave_out_the_first_frames_is_refused(tmp_path: Path) -> None:
    """8, 9, 10 without padding, and ## written by habit: the plate would begin at 10, and nothing would be missing."""
    make_files(tmp_path, *(f"p.{frame}.exr" for frame in (8, 9, 10, 11)))
    assert find_sequence(tmp_path / "p.#.exr").frames == (8, 9, 10, 11)
    with pytest.raises(FrameRangeError, match=r"right beside them: 2 frames \(8-9\). Write one #"):
        find_sequence(tmp_path / "p.##.exr")
    (tmp_path / "p.9.exr").unlink()  # a stray file with fewer digits is not the beginning of the sequence
    assert find_sequence(tmp_path / "p.##.exr").frames == (10, 11)


@pytest.mark.parametrize(
    ("others", "pattern"),
    [
        (("p.01001.exr", "p.01002.exr"), "p.####.exr"),
        (("p.998.exr",), "p.%04d.exr"),
        (("p.01001.exr",), "p.%d.exr"),
        (("p.01001.exr",), "p.990-1010####.exr"),
    ],
)
def test_frames_with_other_digits_at_an_end_are_not_left_out(
    tmp_path: Path, others: tuple[str, ...], pattern: str
) -> None:
    """Two renders into one folder: the plate would end, or begin, in the middle, and nothing would be missing."""
    plain = ("p.999.exr", "p.1000.exr") if "%d" in pattern else ("p.0999.exr", "p.1000.exr")
    make_files(tmp_path, *plain)
    assert find_sequence(tmp_path / pattern).frames == (999, 1000)
    make_files(tmp_path, *others)
    with pytest.raises(FrameRangeError, match=r"other digits right beside them.*(998|1001).*Rename those files"):
        find_sequence(tmp_path / pattern)
    (tmp_path / plain[0]).unlink()
    assert find_sequence(tmp_path / "p.1000-1000####.exr").frames == (1000,)  # the range asks for no more


def test_negative_frames_as_printf_writes_them_are_not_left_out(tmp_path: Path) -> None:
    """Of C's %04d the sign takes one of the four places: -001, where this program writes -0001."""
    make_files(tmp_path, "p.-002.exr", "p.-001.exr", "p.0000.exr", "p.0001.exr")
    with pytest.raises(FrameRangeError, match=r"other digits right beside them: 2 frames .-2--1.. Rename"):
        find_sequence(tmp_path / "p.####.exr")


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_broken_link_is_named_as_one(tmp_path: Path) -> None:
    """Not a file that is there and is spelled like itself."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "p.exr").symlink_to("gone.exr")
    for name in ("loop", "p.exr"):
        with pytest.raises(PlateError, match="a link to nothing, or to itself"):
            find_sequence(tmp_path / name)
    with pytest.raises(PlateError, match="Too many levels of symbolic links"):
        find_sequence(tmp_path / "loop" / "p.####.exr")


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_broken_link_counts_as_a_frame_that_cannot_be_read(tmp_path: Path) -> None:
    """A publish that is not mounted here, say: left out, a shot would end early, and nobody would miss the frames."""
    make_files(tmp_path, "p.1001.exr", "p.1002.exr")
    for name in ("p.1003.exr", "latest.0001.exr", "latest.exr"):
        (tmp_path / name).symlink_to("/nowhere/else.exr")
    for text in (tmp_path, tmp_path / "p.####.exr", tmp_path / "p.#.exr"):
        assert find_sequence(text).frames == (1001, 1002, 1003)
    with pytest.raises(PlateError, match="a link to a file that is not there"):
        open_plate(tmp_path).check(1003)


@pytest.mark.parametrize(
    ("name", "other"),
    [("p.1002.exr", "P.1001.exr"), ("p.1002.exr", "p.1003.EXR"), ("caf\u00e9.1002.exr", "cafe\u0301.1001.exr")],
)
def test_a_frame_that_is_spelled_otherwise_is_not_left_out(tmp_path: Path, name: str, other: str) -> None:
    make_files(tmp_path, name, other)
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system knows one spelling")
    pattern = tmp_path / name.replace("1002", "####")
    with pytest.raises(FrameRangeError, match="spelled alike"):
        find_sequence(pattern)
    (tmp_path / other).rename(tmp_path / other.replace("1001", "2001").replace("1003", "2003"))
    assert find_sequence(pattern).frames == (1002,)


def test_negative_frames_keep_sign_and_padding(tmp_path: Path) -> None:
    make_files(tmp_path, "p.-0002.exr", "p.-0001.exr", "p.0000.exr", "p.0001.exr")
    for text in (tmp_path, tmp_path / "p.####.exr", tmp_path / "p.-2-1#.exr"):
        sequence = find_sequence(text)
        assert sequence.frames == (-2, -1, 0, 1)
        assert sequence.path(-2).is_file()


def test_frames_missing_from_a_patterns_range_are_gaps(tmp_path: Path) -> None:
    make_files(tmp_path, "p.1001.exr", "p.1003.exr", "p.1010.exr")
    sequence = find_sequence(tmp_path / "p.1000-1004#.exr")
    assert sequence.frames == (1001, 1003)
    assert sequence.missing == (1000, 1002, 1004)


def test_gaps_between_first_and_last_are_found(tmp_path: Path) -> None:
    make_files(tmp_path, "p.1001.exr", "p.1002.exr", "p.1005.exr")
    assert find_sequence(tmp_path).missing == (1003, 1004)


@pytest.mark.parametrize(
    "names",
    [
        ("sh010.v002.left.1001.exr", "sh010.v002.left.1002.exr"),
        ("sh [010] ü 日本.1001.exr", "sh [010] ü 日本.1002.exr"),
        ("p.1001.left2.exr", "p.1002.left2.exr"),
        ("plate_v003_1001.exr", "plate_v003_1002.exr"),
        ("plate-1001.exr", "plate-1002.exr"),
        ("1001.exr", "1002.exr"),
        ("100%.1001.exr", "100%.1002.exr"),
    ],
)
def test_a_folder_with_one_sequence(tmp_path: Path, names: tuple[str, str]) -> None:
    folder = make_files(tmp_path / "a #1 ñ [x].%04d", *names, "notes.txt", ".hidden.1001.exr", "movie.mov")
    sequence = find_sequence(folder)
    assert sequence.frames == (1001, 1002)
    assert [sequence.path(frame).name for frame in sequence.frames] == list(names)
    again = find_sequence(folder / sequence.name)
    assert again == sequence


def test_a_folder_with_two_sequences_lists_both(tmp_path: Path) -> None:
    make_files(tmp_path, "a.1.exr", "a.2.exr", "b.1.exr")
    with pytest.raises(FrameRangeError, match=r"'a\.#\.exr', 'b\.#\.exr'"):
        find_sequence(tmp_path)


def test_two_paddings_are_two_sequences(tmp_path: Path) -> None:
    make_files(tmp_path, "a.1.exr", "a.04.exr")
    with pytest.raises(FrameRangeError, match=r"'a\.##\.exr', 'a\.#\.exr'"):
        find_sequence(tmp_path)
    with pytest.raises(FrameRangeError, match="1 and 2 digits"):
        find_sequence(tmp_path / "a.#.exr")
    assert find_sequence(tmp_path / "a.##.exr").frames == (4,)


def test_versions_are_not_frames(tmp_path: Path) -> None:
    make_files(tmp_path, "mask_v001.png", "mask_v002.png")
    with pytest.raises(FrameRangeError, match=r"mask_v001\.png.*mask_v002\.png"):
        find_sequence(tmp_path)


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("p.1001.exr", 1001),
        ("p.-0005.exr", -5),
        ("p-0005.exr", 5),
        ("00000.jpg", 0),
        ("p.-0000.exr", 0),
        ("plate.exr", 1),
        ("mask_v2.png", 1),
        ("hair_720p.png", 1),
        ("no suffix", 1),
        ("p.####.exr", 1),
    ],
)
def test_one_file_is_one_frame(tmp_path: Path, name: str, frame: int) -> None:
    make_files(tmp_path, name, "p.1002.exr")
    sequence = find_sequence(tmp_path / name)
    assert sequence.frames == (frame,)
    assert sequence.path(frame) == tmp_path / name
    assert sequence.missing == ()


@pytest.mark.parametrize(
    "text", ["nothing.exr", "nothing.####.exr", "nowhere/p.####.exr", "x" * 300 + ".exr", "p.###.exr"]
)
def test_a_missing_path_is_an_error(tmp_path: Path, text: str) -> None:
    make_files(tmp_path, "p.01.exr")
    with pytest.raises(PlateError):
        find_sequence(tmp_path / text)


def test_a_folder_without_images(tmp_path: Path) -> None:
    make_files(tmp_path, "readme.txt")
    with pytest.raises(PlateError, match="without image files"):
        find_sequence(tmp_path)


@pytest.mark.parametrize(
    ("name", "prefix", "declared"),
    [
        ("v2-1001-1002#.exr", "v2-", (1001, 1002)),
        ("p.-5--4#.exr", "p.", (-5, -4)),
        ("p--5--4#.exr", "p-", (-5, -4)),
        ("p-5-6#.exr", "p-", (5, 6)),
        ("p.1-9x4##.exr", "p.", (1, 5, 9)),
        ("sh010.#.exr", "sh010.", None),
    ],
)
def test_ranges_in_patterns_are_read_from_the_right(
    tmp_path: Path, name: str, prefix: str, declared: tuple[int, ...] | None
) -> None:
    padding = 2 if "##" in name else 1
    frame = (declared or (3,))[0]
    make_files(tmp_path, f"{prefix}{frame_text(frame, padding)}.exr")
    sequence = find_sequence(tmp_path / name)
    assert (sequence.prefix, sequence.declared, sequence.frames) == (prefix, declared, (frame,))


NAME_PARTS = st.text(st.sampled_from("abvV 019.-_[](){}%éß日+"), max_size=12)


@settings(max_examples=150, deadline=None)
@given(NAME_PARTS, st.integers(1, 6), st.sets(st.integers(-120, 12_000), min_size=1, max_size=8))
def test_a_pattern_finds_the_files_that_it_wrote(
    tmp_path_factory: pytest.TempPathFactory, prefix: str, padding: int, frames: set[int]
) -> None:
    prefix = f"p{prefix}."
    folder = tmp_path_factory.mktemp("any")
    pattern = OutputPattern.parse(folder / f"{prefix}{'#' * padding}.exr")
    make_files(folder, *(pattern.path(frame, padding).name for frame in frames))
    for text in (folder / f"{prefix}%0{padding}d.exr", folder / f"{prefix}{min(frames)}-{max(frames)}#.exr"):
        found = find_sequence(text)
        assert found.prefix == prefix
        assert found.frames == tuple(sorted(frames))
        assert all(found.path(frame).is_file() for frame in found.frames)


# ------------------------------------------------------------------------------------------------- selection


SEQUENCE = FrameSequence(Path("x"), "p.", 4, ".exr", (1001, 1002, 1005, 1006))


def test_all_frames_are_selected_or_the_wanted_ones() -> None:
    whole = FrameSequence(Path("x"), "p.", 4, ".exr", (1, 2, 3))
    assert select_frames(whole, None, "error") == (1, 2, 3)
    assert select_frames(whole, (2, 3), "error") == (2, 3)


def test_a_gap_is_named_with_what_to_do() -> None:
    with pytest.raises(PlateError, match=r"2 frames \(1003-1004\) missing.*--missing skip"):
        select_frames(SEQUENCE, None, "error")
    assert select_frames(SEQUENCE, None, "skip") == (1001, 1002, 1005, 1006)


def test_only_the_wanted_frames_can_be_missing() -> None:
    assert select_frames(SEQUENCE, (1005, 1006), "error") == (1005, 1006)
    with pytest.raises(PlateError, match=r"1 frame \(1007\)"):
        select_frames(SEQUENCE, (1006, 1007), "error")


def test_skipping_everything_is_an_error() -> None:
    with pytest.raises(PlateError, match="1-3"):
        select_frames(SEQUENCE, (1, 2, 3), "skip")


def test_a_long_list_of_missing_frames_is_cut() -> None:
    holes = FrameSequence(Path("x"), "p.", 4, ".exr", tuple(n * n for n in range(200)))
    with pytest.raises(PlateError) as caught:
        select_frames(holes, None, "error")
    assert len(str(caught.value)) < 600
    assert "39402 frames" in str(caught.value)


# ---------------------------------------------------------------------------------------------------- output


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("alpha.####.exr", "alpha.0007.exr"),
        ("alpha.%05d.png", "alpha.00007.png"),
        ("alpha.#.exr", "alpha.007.exr"),
        ("alpha_#####", "alpha_00007.exr"),
        ("sh010.v2.##.TIF", "sh010.v2.07.TIF"),
        ("ü [1] %04d.exr", "ü [1] 0007.exr"),
        ("alpha.%d.exr", "alpha.7.exr"),
        ("alpha", "alpha.exr"),
    ],
)
def test_output_names(tmp_path: Path, text: str, name: str) -> None:
    assert OutputPattern.parse(tmp_path / text).path(7, default_padding=3) == tmp_path / name


def test_output_keeps_negative_frames() -> None:
    assert OutputPattern.parse("a.####.exr").path(-5, 4) == Path("a.-0005.exr")


@pytest.mark.parametrize("text", ["alpha.####.jpg", "alpha.mov", "out/", "alpha.1-5#.exr"])
def test_impossible_output_names_are_refused(text: str) -> None:
    with pytest.raises(SettingError):
        OutputPattern.parse(text)


def test_a_folder_is_no_output_name(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="alpha"):
        OutputPattern.parse(tmp_path)


def test_one_name_cannot_hold_many_frames() -> None:
    single = OutputPattern.parse("alpha.exr")
    single.check_frames((1001,))
    with pytest.raises(SettingError, match=r"alpha\.####\.exr"):
        single.check_frames((1001, 1002))
    OutputPattern.parse("alpha.#.exr").check_frames((1001, 1002))


def test_the_plate_is_never_written_over(tmp_path: Path) -> None:
    plate = [make_files(tmp_path / "plate", "p.0001.exr") / "p.0001.exr"]
    (tmp_path / "link").symlink_to(tmp_path / "plate")
    for text in ("plate/p.####.exr", "link/p.%04d.exr", "plate/../plate/p.0001.exr"):
        with pytest.raises(SettingError, match="an input") as refused:
            OutputPattern.parse(tmp_path / text).check_not_plate((1,), 4, plate)
        assert "painted on an alpha of this run, copy it to another folder" in refused.value.action
    OutputPattern.parse(tmp_path / "plate/a.####.exr").check_not_plate((1,), 4, plate)
    OutputPattern.parse(tmp_path / "plate/p.####.exr").check_not_plate((2,), 4, plate)


# ------------------------------------------------------------------------------------------------ found in the field


def test_one_stray_file_with_a_far_number_is_named_at_once_and_takes_no_memory(tmp_path: Path) -> None:
    for number in (1001, 1002, 20240115, 1364769281):
        (tmp_path / f"plate.{number}.exr").write_bytes(b"")
    sequence = find_sequence(tmp_path)
    tracemalloc.start()
    with pytest.raises(PlateError, match=r"1364768277 frames \(1003-20240114,20240116-1364769280\) missing"):
        select_frames(sequence, None, "error")
    assert select_frames(sequence, None, "skip") == (1001, 1002, 20240115, 1364769281)
    assert select_between(sequence, 1001, 1002, "error") == (1001, 1002)
    with pytest.raises(PlateError, match="1003-2000"):
        select_between(sequence, 1001, 2000, "error")
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_frames_outside_of_a_plate_are_not_called_missing() -> None:
    whole = FrameSequence(Path("x"), "p.", 4, ".exr", tuple(range(1, 49)))
    with pytest.raises(PlateError) as refusal:
        select_frames(whole, tuple(range(48)), "error")
    assert "which has 1 to 48" in refusal.value.expected
    assert "1 frame (0) asked for" in refusal.value.came
    assert "missing" not in refusal.value.came


@pytest.mark.parametrize("name", ["clip.mts", "clip.M2TS", "clip.ts", "clip.mxf", "clip.3gp", "clip.wmv"])
def test_suffixes_of_camera_files_are_movies(name: str) -> None:
    assert is_movie(Path(name))


@pytest.mark.parametrize("folder", ["50% done", "100%04d", "{shot}", "take#3", "take####", "a:b", "x=1", "%V"])
def test_tokens_in_folder_names_are_not_replaced(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    for number in (1, 2):
        (tmp_path / folder / f"plate.{number:04d}.exr").write_bytes(b"")
    for text in (tmp_path / folder, tmp_path / folder / "plate.####.exr", tmp_path / folder / "plate.%04d.exr"):
        assert find_sequence(text).frames == (1, 2)
    assert find_sequence(tmp_path / folder / "plate.0002.exr").frames == (2,)


@pytest.mark.parametrize("name", ["take:01.exr", "a#.exr", "p.####.exr", "p.%04d.exr", "{x}.exr", "100%.exr"])
def test_a_name_that_is_exactly_on_disk_is_that_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    sequence = find_sequence(tmp_path / name)
    assert [sequence.path(frame) for frame in sequence.frames] == [tmp_path / name]


NFC, NFD = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize("asked", ["{}/p.####.exr", "{}", "{}/p.0001.exr"])
def test_a_folder_that_is_spelled_otherwise_is_named(tmp_path: Path, asked: str) -> None:
    """Such names look the same on any screen: from a Mac they come with accents apart, from elsewhere in one."""
    (tmp_path / NFD).mkdir()
    (tmp_path / NFD / "p.0001.exr").touch()
    why = r"which is not there; 'cafe\\u0301' is, and differs from 'caf\\xe9' in the way that accents are stored"
    with pytest.raises(PlateError, match=why):
        find_sequence(tmp_path / asked.format(NFC))
    with pytest.raises(PlateError, match=r"which is not there\. Check"):
        find_sequence(tmp_path / asked.format("cafe"))


def test_files_that_are_spelled_otherwise_are_named(tmp_path: Path) -> None:
    (tmp_path / f"{NFD}.0001.exr").touch()
    (tmp_path / "Q.0001.exr").touch()
    with pytest.raises(PlateError, match=r"no such file in .*; 'cafe\\u0301\.0001\.exr' is, .* accents are stored"):
        find_sequence(tmp_path / f"{NFC}.####.exr")
    with pytest.raises(PlateError, match=r"no such file in .*; 'Q\.0001\.exr' is, .* in capitals"):
        find_sequence(tmp_path / "q.####.exr")
    with pytest.raises(PlateError, match=r"there is no such file; 'Q\.0001\.exr' is, .* in capitals"):
        read_header(tmp_path / "q.0001.exr")
