# SPDX-License-Identifier: Apache-2.0
"""The people that are rendered for training: poses, clothes and hair as plain arrays, without Blender."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "mini"))
person = pytest.importorskip("person")

UP = np.array([0.0, 0.0, 1.0])

BVH = """HIERARCHY
ROOT root
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Xrotation Yrotation Zrotation
  JOINT head
  {
    OFFSET 0 0 1
    CHANNELS 3 Xrotation Yrotation Zrotation
    End Site
    {
      OFFSET 0 0 1
    }
  }
}
MOTION
Frames: 1
Frame Time: 0.041667
1 2 3 0 0 0 90 0 90
"""

CLOTH = """# a cloth of three points
name cap
obj_file cap.obj
x_scale 0 1 0.5
y_scale 0 3 1.0
z_scale 0 2 2.0
verts 0
material cap.mhmat
2
0 1 2 0.5 0.25 0.25 0.1 0.2 0.3
0 1 2 0.2 0.4 0.4 0.0 0.0 0.0
delete_verts
3 - 5 9
"""
OBJECT = "v 0 0 0\nvt 0 0\nvt 1 0\nvt 1 1\nf 1/1 2/2 3/3\n"


@pytest.fixture
def body():
    """A body of four points; only what clothes read of one."""
    rest = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
    return SimpleNamespace(rest=rest)


def test_a_pose_turns_about_x_first_and_z_last(tmp_path):
    (tmp_path / "pose.bvh").write_text(BVH)
    pose = person.read_bvh(tmp_path / "pose.bvh")
    assert set(pose) == {"root", "head"}
    assert np.allclose(pose["root"], np.eye(3))
    assert np.allclose(pose["head"] @ (1, 0, 0), UP)  # z turns x to y, then x turns y to z


def test_a_pose_halfway_turns_by_half():
    quarter = {"head": person.rotation(UP, np.pi / 2)}
    assert np.allclose(person.between({}, quarter, 0.5)["head"], person.rotation(UP, np.pi / 4))
    assert np.allclose(person.between(quarter, {}, 0.0)["head"], quarter["head"])


def test_a_garment_is_fitted_and_follows_the_body(tmp_path, body):
    (tmp_path / "cap.mhclo").write_text(CLOTH)
    (tmp_path / "cap.obj").write_text(OBJECT)
    cap = person.read_garment(tmp_path / "cap.mhclo", body)
    assert cap.hides == {3, 4, 5, 9}
    assert np.allclose(cap.rest[0], (0, 2, 0))  # hangs on one point
    # A quarter of the second point and of the third; offsets in shares of the body's own size: 2, 3 and 1 here.
    assert np.allclose(cap.rest[1], (0.25 + 0.1 * 2, 0.5 - 0.3 * 1, 0.2 * 3))
    turn = person.rotation(np.array([1.0, 2, 3]), 0.7)
    moved = body.rest @ turn.T + (5, 6, 7)
    assert np.allclose(cap.posed(body.rest, moved), cap.rest @ turn.T + (5, 6, 7))


def test_strands_begin_on_their_mesh_and_follow_the_head():
    square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]])
    shell = person.Garment(square, [[0, 1, 2, 3]], np.zeros((1, 2)), [[0, 0, 0, 0]])
    hair = person.Strands(shell, 0.1, random.Random(1), 200)
    roots = hair.points[:, 0]
    assert np.abs(roots[:, 1]).max() < 0.01
    assert roots[:, [0, 2]].min() >= -0.01
    assert roots[:, [0, 2]].max() <= 1.01
    assert np.linalg.norm(hair.points[:, -1] - roots, axis=1).max() < 0.5
    shift = np.array([1.0, 2.0, 3.0])
    still = np.concatenate([np.eye(3), shift[:, None]], axis=1)
    assert np.allclose(hair.posed(still, np.zeros(3)), hair.points.reshape(-1, 3) + shift)
    moving = hair.posed(still, np.array([2.0, 0, 0])).reshape(hair.points.shape)
    assert np.allclose(moving[:, 0], roots + shift)  # roots stay, ends lag
    assert (moving[:, -1, 0] < hair.points[:, -1, 0] + 1).all()


def test_loose_strands_begin_where_combed_ones_do_and_stand_off_the_head():
    corners = np.array([[x, y, z] for x in (-0.1, 0.1) for y in (-0.1, 0.1) for z in (-0.1, 0.1)])
    faces = [[0, 1, 3, 2], [4, 5, 7, 6], [0, 1, 5, 4], [2, 3, 7, 6], [0, 2, 6, 4], [1, 3, 7, 5]]
    head = person.Garment(corners, faces, np.zeros((1, 2)), [[0, 0, 0, 0]] * 6)
    farther = []
    for seed in range(6):
        combed, loose = (person.Strands(head, 0.1, random.Random(seed), 300, loose) for loose in (0.0, 1.0))
        assert np.allclose(loose.points[:, 0], combed.points[:, 0])
        ends = [np.linalg.norm(hair.points[:, -1, :2], axis=1).mean() for hair in (loose, combed)]
        farther.append(ends[0] - ends[1])
    assert np.mean(farther) > 0.02  # of strands of about 10 cm
