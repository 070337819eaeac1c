# SPDX-License-Identifier: Apache-2.0
"""Says in one sentence why an alpha should be looked at: the codes that the engine sends as `why`, and their words.

docs/confidence.md lists them. A test keeps the codes those that the engine gives.
"""

from __future__ import annotations

from typing import Optional

REASONS = {
    "edge": "The edge is wide and grey: it is soft, or the network guesses.",
    "grey": "Much of the subject is half transparent.",
    "jump": "The subject's area changes suddenly.",
    "change": "The network remembers nothing that looks like this.",
    "guide": "The guide and the network disagree: one of them is wrong.",
    "outvoted": "The guide is somewhere else on this frame and was left out.",
    "disagreement": "The results from the two keys disagree.",
    "empty": "The alpha is empty: the subject has left, or was lost.",
    "": "Several small reasons lower the confidence.",
}
"""For each code the sentence that an artist reads. '' is the code of an alpha that no signal lowers by much."""
DOUBTFUL = 0.5
"""An alpha with a lower confidence is one to look at."""


def reason(why: str, confidence: Optional[float]) -> str:
    """Return the sentence of a code; '' where there is nothing to say.

    why: as of Result and ObjectConfidence; confidence: 0..1, None where it is not known. A code of a newer engine is
    shown as it is.
    """
    if not why and (confidence is None or confidence >= DOUBTFUL):
        return ""
    return REASONS.get(why, why)
