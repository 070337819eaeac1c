# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from matanyone_engine.model.upsampling import doubled, doubled_rows


def together(x: Tensor, top: int, bottom: int, part_bytes: int) -> Tensor:
    """The rows that came, in the order in which they came; none is missing, none comes twice."""
    rows, next_row = [], top
    for first, part in doubled_rows(x, top, bottom, part_bytes):
        assert first == next_row
        next_row = first + part.shape[2]
        rows.append(part.clone())
        part.zero_()  # it is the caller's: neighbours must not share it
    assert next_row == bottom
    return torch.cat(rows, dim=2)


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_rows_are_those_of_the_whole(data: st.DataObject) -> None:
    channels, height, width = (data.draw(st.integers(1, most)) for most in (5, 40, 9))
    top = data.draw(st.integers(0, 2 * height - 1))
    bottom = data.draw(st.integers(top + 1, 2 * height))
    x = torch.randn(1, channels, height, width, generator=torch.Generator().manual_seed(5))
    rows = together(x, top, bottom, part_bytes=data.draw(st.integers(1, 20_000)))
    assert torch.allclose(rows, doubled(x)[:, :, top:bottom], atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_bits_depend_on_neither_threads_nor_parts(threads: int) -> None:
    x = torch.randn(1, 8, 33, 20, generator=torch.Generator().manual_seed(6)).bfloat16()
    x = x.contiguous(memory_format=torch.channels_last)
    before = torch.get_num_threads()
    expected = together(x, 3, 61, 1 << 30)
    torch.set_num_threads(threads)
    try:
        assert torch.equal(together(x, 3, 61, 30_000), expected)
    finally:
        torch.set_num_threads(before)
    assert expected.dtype == torch.float32
    assert torch.allclose(expected, doubled(x.float())[:, :, 3:61], atol=1e-6)
