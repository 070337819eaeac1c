# SPDX-License-Identifier: Apache-2.0
"""Messages survive the journey, and nothing else gets through."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matanyone_engine.wire import messages as say
from matanyone_engine.wire.arrays import Payload, describe_file, describe_raw
from matanyone_engine.wire.codec import MOST_HEADER_BYTES, Packet, decode, encode, from_fields, verify
from matanyone_engine.wire.errors import Code, WireError
from matanyone_engine.wire.version import CURRENT, preamble

FRAME = say.Frame("s" * 32, 3, 1004)
PLATE = b"\x00\x01" * (4 * 6 * 3)


def packet() -> Packet:
    return Packet(7, FRAME, (describe_raw("plate", PLATE, "f2", (4, 6, 3)),), (PLATE,))


def header(**changes: Any) -> list[bytes]:
    """The packet's parts with fields of the header changed; None removes one."""
    parts = encode(packet())
    fields = {**json.loads(parts[1]), **changes}
    return [parts[0], json.dumps({k: v for k, v in fields.items() if v is not None}).encode(), *parts[2:]]


def refused(parts: list[bytes]) -> WireError:
    with pytest.raises(WireError) as caught:
        decode(parts)
    assert caught.value.action
    return caught.value


def example(kind: Any) -> Any:
    """One message of a kind with every field set."""
    values = {"str": "x", "int": 1, "float": 0.5, "bool": True}
    fields = {}
    for item in dataclasses.fields(kind):
        text = str(item.type)
        if text in values:
            fields[item.name] = values[text]
        elif text == "Options":
            fields[item.name] = say.Options(working_size=720, colorspace="ACEScg")
    extra = {
        say.Welcome: {"models": ("mini",)},
        say.Sessions: {"sessions": (say.SessionInfo("a", "b", "c", "d", "e", (1, 2), 3, 4, 5, 0.5),)},
        say.Open: {"size": (1920, 1080)},
        say.Job: {"frames": (1001, 1002)},
    }
    return kind(**{**fields, **extra.get(kind, {})})


@pytest.mark.parametrize("kind", say.MESSAGES.values(), ids=say.MESSAGES)
def test_every_message_survives_the_journey(kind: Any) -> None:
    message = example(kind)
    assert decode(encode(Packet(5, message))) == Packet(5, message)


def test_payloads_are_carried_as_they_are() -> None:
    came = decode(encode(packet()))
    declared, data = came.payload("plate")
    assert data is PLATE
    assert declared.shape == (4, 6, 3)
    with pytest.raises(WireError, match="needs a payload 'mask'"):
        came.payload("mask")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": "teleport"}, "known message type"),
        ({"type": None}, "known message type"),
        ({"id": -1}, "an id"),
        ({"id": 2**53}, "an id"),
        ({"id": True}, "an id"),
        ({"seq": "3"}, "seq: expected int"),
        ({"seq": 2**60}, "2\\^53-1"),
        ({"seq": None}, "'seq' is missing"),
        ({"volume": 11}, "no field 'volume'"),
        ({"payloads": {}}, "list of at most"),
        ({"payloads": []}, "0 payloads are declared and 1 came"),
    ],
)
def test_a_wrong_header_is_refused_with_its_reason(changes: dict[str, Any], words: str) -> None:
    error = refused(header(**changes))
    assert error.code is Code.MALFORMED
    with pytest.raises(WireError, match=words):
        decode(header(**changes))


def test_a_refusal_names_the_request_it_answers() -> None:
    assert refused(header(seq="3")).about == 7


@pytest.mark.parametrize(
    "text", ['{"type":"ping","id":1,"id":2}', '{"type":"ping","id":NaN}', "[]", "{", "\xff", "[" * 50_000]
)
def test_a_header_that_is_no_plain_json_is_refused(text: str) -> None:
    assert refused([preamble(), text.encode("latin-1")]).code is Code.MALFORMED


def test_a_header_that_is_too_large_is_refused_unread() -> None:
    assert refused([preamble(), b" " * (MOST_HEADER_BYTES + 1)]).code is Code.TOO_LARGE
    with pytest.raises(WireError, match="header"):
        encode(Packet(1, say.Hello("t", "p", "x" * MOST_HEADER_BYTES)))


