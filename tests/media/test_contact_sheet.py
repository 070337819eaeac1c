# SPDX-License-Identifier: Apache-2.0
"""The contact sheet, read back from the PNG it writes."""

from itertools import pairwise

import numpy as np
import OpenImageIO as oiio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matanyone_engine.errors import OutputError
from matanyone_engine.media.contact_sheet import THUMBNAIL_WIDTH, ContactSheet, choose_preview_frames

HEIGHT, WIDTH = 90, 160
BACKGROUND = 28


def plain(value, height=HEIGHT, width=WIDTH):
    """A plate of one colour."""
    return np.broadcast_to(np.asarray(value, dtype=np.float32), (height, width, 3)).copy()


def flat(value, height=HEIGHT, width=WIDTH):
    return np.full((height, width), value, dtype=np.float32)


def read(path):
    buffer = oiio.ImageBuf(str(path))
    assert not buffer.has_error
    assert buffer.spec().format == oiio.UINT8
    return buffer.get_pixels(oiio.UINT8).astype(int)


def cells(picture, height=HEIGHT, width=WIDTH):
    """The thumbnails of a sheet, rows from the top, by the known size and gap: [[plate, alpha, composite], ...]."""
    left, top, gap = 24 + 88, 24 + 30, 10
    rows = (picture.shape[0] - top - 24 + gap) // (height + gap)
    return [
        [
            picture[
                top + row * (height + gap) : top + row * (height + gap) + height,
                left + column * (width + gap) : left + column * (width + gap) + width,
            ]
            for column in range(3)
        ]
        for row in range(rows)
    ]


def test_rows_are_the_chosen_frames_in_order(tmp_path):
    sheet = ContactSheet([1001, 1003])
    for frame, red in ((1003, 1.0), (1002, 0.5), (1001, 0.0)):
        sheet.add(frame, plain([red, 0, 0]), flat(1))
    sheet.write(tmp_path / "sheet.png")
    rows = cells(read(tmp_path / "sheet.png"))
    assert len(rows) == 2
    assert np.array_equal(np.unique(rows[0][0][..., 0]), [0])
    assert np.array_equal(np.unique(rows[1][0][..., 0]), [255])


def test_plate_alpha_and_composite_show_what_was_given(tmp_path):
    colour = [0.2, 0.5, 0.8]
    alpha = flat(0)
    alpha[:, : WIDTH // 2] = 1
    sheet = ContactSheet([1])
    sheet.add(1, plain(colour), alpha)
    sheet.write(tmp_path / "sheet.png")
    ((plate, matte, composite),) = cells(read(tmp_path / "sheet.png"))
    wanted = np.round(np.array(colour) * 255)
    assert np.abs(plate - wanted).max() <= 1
    assert (matte[:, : WIDTH // 2] == 255).all()
    assert (matte[:, WIDTH // 2 :] == 0).all()
    assert np.abs(composite[:, : WIDTH // 2] - wanted).max() <= 1
    checker = np.unique(composite[:, WIDTH // 2 :].reshape(-1, 3), axis=0)
    assert len(checker) == 2
    assert (np.abs(checker - checker[:, :1]) <= 1).all()
    assert 90 < checker.min() < checker.max() < 140


def test_the_composite_is_mixed_in_linear_light(tmp_path):
    """White at half opacity over grey g is (1 + g) / 2 in light; mixed in encoded values it would be far darker."""
    sheet = ContactSheet([1, 2])
    sheet.add(1, plain(1), flat(0.5))
    sheet.add(2, plain(0), flat(0.5))
    sheet.write(tmp_path / "sheet.png")
    (_, _, bright), (_, _, dark) = cells(read(tmp_path / "sheet.png"))
    assert 195 <= bright.min() <= bright.max() <= 205  # encoded mixing gives about 180
    assert 65 <= dark.min() <= dark.max() <= 95


def test_wide_plates_are_shrunk_in_proportion_and_small_ones_kept(tmp_path):
    sheet = ContactSheet([1])
    sheet.add(1, plain(0.5, 540, 960), flat(0.25, 540, 960))
    sheet.write(tmp_path / "wide.png")
    (row,) = cells(read(tmp_path / "wide.png"), 270, THUMBNAIL_WIDTH)
    assert np.abs(row[1] - 64).max() <= 1
    small = ContactSheet([1])
    small.add(1, plain(0.5, 8, 6), flat(1, 8, 6))
    small.write(tmp_path / "small.png")
    assert read(tmp_path / "small.png").shape[1] > 3 * 6


def test_numbers_and_titles_are_written(tmp_path):
    def gutter(frame):
        sheet = ContactSheet([frame])
        sheet.add(frame, plain(0.5), flat(1))
        sheet.write(tmp_path / "sheet.png")
        picture = read(tmp_path / "sheet.png")
        assert (picture[:54, 112:] > BACKGROUND + 60).any()
        return picture[54:144, :112]

    one, other = gutter(1001), gutter(-7)
    assert (one > BACKGROUND + 100).any()
    assert not np.array_equal(one, other)


def test_only_chosen_frames_are_wanted_and_values_outside_the_range_are_clipped(tmp_path):
    sheet = ContactSheet([5])
    assert sheet.wants(5)
    assert not sheet.wants(6)
    sheet.add(5, plain([1.7, -0.3, 0.5]), flat(1.2))
    sheet.write(tmp_path / "sheet.png")
    ((plate, matte, _),) = cells(read(tmp_path / "sheet.png"))
    assert np.abs(plate - [255, 0, 128]).max() <= 1
    assert (matte == 255).all()


def test_a_sheet_without_frames_is_an_error(tmp_path):
    sheet = ContactSheet([1])
    sheet.add(2, plain(0.5), flat(1))
    with pytest.raises(OutputError, match="finished frame"):
        sheet.write(tmp_path / "sheet.png")
    assert list(tmp_path.iterdir()) == []


def test_a_sheet_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    sheet = ContactSheet([1])
    sheet.add(1, plain(0.5), flat(1))
    (tmp_path / "sheet.png").mkdir()
    with pytest.raises(OutputError, match="contact sheet"):
        sheet.write(tmp_path / "sheet.png")
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.png"]


def test_a_path_beyond_ascii_and_an_older_sheet_are_no_trouble(tmp_path):
    path = tmp_path / "größe 絵" / "sheet.png"
    for value in (0.1, 0.9):
        sheet = ContactSheet([1])
        sheet.add(1, plain(value), flat(1))
        sheet.write(path)
    assert cells(read(path))[0][0].min() >= 228
    assert len(list(path.parent.iterdir())) == 1


@given(st.lists(st.integers(-50, 2000), unique=True, max_size=80).map(sorted), st.integers(2, 8))
def test_preview_frames_are_spread_over_the_shot(frames, count):
    chosen = choose_preview_frames(frames, count)
    assert len(chosen) == min(count, len(frames))
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(frames)
    if frames:
        assert (chosen[0], chosen[-1]) == (frames[0], frames[-1])
    places = [frames.index(frame) for frame in chosen]
    steps = [after - before for before, after in pairwise(places)]
    assert not steps or max(steps) - min(steps) <= 1
