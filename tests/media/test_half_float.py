# SPDX-License-Identifier: Apache-2.0
"""Half floats made of float32."""

import numpy as np
import pytest

from matanyone_engine.media.half_float import halves


def test_every_kind_of_float_becomes_the_half_that_numpy_makes_of_it():
    patterns = np.arange(2**32, step=16411, dtype=np.uint64).astype(np.uint32)
    edges = np.array([2.0**-14, 2.0**-24, 2.0**-25, 1.5 * 2.0**-24, 0.0, 65504.0], np.float32)
    near = np.nextafter(edges, np.float32(1))
    floats = np.concatenate([patterns.view(np.float32), edges, -edges, near, -near])
    with np.errstate(all="ignore"):
        meant, made = floats.astype(np.float16), halves(floats)
    numbers = ~np.isnan(floats)
    assert np.array_equal(meant.view(np.uint16)[numbers], made.view(np.uint16)[numbers])
    assert np.isnan(made[~numbers]).all()


@pytest.mark.parametrize("value", [0.5, 1e-6])
def test_shape_is_kept_and_the_plane_left_as_it_was(value):
    plane = np.full((3, 4, 2), value, np.float32)
    assert halves(plane[:, ::2]).shape == (3, 2, 2)
    assert np.all(plane == np.float32(value))