@pytest.mark.parametrize("parts", [[], [b""], [b"GET / HTTP/1.1"], [b"MAE1"], [preamble() + b"x", b"{}"]])
def test_strangers_are_refused(parts: list[bytes]) -> None:
    assert refused(parts).code in {Code.NOT_OURS, Code.MALFORMED}


def test_another_major_is_told_apart_and_a_newer_minor_may_say_more() -> None:
    parts = header(volume=11)
    assert refused([b"MAE1\x02\x00", *parts[1:]]).code is Code.VERSION
    newer = decode([b"MAE1" + bytes((CURRENT.major, CURRENT.minor + 1)), *parts[1:]])
    assert newer.message == FRAME


def test_an_option_that_is_not_known_is_never_passed_over() -> None:
    """What an older engine does not know it would not do, and the alpha would look as if it had."""
    opening = {"type": "open", "id": 1, "nonce": "0", "size": [4, 6], "options": {"hair": True}}
    newer = b"MAE1" + bytes((CURRENT.major, CURRENT.minor + 1))
    assert refused([newer, json.dumps(opening).encode()]).code is Code.MALFORMED
    asking = {"type": "job", "id": 1, "nonce": "0", "plate": "p", "mask": "m", "out": "o"}
    asking["objects"] = [{"name": "hero", "softness": 2}]
    assert refused([newer, json.dumps(asking).encode()]).code is Code.MALFORMED
    sent = json.loads(encode(Packet(1, say.Open("0", (4, 6), options=say.Options(mask_grow=2))))[1])
    assert sent["options"] == {"mask_grow": 2}, "what is not used is not said: an older engine can do it"
    assert "priority" not in sent


def test_a_damaged_payload_is_noticed() -> None:
    parts = encode(packet())
    altered = decode([*parts[:2], b"\x01" + PLATE[1:]])
    with pytest.raises(WireError) as caught:
        verify(altered)
    assert caught.value.code is Code.CHECKSUM
    verify(decode(parts))
    assert refused([*parts[:2], PLATE[:-1]]).code is Code.MALFORMED
    assert refused(parts[:2]).code is Code.MALFORMED


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "f8"},
        {"shape": (4, 6)},
        {"shape": (4, 6, 33)},
        {"shape": (0, 6, 3)},
        {"shape": (4, 7, 3)},
        {"shape": (True, 6, 3)},
        {"bytes": -1},
        {"encoding": "png"},
        {"encoding": "exr"},
    ],
)
def test_a_declaration_that_does_not_add_up_is_refused(changes: dict[str, Any]) -> None:
    right = dataclasses.asdict(describe_raw("plate", PLATE, "f2", (4, 6, 3)))
    with pytest.raises(WireError) as caught:
        Payload(**{**right, **changes})
    assert caught.value.code is Code.MALFORMED


def test_a_file_is_declared_without_a_shape() -> None:
    assert describe_file("plate", PLATE).bytes == len(PLATE)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.binary(max_size=64), max_size=6))
def test_any_bytes_give_a_packet_or_a_wire_error(parts: list[bytes]) -> None:
    with pytest.raises(WireError):
        decode([preamble(), *parts] if parts else parts)


@given(st.sampled_from(sorted(say.MESSAGES)), st.data())
def test_any_fields_give_a_packet_or_a_wire_error(name: str, data: st.DataObject) -> None:
    keys = st.sampled_from(["payloads", *(item.name for item in dataclasses.fields(say.MESSAGES[name]))])
    fields = {**data.draw(st.dictionaries(keys | st.text(max_size=8), junk, max_size=8)), "type": name, "id": 1}
    try:
        came = decode([preamble(), json.dumps(fields).encode()])
    except WireError:
        return
    assert decode(encode(came)) == came


def test_names_of_version_0_1_0_are_read_as_those_of_today() -> None:
    options = from_fields(say.Options, {"settle_passes": 3})
    assert options == say.Options(warm_up_passes=3)
    other = from_fields(say.ObjectOptions, {"name": "twin", "rival": True})
    assert other == say.ObjectOptions("twin", distractor=True)


def test_a_field_under_its_old_and_its_new_name_is_refused() -> None:
    with pytest.raises(WireError, match="'warm_up_passes' is given twice, once as 'settle_passes'"):
        from_fields(say.Options, {"settle_passes": 3, "warm_up_passes": 3})
