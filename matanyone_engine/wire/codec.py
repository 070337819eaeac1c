# SPDX-License-Identifier: Apache-2.0
"""Turns a message into a list of byte strings, and back. It has no socket and no state.

    part 0   magic and version (version.py)
    part 1   the header: UTF-8 JSON of at most MOST_HEADER_BYTES
    part 2.. the payloads, in the order in which the header declares them (arrays.py)

Rules of this file:
1. What comes in is checked against the dataclass before anything is made of it: types, unknown fields, duplicates.
2. Payload bytes are not copied, and not read but by verify().
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from .arrays import Payload, check_content, check_length
from .errors import Code, WireError
from .messages import MESSAGES, Delivery, EdgeControls, Message, ObjectOptions, Options, type_name
from .version import CURRENT, Version, preamble, read_preamble

MOST_HEADER_BYTES = 64 * 1024
MOST_PAYLOADS = 4
MOST_DEPTH = 6
MOST_ID = 2**53 - 1
"""Every JSON reader takes integers up to here exactly."""

NAMES_OF_0_1_0: dict[Any, dict[str, str]] = {
    Options: {"settle_passes": "warm_up_passes"},
    ObjectOptions: {"rival": "distractor"},
}
"""What fields were called in version 0.1.0, and what they are called now. Job files, messages and stores of that
version are still read.
"""

_SAY_WHAT_AN_ALPHA_IS = (Options, Delivery, EdgeControls, ObjectOptions)
"""Messages of which no field is ever ignored, since an alpha without what was asked for would be a wrong one."""

_BUG = "This is a defect of the sender."


@dataclass(frozen=True)
class Packet:
    """Holds one message as it travels, with its payloads."""

    id: int
    """Drawn by whoever asks; the answer repeats it. 0: nobody asked."""
    message: Message
    payloads: tuple[Payload, ...] = ()
    data: tuple[Any, ...] = ()
    """Bytes-like, one for each payload."""

    def payload(self, name: str) -> tuple[Payload, Any]:
        """Return declaration and bytes of one payload. Raises WireError where it is missing."""
        for declared, data in zip(self.payloads, self.data):
            if declared.name == name:
                return declared, data
        raise malformed(f"{type_name(type(self.message))} needs a payload {name!r}")


def encode(packet: Packet) -> list[Any]:
    """Turn a packet into the parts to send. Raises WireError if its header is too large."""
    fields: dict[str, Any] = {"type": type_name(type(packet.message)), "id": packet.id}
    fields.update(non_default_fields(packet.message))
    if packet.payloads:
        fields["payloads"] = [dataclasses.asdict(payload) for payload in packet.payloads]
    header = json.dumps(fields, allow_nan=False, separators=(",", ":"), default=non_default_fields).encode("utf-8")
    if len(header) > MOST_HEADER_BYTES:
        raise too_large(f"a header of at most {MOST_HEADER_BYTES} bytes", len(header))
    return [preamble(), header, *packet.data]


def non_default_fields(value: Any) -> dict[str, Any]:
    """Return a dataclass's fields without those at their default: an older receiver refuses only options in use."""
    fields = {}
    for item in dataclasses.fields(value):
        said = getattr(value, item.name)
        default = item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
        if said != default:
            fields[item.name] = said
    return fields


def decode(parts: Sequence[Any]) -> Packet:
    """Turn received parts (bytes-like) into a packet. Raises WireError for anything that is not exactly right."""
    if not parts:
        raise malformed("expected at least one part")
    version = read_preamble(bytes(parts[0][: len(preamble()) + 1]))
    if not 2 <= len(parts) <= 2 + MOST_PAYLOADS:
        raise malformed(f"expected 2 to {2 + MOST_PAYLOADS} parts, got {len(parts)}")
    fields = _read_header(bytes(parts[1]) if len(parts[1]) <= MOST_HEADER_BYTES else None, len(parts[1]))
    kind, number = _kind(fields), _id(fields)
    try:
        payloads = _payloads(fields, version)
        message = _build(kind, fields, version)
        _check_data(payloads, parts[2:])
    except WireError as error:
        error.about = number  # so that the answer finds its request
        raise
    return Packet(number, message, payloads, tuple(parts[2:]))


def verify(packet: Packet) -> None:
    """Compare the payloads with their checksums. decode() does not do so, since it takes time. Raises WireError."""
    for payload, data in zip(packet.payloads, packet.data):
        check_content(payload, data)


def from_fields(kind: Any, fields: Any, where: str = "") -> Any:
    """Make a dataclass from the JSON form of its dataclasses.asdict(). Raises WireError if it does not fit.

    where: what errors call it; '' is the dataclass's name.
    """
    return _build(kind, fields, CURRENT, where)


def read_object(text: str) -> dict[str, Any]:
    """Read a JSON object without repeated fields and without NaN. Raises ValueError, RecursionError."""
    fields = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    if not isinstance(fields, dict):
        raise ValueError("expected an object")
    return fields


