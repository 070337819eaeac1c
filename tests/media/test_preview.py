# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from matanyone_engine.media.preview import percent


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (1.0, 2, "100 %"),
        (0.999, 2, "100 %"),
        (0.1391, 3, "13.9 %"),
        (1.0, 3, "100 %"),
        (0.0, 3, "0 %"),
        (0.00123, 2, "0.12 %"),
        (1e-7, 2, "under 0.01 %"),
    ],
)
def test_a_share_is_written_without_an_exponent(share: float, digits: int, text: str) -> None:
    assert percent(share, digits) == text
