# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine review: the command, and its page in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, browsing, chromium
from shots import Shot, make_shot

from matanyone_engine.cli.main import main
from matanyone_engine.matting.confidence import DOUBTFUL
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.wire.reasons import REASONS


def frames_of(record: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(record.read_text())["frames"]
    return said


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    made = make_shot(tmp_path_factory.mktemp("review"), count=7)
    key = ["--mask", f"{made.mask}@1001", "--mask", f"{made.mask}@1005"]
    assert main(made.arguments(*key)) == 0
    return made


@pytest.fixture(scope="module")
def page(shot: Shot) -> Path:
    assert main(["review", str(shot.out)]) == 0
    return shot.out / "review.html"


def test_it_prints_the_worst_frames_and_the_path_of_the_page(
    shot: Shot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "look.html"
    assert main(["review", str(shot.out / "alpha.####.exr"), "--out", str(out), "--pictures", "3"]) == 0
    said = capsys.readouterr().err
    assert f"page    {out}" in said
    assert "doubt   subject" in said
    assert out.read_text().count('class="card"') == 3


@pytest.mark.parametrize(
    ("options", "code"),
    [(["--out", "look.pdf"], 2), (["--pictures", "0"], 2), (["--width", "9"], 2), (["--plate", "none.####.exr"], 2)],
)
def test_impossible_requests_are_refused_before_any_work(shot: Shot, options: list[str], code: int) -> None:
    assert main(["review", str(shot.out), *options]) == code


def test_matte_and_info_print_confidences(shot: Shot, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shot.arguments("--out", str(tmp_path / "a.####.exr"))) == 0
    told = capsys.readouterr().err
    assert "frames have a low confidence: " in told
    lines = {frame: each["confidence"]["subject"] for frame, each in frames_of(tmp_path / "a.matanyone.json").items()}
    for why in {each["why"] for each in lines.values() if each["value"] < DOUBTFUL}:
        frames = [int(frame) for frame, each in lines.items() if each["value"] < DOUBTFUL and each["why"] == why]
        assert f"        {REASONS[why]} ({describe_frames(frames)})\n" in told
    said = lines["1003"]
    assert main(["info", str(tmp_path / "a.1003.exr")]) == 0
    printed = capsys.readouterr().out
    assert re.search(rf"  confidence +{said['value']:.3f}\n", printed)
    assert re.search(rf"  confidenceWhy +{said['why']}: {re.escape(REASONS[said['why']])}\n", printed)


# --------------------------------------------------------------------------------------------------- in a real browser

needs_browser = pytest.mark.skipif(chromium() is None, reason="no Chromium: apt-get install chromium-headless-shell")


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator[Browser]:
    with browsing() as opened:
        opened.resize(1440, 900)
        opened.prefer("dark")
        opened.open(page)
        yield opened


@pytest.fixture
def worst(shot: Shot) -> list[int]:
    """Frames, the least sure first."""
    frames = frames_of(shot.out / "alpha.matanyone.json")
    return sorted(map(int, frames), key=lambda frame: frames[str(frame)]["confidence"]["subject"]["value"])


def frame(browser: Browser) -> int:
    return int(browser.value("document.querySelector('.number').textContent"))


def shown(browser: Browser, what: str) -> bool:
    """Whether the large picture is this one of the frame."""
    return bool(
        browser.value(
            f"(() => {{ const card = document.querySelector('.card[data-frame=\"{frame(browser)}\"]');"
            f" return document.getElementById('shown').src === card.querySelector('img.{what}').src; }})()"
        )
    )


@needs_browser
def test_the_page_opens_without_asking_for_anything(browser: Browser, page: Path) -> None:
    assert browser.requests == [page.as_uri()]
    assert browser.complaints == []
    broken = "[...document.images].filter((img) => !img.complete || !img.naturalWidth).length"
    assert browser.value(broken) == 0
    assert browser.value("document.images.length") > 7


@needs_browser
def test_it_starts_at_the_worst_frame_and_the_keyboard_goes_on(browser: Browser, worst: list[int]) -> None:
    assert frame(browser) == worst[0]
    browser.press("ArrowDown")
    assert frame(browser) == worst[1]
    assert browser.value("document.querySelector('[aria-current=true]').dataset.frame") == str(worst[1])
    browser.press("ArrowUp")
    browser.press("Home")
    assert frame(browser) == 1001
    browser.press("ArrowRight")
    assert frame(browser) == 1002
    browser.press("End")
    assert frame(browser) == 1007
    browser.press("ArrowRight")
    assert frame(browser) == 1007


@needs_browser
def test_pictures_change_with_the_number_keys(browser: Browser) -> None:
    browser.press("2")
    assert shown(browser, "alpha")
    browser.press("3")
    assert shown(browser, "checker")
    checker = browser.value("document.getElementById('shown').src")
    browser.press("4")
    assert browser.value("document.getElementById('shown').src") != checker
    browser.press("3")


@needs_browser
def test_a_click_in_a_plot_goes_to_its_frame(browser: Browser) -> None:
    browser.press("Home")
    browser.click(".plot.confidence")  # in the middle of seven frames
    assert frame(browser) == 1004
    assert "blended from 1001 and 1005" in browser.value("document.getElementById('now').textContent")
    browser.click(".card:nth-child(1)")
    assert frame(browser) == int(browser.value("document.querySelector('.card').dataset.frame"))


@needs_browser
def test_what_is_said_of_a_frame_is_what_the_record_says(browser: Browser, shot: Shot) -> None:
    browser.press("Home")
    browser.press("ArrowRight")
    said = frames_of(shot.out / "alpha.matanyone.json")["1002"]["confidence"]["subject"]
    text = browser.value("document.getElementById('now').innerText")
    assert f"{said['value']:.2f}" in text
    assert json.loads(browser.value("document.getElementById('data').textContent"))["frames"] == list(range(1001, 1008))


@needs_browser
def test_light_and_dark_and_help(browser: Browser) -> None:
    def ground() -> str:
        return str(browser.value("getComputedStyle(document.body).backgroundColor"))

    dark = ground()
    browser.press("t")
    assert ground() != dark
    browser.press("t")
    assert ground() == dark
    browser.press("?")
    assert browser.value("document.getElementById('keys').open")
    browser.value("document.getElementById('keys').close()")


@needs_browser
@pytest.mark.parametrize("width", [1600, 1000, 500])
def test_the_page_needs_no_horizontal_scrolling(browser: Browser, width: int) -> None:
    browser.resize(width, 900)
    assert browser.value("document.documentElement.scrollWidth") <= width
