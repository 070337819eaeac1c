# SPDX-License-Identifier: Apache-2.0
"""A size is written in two orders, and each says which one it is."""

from __future__ import annotations

from matanyone_engine.sizes import Resolution, Size


def test_each_turns_into_the_other() -> None:
    assert Size(1080, 1920).resolution == Resolution(1920, 1080)
    assert Resolution(1920, 1080).size == Size(1080, 1920)
    assert Resolution(1920, 1080).size.resolution == Resolution(1920, 1080)


def test_people_read_the_width_first() -> None:
    assert str(Size(1080, 1920)) == str(Resolution(1920, 1080)) == "1920x1080"
