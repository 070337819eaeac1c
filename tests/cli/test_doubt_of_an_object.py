# SPDX-License-Identifier: Apache-2.0
"""If a shot has several objects, `matte` names the object with the lowest confidence."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from matanyone_engine.cli.progress import MatteProgress
from matanyone_engine.wire.messages import ObjectConfidence, Progress


def summary_of(*confidences: ObjectConfidence) -> str:
    text = io.StringIO()
    progress = MatteProgress(Console(file=text, width=200))
    progress.show(Progress("job", 1003, "a.1003.exr", 1, 1, confidences=confidences))
    progress.print_summary()
    return text.getvalue()


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ((ObjectConfidence("hero", 0.1),), "The lowest is 0.10, on frame 1003."),
        ((ObjectConfidence("hero", 0.9), ObjectConfidence("dog", 0.1)), "The lowest is 0.10, for dog on frame 1003."),
    ],
)
def test_the_doubtful_object_is_named_where_there_are_several(
    objects: tuple[ObjectConfidence, ...], words: str
) -> None:
    assert words in summary_of(*objects)