def _read_header(data: Optional[bytes], length: int) -> dict[str, Any]:
    if data is None:
        raise too_large(f"a header of at most {MOST_HEADER_BYTES} bytes", length)
    try:
        return read_object(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise malformed(f"the header is no JSON object: {str(error)[:120]}") from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is given twice")
    return fields


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _kind(fields: dict[str, Any]) -> type[Message]:
    name = fields.pop("type", None)
    kind = MESSAGES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise malformed(f"expected a known message type, got {name!r:.60}")
    return kind


def _id(fields: dict[str, Any]) -> int:
    number = fields.pop("id", None)
    if type(number) is not int or not 0 <= number <= MOST_ID:
        raise malformed(f"expected an id from 0 to 2^53-1, got {number!r:.40}")
    return number


def _payloads(fields: dict[str, Any], version: Version) -> tuple[Payload, ...]:
    declared = fields.pop("payloads", [])
    if not isinstance(declared, list) or len(declared) > MOST_PAYLOADS:
        raise malformed(f"expected a list of at most {MOST_PAYLOADS} payloads")
    payloads = tuple(_build(Payload, item, version) for item in declared)
    if len({payload.name for payload in payloads}) != len(payloads):
        raise malformed("two payloads of one name")
    return payloads


def _check_data(payloads: tuple[Payload, ...], data: Sequence[Any]) -> None:
    if len(payloads) != len(data):
        raise malformed(f"{len(payloads)} payloads are declared and {len(data)} came")
    for payload, part in zip(payloads, data):
        check_length(payload, part)


# ------------------------------------------------------------------------------------------------ values


def _build(kind: Any, fields: Any, version: Version, where: str = "", depth: int = 0) -> Any:
    """Return a dataclass from the fields of a JSON object, all of them checked."""
    name = where or kind.__name__
    if not isinstance(fields, Mapping):
        raise malformed(f"{name}: expected an object")
    fields = _with_new_names(kind, fields, name)
    hints = _hints(kind)
    unknown = set(fields) - set(hints)
    if unknown and (version.minor <= CURRENT.minor or kind in _SAY_WHAT_AN_ALPHA_IS):
        raise malformed(f"{name}: no field {sorted(map(str, unknown))[0]!r:.60}")
    missing = _required(kind) - set(fields)
    if missing:
        raise malformed(f"{name}: field {min(missing)!r} is missing")
    known = {key: value for key, value in fields.items() if key in hints}
    return kind(**{key: _value(hints[key], value, version, f"{name}.{key}", depth + 1) for key, value in known.items()})


def _with_new_names(kind: Any, fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the fields under their current names. Raises WireError if a field comes under both names."""
    old = NAMES_OF_0_1_0.get(kind, {}).items() if fields else ()
    renamed = {before: now for before, now in old if before in fields}
    for before, now in renamed.items():
        if now in fields:
            raise malformed(f"{name}: {now!r} is given twice, once as {before!r}")
    return {renamed.get(key, key): value for key, value in fields.items()} if renamed else fields


def _value(hint: Any, value: Any, version: Version, where: str, depth: int) -> Any:
    """Convert a JSON value to the type of the annotation."""
    if depth > MOST_DEPTH:
        raise malformed(f"{where}: nested too deeply")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Union:
        return None if value is None else _value(arguments[0], value, version, where, depth)
    if origin is tuple:
        return _tuple(arguments, value, version, where, depth)
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, version, where, depth)
    return _scalar(hint, value, where)


def _tuple(arguments: tuple[Any, ...], value: Any, version: Version, where: str, depth: int) -> Any:
    if not isinstance(value, list):
        raise malformed(f"{where}: expected a list, got {value!r:.40}")
    kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
    if len(kinds) != len(value):
        raise malformed(f"{where}: expected {len(kinds)} values, got {len(value)}")
    return tuple(_value(kind, item, version, where, depth + 1) for kind, item in zip(kinds, value))


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and type(value) is int:
        value = float(value) if abs(value) <= MOST_ID else math.inf
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise malformed(f"{where}: expected {hint.__name__}, got {value!r:.40}")
    if hint is int and abs(value) > MOST_ID:
        raise malformed(f"{where}: expected an integer up to 2^53-1, got {value!r:.40}")
    return value


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return {
        name: hint
        for name, hint in typing.get_type_hints(kind).items()
        if typing.get_origin(hint) is not typing.ClassVar
    }


@functools.cache
def _required(kind: Any) -> frozenset[str]:
    absent = dataclasses.MISSING
    return frozenset(
        item.name for item in dataclasses.fields(kind) if item.default is absent and item.default_factory is absent
    )


def malformed(what: str) -> WireError:
    """Return the error for a message that is not as docs/protocol.md says."""
    return WireError(Code.MALFORMED, what, _BUG)


def too_large(expected: str, came: int) -> WireError:
    """Return the error for more bytes than are allowed."""
    return WireError(
        Code.TOO_LARGE, f"expected {expected}, got {came}", "Send smaller plates, or raise the engine's limit."
    )
