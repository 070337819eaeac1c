# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch
from toy import TOY, toy_network

from matanyone_engine.errors import CheckpointError
from matanyone_engine.model import MATANYONE, MINI, Dims, MatAnyone
from matanyone_engine.model.blocks import PositionCode, attention_taps, gated_update
from matanyone_engine.model.object_transformer import Attention, FewKeys, FewQueries, visible_pixels
from matanyone_engine.model.registry import load_trainable


def parameters(network: MatAnyone) -> int:
    return sum(p.numel() for p in network.parameters())


def test_presets_have_the_published_sizes() -> None:
    published = MatAnyone(MATANYONE)
    assert len(published.state_dict()) == 562
    assert parameters(published) == 35_249_195
    assert 2_000_000 < parameters(MatAnyone(MINI)) < 6_000_000


def test_dims_survive_json_and_refuse_nonsense() -> None:
    assert Dims.from_json(MINI.to_json()) == MINI
    with pytest.raises(CheckpointError, match="trunk_widht"):
        Dims.from_json('{"trunk_widht": 32}')
    with pytest.raises(CheckpointError, match="heads do not divide"):
        Dims(embed_dim=100, transformer_heads=8)
    with pytest.raises(CheckpointError, match="trunk_width"):
        Dims(trunk_width=-4)


@pytest.mark.parametrize(("channels", "taps"), [(256, 5), (64, 3), (128, 5), (16, 3)])
def test_attention_taps_are_odd_and_grow(channels: int, taps: int) -> None:
    assert attention_taps(channels) == taps


def test_position_code_by_hand() -> None:
    code = PositionCode(8, scale=32, temperature=128)((2, 3)).reshape(2, 3, 8)
    x, y = 1 / (2 + 1e-6) * 32, 1 / (1 + 1e-6) * 32
    slow = 128 ** (-2 / 4)
    expected = [math.sin(x), math.cos(x), math.sin(x * slow), math.cos(x * slow)]
    expected += [math.sin(y), math.cos(y), math.sin(y * slow), math.cos(y * slow)]
    assert code[1, 1].tolist() == pytest.approx(expected, abs=1e-5)


def test_position_code_of_one_row_is_finite() -> None:
    assert torch.equal(PositionCode(8, 32, 128)((1, 1))[0, 0], torch.tensor([0.0, 1.0] * 4))


def test_gated_update_by_hand() -> None:
    gates = torch.tensor([0.3, -0.2, 0.7]).view(1, 3, 1, 1)
    forget, update, new = 1 / (1 + math.exp(-0.3)), 1 / (1 + math.exp(0.2)), math.tanh(0.7)
    result = gated_update(gates, torch.full((1, 1, 1, 1), 0.5)).item()
    assert result == pytest.approx(forget * 0.5 * (1 - update) + update * new, abs=1e-6)


def test_a_query_without_visible_pixels_attends_to_all() -> None:
    logits = torch.tensor([[-1.0, -2.0], [-3.0, -4.0]]).view(1, 1, 2, 2)
    assert visible_pixels(logits, 4).all()
    mixed = torch.tensor([[0.0, -2.0], [3.0, -4.0]]).view(1, 1, 2, 2)
    allowed = visible_pixels(mixed, 4)
    assert allowed[0, 0].tolist() == [True, False, True, False]
    assert allowed[0, 3].tolist() == [False, True, False, True]


@pytest.mark.parametrize("kind", [Attention, FewQueries, FewKeys])
def test_attention_equals_torch_multihead_attention(kind: type[Attention]) -> None:
    torch.manual_seed(0)
    ours, theirs = kind(16, 4).double(), torch.nn.MultiheadAttention(16, 4, batch_first=True).double()
    torch.nn.init.normal_(ours.in_proj_bias)
    torch.nn.init.normal_(ours.out_proj.bias)
    theirs.load_state_dict(ours.state_dict())
    query, key, value = (torch.randn(2, length, 16, dtype=torch.float64) for length in (5, 7, 7))
    assert torch.allclose(ours(query, key, value), theirs(query, key, value)[0], atol=1e-6)
    if kind is not FewKeys:
        allowed = torch.rand(2, 5, 7) > 0.3
        allowed[..., 0] = True
        expected = theirs(query, key, value, attn_mask=~allowed.repeat_interleave(4, 0))[0]
        assert torch.allclose(ours(query, key, value, allowed), expected, atol=1e-6)


def test_attention_on_its_few_side_is_the_plain_one_in_mini() -> None:
    transformer = load_trainable("mini").object_transformer
    with torch.inference_mode():
        readout, summary = torch.randn(1, MINI.embed_dim, 6, 9), torch.randn(1, MINI.num_queries, MINI.embed_dim)
        on_few = transformer(readout, summary).readout
        for block in transformer.blocks:
            for reader in (block.read_from_pixel, block.read_from_query):
                plain = Attention(MINI.embed_dim, MINI.transformer_heads)
                plain.load_state_dict(reader.cross_attn.state_dict())
                reader.cross_attn = plain
        assert torch.allclose(on_few, transformer(readout, summary).readout, atol=1e-4)


def test_the_network_keeps_nothing_between_calls() -> None:
    network = toy_network()
    plate, other = torch.rand(1, 3, 32, 48), torch.rand(1, 3, 64, 32)
    first = network.encode_image(plate)
    network.encode_image(other)
    assert all(torch.equal(a, b) for a, b in zip(first, network.encode_image(plate), strict=True))


def test_training_heads_return_the_right_shapes() -> None:
    network = toy_network()
    features = network.encode_image(torch.rand(2, 3, 32, 48))
    sensory = torch.rand(2, TOY.sensory_dim, 2, 3)
    assert network.aux_computer.sensory_aux(features.pix, sensory).shape == (2, 1, 2, 3)
    maps = network.decode(features, torch.rand(2, TOY.embed_dim, 2, 3))
    assert network.mask_decoder.segmentation_logits(maps).shape == (2, 1, 32, 48)
