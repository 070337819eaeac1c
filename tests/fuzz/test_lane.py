# SPDX-License-Identifier: Apache-2.0
"""The fuzz lane finds what it looks for; `make fuzz` runs it for longer."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import lane
import numpy as np
import pytest
import reading
import texts
from files import write_images

from matanyone_engine.media.images import Plate, read_plate


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return next(path for path in write_images(tmp_path / "images") if path.suffix == ".exr")


@pytest.mark.parametrize("number", [1, 2])
def test_a_file_that_is_read_well_is_no_find(base: Path, number: int, tmp_path: Path) -> None:
    assert reading.damaged(base, number) == reading.damaged(base, number) != base.read_bytes()
    assert reading.read_damaged(base, number, tmp_path / "case") == ""


def test_a_defect_is_a_find(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_path: Path) -> Plate:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(reading, "read_plate", broken)
    assert "ZeroDivisionError" in reading.read_damaged(base, 2, tmp_path / "case")


def test_other_pixels_from_a_cut_file_are_a_find(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_plate(base)
    monkeypatch.setattr(reading, "_WHOLE", {base: [whole.canvas]})
    monkeypatch.setattr(reading, "read_plate", lambda _: dataclasses.replace(whole, rgb=np.zeros_like(whole.rgb)))
    assert "differs" in reading.read_damaged(base, 1, tmp_path / "case")


def test_a_defect_of_the_codec_is_a_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_message: object) -> None:
        raise KeyError("a defect")

    finds = lane.Finds(tmp_path / "finds")
    lane._round(texts.check_message, "messages", 1, finds)
    assert not finds.found
    monkeypatch.setattr(texts, "decode", broken)
    lane._round(texts.check_message, "messages", 1, finds)
    assert "KeyError" in finds.found["messages-1"]
    assert (tmp_path / "finds" / "messages-1.txt").read_text()
