# SPDX-License-Identifier: Apache-2.0
"""Makes messages and job files with anything in them: what is not refused must come out as it went in."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matanyone_engine.errors import EngineError
from matanyone_engine.jobs.job import open_source, outline_matte
from matanyone_engine.jobs.job_files import load_job
from matanyone_engine.jobs.job_message import matte_job
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.arrays import Payload
from matanyone_engine.wire.codec import Packet, decode, encode, verify
from matanyone_engine.wire.conversation import EXCHANGES, Channel, check_request
from matanyone_engine.wire.errors import WireError
from matanyone_engine.wire.jobfile import PathRule, job_here, read_job_file, read_path_rules, write_job_file
from matanyone_engine.wire.limits import check_values
from matanyone_engine.wire.version import preamble

EXAMPLES = 300
"""Of one round; rounds with other seeds follow while there is time."""
round_of = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)
_WORDS = st.sampled_from(["raw", "exr", "f2", "u1", "plate", "mask", "auto", "sRGB", "subject", "1001", "NaN"])
_NUMBERS = st.one_of(st.integers(-5, 70), st.integers(-(2**70), 2**70), st.floats())
_LEAVES = st.one_of(st.none(), st.booleans(), _NUMBERS, _WORDS, st.text(max_size=12))


def _fields_of(*kinds: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Return an object with some of the fields of these kinds, which hold anything."""
    names = sorted({field.name for kind in kinds for field in dataclasses.fields(kind)})
    return st.dictionaries(st.sampled_from(names), _LEAVES, max_size=6)


_ANYTHING = st.recursive(
    st.one_of(_LEAVES, _fields_of(Payload), _fields_of(say.Options, say.ObjectOptions, say.KeyMask, say.Delivery)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def parts(draw: Any) -> list[bytes]:
    """Return raw parts, or a header of a known type whose fields hold anything."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.lists(st.binary(max_size=40), max_size=8))
    name = draw(st.sampled_from(sorted(say.MESSAGES)))
    fields = {
        field.name: draw(_ANYTHING) for field in dataclasses.fields(say.MESSAGES[name]) if draw(st.integers(0, 9))
    }
    fields |= {"type": name, "id": draw(st.integers(0, 9))}
    if draw(st.booleans()):
        fields["payloads"] = draw(st.lists(_fields_of(Payload), max_size=3))
    return [preamble(), json.dumps(fields).encode(), draw(st.binary(max_size=16))][: draw(st.integers(2, 3))]


@round_of
@given(parts())
def check_message(message: list[bytes]) -> None:
    """Check that a message is refused with a WireError, or is the same after another journey."""
    try:
        packet = decode(message)
        verify(packet)
        check_values(packet.message)
        if type(packet.message) in EXCHANGES:
            check_request(packet.message, Channel.DATA, tuple(each.name for each in packet.payloads), known=True)
    except WireError:
        return
    assert decode(encode(packet)) == Packet(packet.id, packet.message, packet.payloads, packet.data)


@st.composite
def job_texts(draw: Any) -> str:
    """Return a job file in which some things are not as they should be."""
    job: dict[str, Any] = {"plate": "p.####.exr", "mask": "m.exr", "out": "o.####.exr"}
    for name in draw(st.lists(st.sampled_from([field.name for field in dataclasses.fields(say.Job)]), max_size=4)):
        job[name] = draw(_ANYTHING)
    file: dict[str, Any] = {"format": "matanyone-job", "version": 1, "job": job}
    for name in draw(st.lists(st.sampled_from(["format", "version", "job", "roots", "written_by", "x"]), max_size=1)):
        file[name] = draw(_ANYTHING)
    text = json.dumps(file)
    if draw(st.integers(0, 4)) == 0:
        at, count = draw(st.integers(0, len(text))), draw(st.integers(0, 9))
        text = text[:at] + draw(st.text(max_size=4)) + text[at + count :]
    return draw(st.sampled_from(["", "", "", "\ufeff"])) + text


@round_of
@given(job_texts(), st.text(max_size=40))
def check_job_file(text: str, rules: str) -> None:
    """Check that a job file is refused with an error of the family, or is the same when it is written and read
    again.
    """
    try:
        file = read_job_file(text)
    except WireError:
        file = None
    if file is not None:
        assert read_job_file(write_job_file(file)) == file
        with contextlib.suppress(WireError):
            job_here(file, "/mnt/shot", (PathRule("P:/", "/mnt/p"),))
    for said in (rules, json.dumps({"path_mapping_rules": rules})):
        with contextlib.suppress(WireError):
            read_path_rules(said)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            job = matte_job(load_job(path))
            outline_matte(job, open_source(job))
        except EngineError:
            pass
