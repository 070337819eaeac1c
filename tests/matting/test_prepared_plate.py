# SPDX-License-Identifier: Apache-2.0
"""Plates that are made ready before their turn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toy import disc, plates, toy_network

from matanyone_engine import MattingSession
from matanyone_engine.errors import OutOfMemory, PlateError
from matanyone_engine.model import MatAnyone, for_inference
from matanyone_engine.model.dims import LITE


@pytest.fixture(scope="module")
def network() -> Any:
    return toy_network()


def test_a_ready_plate_is_answered_like_the_plate(network: Any) -> None:
    first, second, third = plates(3, 40, 56)
    plain, ahead = (MattingSession(network, warm_up_passes=1, working_size=32) for _ in range(2))
    plain.seed(first, disc(40, 56))
    ahead.seed(ahead.ready(first), disc(40, 56))
    for plate in (second, third, third):
        assert torch.equal(plain.advance(plate), ahead.advance(ahead.ready(plate)))
    assert ahead.report.held


def test_what_is_wrong_with_a_plate_shows_when_it_is_made_ready(network: Any) -> None:
    with pytest.raises(PlateError, match="NaN"):
        MattingSession(network).ready(torch.full((3, 32, 32), float("nan")))


def test_a_plate_made_ready_for_other_options_is_refused(network: Any) -> None:
    (plate,) = plates(1, 40, 56)
    ready = MattingSession(network, working_size=32).ready(plate)
    for other in (MattingSession(network), MattingSession(toy_network(), working_size=32)):
        with pytest.raises(ValueError, match="other options"):
            other.seed(ready, disc(40, 56))


def test_no_room_to_encode_ahead_is_no_error(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (plate,) = plates(1, 32, 48)
    session = MattingSession(network, warm_up_passes=0)
    ready = session.ready(plate)

    def full(_: object) -> None:
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(network, "encode_image", full)
        ready.encode_ahead()
        with pytest.raises(OutOfMemory):
            session.seed(ready, disc(32, 48))
    assert not ready.encoded
    session.seed(ready, disc(32, 48))


def test_the_core_of_a_lite_network_sees_every_pixel_of_a_large_plate(network: Any) -> None:
    """White dots, one in every five by five pixels, are a grey of a twenty-fifth. The published way leaves most out."""
    dots = torch.zeros(3, 160, 240)
    dots[:, 2::5, 2::5] = 1
    lite = for_inference(MatAnyone(LITE))
    seen = MattingSession(lite, working_size=32).ready(dots).padded[0, :, 8:-8, 8:-8]
    assert float(seen.mean()) == pytest.approx(1 / 25, rel=0.02)
    assert float(seen.std()) < 0.02
    published = MattingSession(network, working_size=32).ready(dots).padded[0, :, 8:-8, 8:-8]
    assert float((published - 1 / 25).abs().min()) > 0.03
