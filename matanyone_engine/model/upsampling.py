# SPDX-License-Identifier: Apache-2.0
"""Doubles the size of maps, a few rows at a time.

torch's bilinear kernel on a CPU is twice as fast in float32 as in bfloat16, and it divides its work among cores by
entries of the batch. So maps are doubled in float32, and neighbouring parts of a map as entries of one batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

PART_BYTES = 4 << 20
"""Bytes of a part, which one core doubles: so few that the part is still in the cache when the caller uses it."""

_LEAST_ROWS = 4
"""The fewest source rows of a part. One row more is doubled on either side of a part, and then dropped."""
_MOST_PARTS = 8
"""The most parts in a batch."""


def doubled(x: Tensor) -> Tensor:
    """Double (B, C, h, w) to (B, C, 2 h, 2 w), bilinearly with half-pixel centres."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def doubled_rows(x: Tensor, top: int, bottom: int, part_bytes: int = PART_BYTES) -> Iterator[tuple[int, Tensor]]:
    """Yield rows `top` to `bottom` (exclusive) of doubled(x) in float32, in parts.

    Each part comes as the number of its first row, and its rows (1, C, rows, 2 w). x is (1, C, h, w). Parts are
    channels-last, and may be written into.
    """
    assert len(x) == 1, "rows are made for one plate"
    rows = x[0].permute(1, 2, 0)
    last_row = len(rows) - 1
    parts, height = _parts(x, top, bottom, part_bytes)
    reach = torch.arange(-1, height + 1, device=x.device) + height * torch.arange(parts, device=x.device)[:, None]
    for first in range(top // 2, (bottom + 1) // 2, parts * height):
        # Beyond the border, its row is repeated, as the kernel does.
        sources = rows[(first + reach).clamp_(0, last_row)].float()
        chunk = doubled(sources.permute(0, 3, 1, 2))
        for number in range(parts):
            begins = 2 * (first + number * height)
            inner = slice(max(top - begins, 0), min(bottom - begins, 2 * height))
            if inner.start < inner.stop:
                yield begins + inner.start, chunk[number : number + 1, :, 2:-2][:, :, inner]


def _parts(x: Tensor, top: int, bottom: int, part_bytes: int) -> tuple[int, int]:
    """Return the number of parts in a batch, and the source rows of each."""
    wanted = (bottom + 1) // 2 - top // 2
    if x.device.type != "cpu":
        return 1, wanted
    _, channels, _, width = x.shape
    fitting = part_bytes // (channels * 2 * 2 * width * torch.float32.itemsize)
    height = min(max(_LEAST_ROWS, fitting), wanted)
    return min(torch.get_num_threads(), _MOST_PARTS, -(-wanted // height)), height
