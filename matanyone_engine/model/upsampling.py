# SPDX-License-Identifier: Apache-2.0
"""Doubles the size of maps, a few rows at a time (spec section 2.10).

Two facts of torch's bilinear kernel on a CPU shape this file: it is twice as fast in float32 as in bfloat16, and it
divides its work among cores by batch entries alone. So neighbouring parts of one map are doubled as a batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

PART_BYTES = 4 << 20
"""Room for a part, which one core doubles: small enough for the caches, where the caller finds it again."""

_LEAST_ROWS, _MOST_PARTS = 4, 8
"""Source rows of a part, which doubles one row on either side besides; and parts at a time."""


def doubled(x: Tensor) -> Tensor:
    """Double (B, C, h, w) to (B, C, 2 h, 2 w), bilinearly with half-pixel centres."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def doubled_rows(x: Tensor, top: int, bottom: int, part_bytes: int = PART_BYTES) -> Iterator[tuple[int, Tensor]]:
    """Yield rows top to bottom of doubled(x) in float32, part by part: the part's first row, and the part (1, C, rows,
    2 w).

    x (1, C, h, w). Parts lie channels-last and may be written into.
    """
    assert len(x) == 1, "rows are made for one plate"
    rows = x[0].permute(1, 2, 0)
    last_row = len(rows) - 1
    parts, height = _parts(x, top, bottom, part_bytes)
    reach = torch.arange(-1, height + 1, device=x.device) + height * torch.arange(parts, device=x.device)[:, None]
    for first in range(top // 2, (bottom + 1) // 2, parts * height):
        # Beyond the border the border's row goes on, which is what the kernel itself takes there.
        sources = rows[(first + reach).clamp_(0, last_row)].float()
        chunk = doubled(sources.permute(0, 3, 1, 2))
        for number in range(parts):
            begins = 2 * (first + number * height)
            inner = slice(max(top - begins, 0), min(bottom - begins, 2 * height))
            if inner.start < inner.stop:
                yield begins + inner.start, chunk[number : number + 1, :, 2:-2][:, :, inner]


def _parts(x: Tensor, top: int, bottom: int, part_bytes: int) -> tuple[int, int]:
    """Return the parts that are doubled at a time, and the source rows of each."""
    wanted = (bottom + 1) // 2 - top // 2
    if x.device.type != "cpu":
        return 1, wanted
    _, channels, _, width = x.shape
    fitting = part_bytes // (channels * 2 * 2 * width * torch.float32.itemsize)
    height = min(max(_LEAST_ROWS, fitting), wanted)
    return min(torch.get_num_threads(), _MOST_PARTS, -(-wanted // height)), height
