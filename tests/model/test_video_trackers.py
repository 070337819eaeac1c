# SPDX-License-Identifier: Apache-2.0
"""SAM 2 for video and EdgeTAM with tiny networks of random weights: what is asked of them, what they forget, and what
is refused. How well they follow is not tested here: nobody of this project has run their real weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_trackers import SIDE, tiny

from matanyone_engine.errors import CheckpointError, SettingError
from matanyone_engine.model.video_trackers import FAMILIES, VideoTracker

FRAMES = 9
NAMES = tuple(FAMILIES)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: tiny(name, tmp_path_factory.mktemp(name) / "tiny") for name in NAMES}


def clip() -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return [torch.rand(1, 3, SIDE, SIDE, generator=random) for _ in range(FRAMES)]


def mask() -> torch.Tensor:
    drawn = torch.zeros(1, 1, SIDE, SIDE)
    drawn[..., 16:40, 20:50] = 1
    return drawn


def plainly(name: str, folder: Path) -> list[torch.Tensor]:
    """Return what transformers' own loop says to the whole clip, nothing of which it forgets."""
    import transformers

    family = FAMILIES[name]
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    network = getattr(transformers, family.model).from_pretrained(folder).eval()
    session = getattr(transformers, family.session)(video_height=SIDE, video_width=SIDE, dtype=torch.float32)
    session.add_mask_inputs(session.obj_id_to_idx(1), 0, mask())
    session.obj_with_new_inputs = [1]
    with torch.inference_mode():
        said = [network(inference_session=session, frame=(frame - mean) / deviation).pred_masks for frame in clip()]
    return [torch.nn.functional.interpolate(each, size=(SIDE, SIDE), mode="bilinear") for each in said]


@pytest.mark.parametrize("name", NAMES)
def test_a_tracker_equals_transformers_own_loop_and_drops_unread_frames(name: str, folders: dict[str, Path]) -> None:
    right, tracker = plainly(name, folders[name]), VideoTracker(name, folders[name], "cpu")
    frames = clip()
    said = [tracker.begin(frames[0], mask()), *(tracker.follow(frame) for frame in frames[1:])]
    for ours, theirs in zip(said, right, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    assert (said[1] - said[2]).abs().max() > 0
    outputs = tracker._session.output_dict_per_obj[0]["non_cond_frame_outputs"]
    assert len(outputs) <= 5
    assert not tracker._session.processed_frames


@pytest.mark.parametrize("name", NAMES)
def test_a_box_and_points_are_asked_in_the_network_s_own_pixels(name: str, folders: dict[str, Path]) -> None:
    tracker = VideoTracker(name, folders[name], "cpu")
    asked = tracker._prompts((10.0, 20.0, 50.0, 60.0), [(30.0, 40.0, True), (5.0, 6.0, False)], 2 * SIDE, SIDE // 2)
    assert asked["point_coords"].tolist() == [[[[20, 10], [100, 30], [60, 20], [10, 3]]]]
    assert asked["point_labels"].tolist() == [[[2, 3, 1, 0]]]
    wide = torch.rand(1, 3, 40, 90, generator=torch.Generator().manual_seed(2))
    assert tracker.begin(wide, None, (10.0, 5.0, 50.0, 30.0), []).shape == (1, 1, 40, 90)


def test_weights_that_are_not_the_tracker_s_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json and no model\.safetensors"):
        VideoTracker("sam2", tmp_path, "cpu")
    with pytest.raises(CheckpointError, match="EdgeTAM's config"):
        VideoTracker("edgetam", folders["sam2"], "cpu")
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folders["sam2"] / name).read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["mask_decoder.mask_tokens.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 weights missing, such as mask_decoder\.mask_tokens"):
        VideoTracker("sam2", tmp_path, "cpu")


def test_the_licence_is_the_one_that_the_folder_names(folders: dict[str, Path]) -> None:
    assert "the published weights of SAM 2 are under Apache-2.0" in VideoTracker("sam2", folders["sam2"], "cpu").licence
    (folders["sam2"] / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Weights\n")
    assert VideoTracker("sam2", folders["sam2"], "cpu").licence == "apache-2.0 (README.md of the weights)"


def test_without_transformers_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SettingError, match=r"matanyone-engine\[track\]"):
        VideoTracker("edgetam", tmp_path, "cpu")
