# SPDX-License-Identifier: Apache-2.0
"""No number of a request is without a limit, and no text of it can harm a terminal."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest

from matanyone_engine.wire import messages as say
from matanyone_engine.wire.conversation import EXCHANGES
from matanyone_engine.wire.errors import Code, WireError
from matanyone_engine.wire.limits import LIMITS, MOST_GROW, MOST_WARM_UP, check_values
from matanyone_engine.wire.text import is_plain, printable, printable_fields

OPENING = say.Open("0" * 32, (64, 48))


def numbers_in(kind: Any, found: set[tuple[type, str]]) -> set[tuple[type, str]]:
    """Every field of a dataclass, and of dataclasses in it, that holds a number."""
    for name, hint in typing.get_type_hints(kind).items():
        for each in leaves(hint):
            if each in (int, float):
                found.add((kind, name))
            elif dataclasses.is_dataclass(each):
                numbers_in(each, found)
    return found


def leaves(hint: Any) -> list[Any]:
    arguments = typing.get_args(hint)
    return [leaf for each in arguments for leaf in leaves(each)] if arguments else [hint]


def test_every_number_of_every_request_has_limits() -> None:
    found: set[tuple[type, str]] = set()
    for request in EXCHANGES:
        numbers_in(request, found)
    assert found == {(kind, name) for kind, names in LIMITS.items() for name in names}


@pytest.mark.parametrize(
    ("kind", "name", "least", "most"),
    [(kind, name, *limits) for kind, names in LIMITS.items() for name, limits in names.items()],
)
def test_what_is_beyond_is_bad_input(kind: type, name: str, least: float, most: float) -> None:
    needed = {
        each.name: "x" for each in dataclasses.fields(kind)
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    }  # fmt: skip
    for value, right in ((least, True), (most, True), (least - 1, False), (most + 1, False)):
        message = kind(**{**needed, name: value})
        if right:
            check_values(message)
            continue
        with pytest.raises(WireError, match=f"{name}: expected") as caught:
            check_values(message)
        assert caught.value.code is Code.BAD_INPUT


@pytest.mark.parametrize("options", [{"mask_grow": MOST_GROW + 1}, {"warm_up_passes": MOST_WARM_UP + 1}])
def test_options_inside_a_message_are_looked_at(options: dict[str, int]) -> None:
    with pytest.raises(WireError):
        check_values(dataclasses.replace(OPENING, options=say.Options(**options)))
    check_values(OPENING)


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "\x1b]0;x\x07", "a\nb", "\u202e", "\x9b31m"])
def test_texts_that_no_screen_should_show_are_refused_and_made_printable(text: str) -> None:
    with pytest.raises(WireError) as caught:
        check_values(dataclasses.replace(OPENING, label=text))
    assert caught.value.code is Code.BAD_INPUT
    assert is_plain(str(caught.value))
    assert is_plain(printable(text))
    report = say.JobEnded("s", "failed", 1, message=text)
    assert is_plain(printable_fields(report).message)
    told = say.Progress("s", 1, "", 1, 2, warnings=(text,), confidences=(say.ObjectConfidence(text, 1.0),))
    assert is_plain("".join((*printable_fields(told).warnings, printable_fields(told).confidences[0].object)))


def test_plain_texts_stay_as_they_are() -> None:
    message = say.JobEnded("s", "failed", 1, message="Fée №5 – 映画.exr")
    assert printable_fields(message) is message
