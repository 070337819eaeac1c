# SPDX-License-Identifier: Apache-2.0
"""What a confidence is made of, on alphas whose faults are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy import disc, plates, toy_network

from matanyone_engine import MattingSession
from matanyone_engine.matting.confidence import (
    DOUBTFUL,
    EMPTY,
    OUTVOTED,
    REASON_CODES,
    Confidence,
    Signals,
    confidence,
    covered,
    measured,
    mixed,
    without_guide,
)
from matanyone_engine.wire import reasons
from matanyone_engine.wire.reasons import REASONS, reason

WHOLE = (270, 480)
CLEAN = disc(*WHOLE, radius=80)[None, None]


def judged(alpha: torch.Tensor, change: torch.Tensor | None = None, before: torch.Tensor | None = CLEAN) -> Confidence:
    return confidence(measured(alpha, change, None if before is None else covered(before, WHOLE), WHOLE))


def test_a_clean_matte_is_trusted() -> None:
    sure = judged(CLEAN)
    assert sure.value > 0.95
    assert sure.why == ""


def test_the_width_of_the_edge_is_measured_in_pixels_of_the_plate() -> None:
    """A straight edge that rises over w pixels has grey w * 2/3 for each pixel of its length."""
    ramp = ((torch.arange(480) - 200) / 30.0).clamp(0, 1).expand(1, 1, *WHOLE)
    assert measured(ramp, None, None, WHOLE).edge == pytest.approx(30 * 2 / 3 / 270, rel=0.01)


def test_a_grey_alpha_has_a_low_confidence() -> None:
    wash = CLEAN * 0.5
    assert judged(wash, before=wash).value < DOUBTFUL
    assert judged(wash, before=wash).why in ("edge", "grey")


def test_the_softer_the_less_sure() -> None:
    soft = [torch.nn.functional.avg_pool2d(CLEAN, size, 1, size // 2) for size in (1, 5, 21, 61)]
    values = [judged(alpha, before=alpha).value for alpha in soft]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 4


def test_a_part_that_is_lost_at_once_is_doubted_on_that_frame() -> None:
    half = CLEAN.clone()
    half[..., :250] = 0
    lost, later = judged(half), judged(half, before=half)
    assert lost.why == "jump"
    assert lost.value < 0.3
    assert later.value > 0.9
    assert judged(CLEAN, before=half).value == pytest.approx(lost.value, abs=0.05)  # gained, or lost


def test_a_subject_that_is_new_all_over_is_doubted_a_little() -> None:
    cells = (17, 30)
    calm, new = torch.zeros(1, 1, *cells), torch.ones(1, 1, *cells)
    assert judged(CLEAN, calm).value > judged(CLEAN, new).value > 0.85
    elsewhere = new.clone()
    elsewhere[..., 8:22] = 0
    assert measured(CLEAN, elsewhere, None, WHOLE).change == 0  # only the subject's cells count


def test_nothing_to_be_seen_is_not_trusted() -> None:
    gone = judged(torch.zeros_like(CLEAN))
    assert (gone.value, gone.why) == (0.0, EMPTY)


def test_a_guide_that_changes_a_quarter_is_named_first() -> None:
    soft = Signals(0.2, 0.0, 0.2, 0.9)
    for part, named in ((None, "edge"), (0.2, "edge"), (0.25, "guide"), (0.6, "guide")):
        assert confidence(replace(soft, guide=part)).why == named
    assert confidence(Signals(0.2, 0.0, 0.001, guide=0.05)).why == ""
    assert confidence(Signals(0.2, 0.0, 0.001, guide=0.1)).why == "guide"


def test_a_guide_that_was_left_out_is_named_unless_the_alpha_is_doubtful() -> None:
    for value, why, named in ((0.8, "edge", OUTVOTED), (1.0, "", OUTVOTED), (0.3, "grey", "grey"), (0.0, EMPTY, EMPTY)):
        assert without_guide(Confidence(value, why)) == Confidence(value, named)


def test_each_reason_has_a_sentence() -> None:
    assert set(REASONS) == REASON_CODES
    assert all(words[0].isupper() and words.endswith(".") for words in REASONS.values())
    assert reasons.DOUBTFUL == DOUBTFUL
    assert reason("edge", 0.9) == REASONS["edge"]
    assert reason("", 0.4) == REASONS[""]
    assert reason("", 0.6) == reason("", None) == ""
    assert reason("of a newer engine", 0.1) == "of a newer engine"
    text = (Path(__file__).parents[2] / "docs" / "confidence.md").read_text()
    assert all(f"| `{code}` | {words} |" in text for code, words in REASONS.items() if code)


def test_passes_that_disagree_are_doubted() -> None:
    seen = measured(CLEAN, None, None, WHOLE)
    values = [confidence(seen, apart).value for apart in (None, 0.1, 0.4, 1.0)]
    assert values == sorted(values, reverse=True)
    assert confidence(seen, 0.9).why == "disagreement"


def test_a_blend_has_the_signals_of_both_passes() -> None:
    here, there = Signals(0.2, 0.0, 0.01, 0.1, 0.5), Signals(0.4, 0.2, 0.03, 0.3, 0.7)
    assert mixed(here, there, 0.0) == here
    assert mixed(here, there, 1.0) == there
    assert mixed(here, there, 0.5) == Signals(0.3, 0.1, 0.02, 0.2, 0.6)
    assert mixed(here, replace(there, edge=None), 0.5).edge == here.edge


def test_a_window_has_the_signals_of_the_whole_frame() -> None:
    window = CLEAN[..., 32:240, 128:352]
    assert measured(window, None, 0.1, WHOLE) == measured(CLEAN, None, 0.1, WHOLE)


# -------------------------------------------------------------------------------------------------- in a session


def test_a_session_reports_signals_and_goes_on_with_them_after_a_snapshot() -> None:
    network, shot = toy_network(), plates(4)
    session = MattingSession(network, warm_up_passes=1)
    alpha = session.seed(shot[0], disc())
    key = session.report.signals
    assert key is not None
    assert key.change is None
    assert key.jump == pytest.approx(abs(float(alpha.sum() / disc().sum()) - 1), abs=0.5)
    session.advance(shot[1])
    restored = MattingSession.restore(network, session.snapshot())
    session.advance(shot[2])
    restored.advance(shot[2])
    assert session.report.signals == restored.report.signals
    assert session.report.signals is not None
    assert session.report.signals.change is not None


def test_a_held_frame_has_the_confidence_of_the_frame_it_repeats() -> None:
    session, shot = MattingSession(toy_network(), warm_up_passes=1), plates(2)
    session.seed(shot[0], disc())
    session.advance(shot[1])
    computed = session.report.signals
    session.advance(shot[1].clone())
    assert session.report.held
    assert session.report.signals == computed
