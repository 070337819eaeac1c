# SPDX-License-Identifier: Apache-2.0
"""SAM 2 with a tiny network of random weights: what is asked of it, what is refused. Its skill is not tested here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import prompted
import pytest
import torch
from safetensors.torch import load_file, save_file
from shots import read_image
from tiny_trackers import vision

from matanyone_engine.cli.main import main
from matanyone_engine.errors import CheckpointError, SettingError
from matanyone_engine.media.images import read_header
from matanyone_engine.model.sam2 import Sam2

SIDE = 128
BOX = (20.0, 10.0, 100.0, 90.0)
POINTS = ((40.0, 50.0, True), (110.0, 120.0, False))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    config = transformers.Sam2Config(
        vision_config=vision(transformers, SIDE, 32),
        prompt_encoder_config=transformers.Sam2PromptEncoderConfig(hidden_size=32, image_size=SIDE),
        mask_decoder_config=transformers.Sam2MaskDecoderConfig(
            hidden_size=32, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=16
        ),
    )
    folder = tmp_path_factory.mktemp("sam2") / "tiny"
    transformers.Sam2Model(config).save_pretrained(folder)
    return folder


def image(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


def plainly(folder: Path, square: torch.Tensor, several: bool, **asked: Any) -> Any:
    """What transformers itself answers to a picture of the network's own size."""
    from transformers import Sam2Model

    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = (square - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)
    with torch.inference_mode():
        return Sam2Model.from_pretrained(folder).eval()(pixel_values=pixels, multimask_output=several, **asked)


def test_box_and_points_reach_the_network_unchanged(weights: Path) -> None:
    picture = image(SIDE, SIDE)
    asked = {
        "input_boxes": torch.tensor([[BOX]]),
        "input_points": torch.tensor([[[point[:2] for point in POINTS]]]),
        "input_labels": torch.tensor([[[1, 0]]]),
    }
    said = plainly(weights, picture, several=False, **asked)
    assert torch.allclose(Sam2(weights, "cpu")(picture, BOX, POINTS), said.pred_masks[:, 0, :1], atol=1e-6)


def test_the_likeliest_of_three_masks_for_a_click_is_used(weights: Path) -> None:
    picture = image(SIDE, SIDE)
    point = torch.tensor([[[POINTS[0][:2]]]])
    said = plainly(weights, picture, True, input_points=point, input_labels=torch.tensor([[[1]]]))
    best = int(said.iou_scores[0, 0].argmax())
    assert torch.allclose(Sam2(weights, "cpu")(picture, None, POINTS[:1]), said.pred_masks[:, 0, best, None], atol=1e-6)


def test_prompts_are_stretched_with_the_picture(weights: Path) -> None:
    wide = image(SIDE // 2, 2 * SIDE)
    stretched = torch.nn.functional.interpolate(wide, (SIDE, SIDE), mode="bilinear", antialias=True)
    network = Sam2(weights, "cpu")
    box = tuple(side * scale for side, scale in zip(BOX, (2, 0.5, 2, 0.5), strict=True))
    points = [(2 * x, y / 2, subject) for x, y, subject in POINTS]
    assert torch.allclose(network(wide, box, points), network(stretched, BOX, POINTS), atol=1e-6)


def test_the_command_makes_a_mask_by_it(weights: Path, tmp_path: Path) -> None:
    words = ["mask", prompted.write_plate(tmp_path), "--box", "34,8,80,54", "--stroke", "50,30 60,30,+"]
    out = tmp_path / "mask.exr"
    assert main([*words, "--sam2", str(weights), "--device", "cpu", "--out", str(out)]) == 0
    header = {item.name: item.value for item in read_header(out).attributes}
    assert header["matanyone:maskBackend"].startswith("SAM 2, tiny, sha256 ")
    mask = read_image(out)[..., 3]
    assert mask.max() > 0.5
    assert not mask[:, :30].any(), "outside of the box"
    assert not mask[60:].any()
    assert main([*words, "--sam2", str(weights), "--device", "cpu", "--out", str(tmp_path / "again.exr")]) == 0
    assert np.array_equal(read_image(tmp_path / "again.exr"), read_image(out))


def test_without_transformers_it_says_what_to_install(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SettingError, match=r"matanyone-engine\[sam2\]"):
        Sam2(weights)


def test_other_folders_are_refused_and_nothing_is_fetched(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config.json and no model.safetensors"):
        Sam2(Path("facebook/sam2.1-hiera-tiny"))
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    (lacking / "config.json").write_bytes((weights / "config.json").read_bytes())
    tensors = load_file(weights / "model.safetensors")
    tensors.pop("no_memory_embedding")
    save_file(tensors, lacking / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="no_memory_embedding"):
        Sam2(lacking, "cpu")
    (lacking / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(CheckpointError):
        Sam2(lacking, "cpu")
    (lacking / "config.json").write_text("{}")
    with pytest.raises(CheckpointError):
        Sam2(lacking, "cpu")


def test_a_back_end_without_its_weights_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["mask", prompted.write_plate(tmp_path), "--box", "34,8,80,54", "--out", str(tmp_path / "mask.exr")]
    assert main([*words, "--backend", "sam2"]) == 2
    assert "--sam2 FOLDER" in capsys.readouterr().err
