# SPDX-License-Identifier: Apache-2.0
"""Writes tiny networks of random weights in the formats of SAM 2 for video and of EdgeTAM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

SIDE = 64
WIDTH = 128
"""Of the features: twice what both networks remember, which is 64 in their code."""


def vision(transformers: Any, side: int = SIDE, width: int = WIDTH) -> Any:
    """SAM 2's trunk with a few units, for pictures of `side` pixels."""
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[side, side],
        blocks_per_stage=[1, 2, 2, 2],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 1, 1],
        global_attention_blocks=[4],
    )
    return transformers.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[side // cell] * 2 for cell in (4, 8, 16)],
        fpn_hidden_size=width,
    )


def tiny(family: str, folder: Path) -> Path:
    """Write a network of random weights that looks back at two frames and three pointers."""
    transformers = pytest.importorskip("transformers", reason="trackers by SAM 2 and EdgeTAM need transformers")
    prefix = {"sam2": "Sam2Video", "edgetam": "EdgeTamVideo"}[family]
    make = lambda name, **values: getattr(transformers, f"{prefix}{name}")(**values)  # noqa: E731
    attention = "memory_attention_feed_forward_hidden_size" if family == "sam2" else "memory_attention_mlp_hidden_size"
    perceiver = {
        "memory_attention_rope_k_sizes": [2, 2],
        "perceiver_resampler_num_latents": 4,
        "perceiver_resampler_num_latents_2d": 4,
        "perceiver_resampler_hidden_size": 64,
        "perceiver_resampler_mlp_intermediate_size": 16,
        "perceiver_resampler_attention_head_dim": 64,
    }
    torch.manual_seed(5)
    config = make(
        "Config",
        vision_config=vision(transformers),
        prompt_encoder_config=make("PromptEncoderConfig", hidden_size=WIDTH, image_size=SIDE),
        mask_decoder_config=make(
            "MaskDecoderConfig", hidden_size=WIDTH, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=16
        ),
        image_size=SIDE,
        num_maskmem=3,
        max_object_pointers_in_encoder=4,
        memory_attention_hidden_size=WIDTH,
        memory_attention_num_layers=1,
        memory_attention_rope_feat_sizes=[SIDE // 16, SIDE // 16],
        memory_encoder_hidden_size=WIDTH,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=WIDTH,
        memory_fuser_embed_dim=WIDTH,
        memory_fuser_intermediate_dim=32,
        memory_fuser_num_layers=1,
        **{attention: 32},
        **(perceiver if family == "edgetam" else {}),
    )
    network = make("Model", config=config)
    with torch.no_grad():  # whatever it sees, it is sure that the object is there: else every mask is empty
        network.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(10.0)
    network.save_pretrained(folder)
    return folder
