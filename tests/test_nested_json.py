# SPDX-License-Identifier: Apache-2.0
"""A file of somebody else's may hold JSON that is nested 100,000 deep, and a tiny one may have a huge canvas."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
import torch

from matanyone_engine.errors import CheckpointError, MaskError, SettingError, SnapshotError
from matanyone_engine.jobs.job_files import read_plan
from matanyone_engine.matting import state
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.model.dims import Dims
from matanyone_engine.model.weights_file import read_receipt, receipt_path, safetensors_metadata
from matanyone_engine.runs.claim import _read as read_claim
from matanyone_engine.runs.record import read_record
from matanyone_engine.runs.resume import point_identity, read_resume_point

NESTED = b"[" * 100_000
ORIGINAL_SIZE = 1424
"""Where a DPX file says how large the whole picture is (SMPTE 268M)."""


def nested(path: Path) -> Path:
    path.write_bytes(NESTED)
    return path


def test_weights(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(NESTED)) + NESTED)
    assert safetensors_metadata(tmp_path / "w.safetensors") == {}
    nested(receipt_path(tmp_path / "w.safetensors"))
    assert read_receipt(tmp_path / "w.safetensors") is None
    with pytest.raises(CheckpointError):
        Dims.from_json(NESTED.decode())


def test_sidecars(tmp_path: Path) -> None:
    file = nested(tmp_path / "file")
    assert read_claim(file) is None
    assert read_record(file) is None
    assert point_identity(file) == ""
    with pytest.raises(SettingError):
        read_resume_point(file)
    with pytest.raises(SettingError):
        read_plan(file)


@pytest.mark.parametrize("header", [NESTED, b"{", b"\xff"])
def test_snapshots(header: bytes) -> None:
    tensors = {"header": torch.frombuffer(bytearray(header), dtype=torch.uint8)}
    with pytest.raises(SnapshotError, match="header"):
        state._header(tensors)


def test_the_canvas_of_an_alpha(tmp_path: Path) -> None:
    path = tmp_path / "alpha.dpx"
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), oiio.ImageSpec(8, 6, 3, "uint16"))
    output.write_image(np.full((6, 8, 3), 0.5, np.float32))
    output.close()
    assert read_alpha(path).shape == (6, 8)
    data = bytearray(path.read_bytes())
    order = "<" if data[:4] == b"XPDS" else ">"
    struct.pack_into(order + "2I", data, ORIGINAL_SIZE, 2**30, 32)
    path.write_bytes(data)
    with pytest.raises(MaskError, match="1073741824x32"):
        read_alpha(path)
