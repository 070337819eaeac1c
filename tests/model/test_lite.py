# SPDX-License-Identifier: Apache-2.0
"""The network with an EfficientNet-Lite0 trunk: its shapes, its sizes, and that it learns and runs like the others."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from matanyone_engine.errors import CheckpointError
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.model import MatAnyone, for_inference, network_digest
from matanyone_engine.model.dims import CORE_SIZE, LITE, MATANYONE, MINI, Dims
from matanyone_engine.model.lite import LitePixelEncoder, LiteTrunk
from matanyone_engine.model.precision import Precision, half_type, prepared
from matanyone_engine.training.loop import trunk_parameters


@pytest.fixture(scope="module")
def network() -> MatAnyone:
    torch.manual_seed(1)
    made = MatAnyone(LITE)
    for module in made.modules():  # statistics that are not the identity, or folding could not be wrong
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return for_inference(made)


def test_maps_of_the_trunk_have_the_strides_of_the_decoder(network: MatAnyone) -> None:
    features = network.encode_image(torch.rand(1, 3, 64, 96))
    assert features.pix.shape[-2:] == (4, 6)
    assert [skip.shape[-2:] for skip in (features.skip8, features.skip4, features.skip2)] == [
        (8, 12),
        (16, 24),
        (32, 48),
    ]


def test_four_pixels_of_alpha_come_from_each_pixel_of_the_last_map(network: MatAnyone) -> None:
    features = network.encode_image(torch.rand(1, 3, 64, 96))
    maps = network.decode(features, torch.randn(1, LITE.embed_dim, 4, 6))
    assert maps.p1 is None
    assert maps.raw_alpha.shape == (1, 1, 64, 96)
    assert torch.equal(maps.raw_alpha, network.decode_in_strips(features, maps.p16).raw_alpha)


def test_a_convolution_pads_as_tensorflow_does_at_stride_two() -> None:
    trunk = LiteTrunk()
    with torch.no_grad():
        trunk.stem.weight.zero_()
        trunk.stem.weight[:, 0, 2, 2] = 1.0  # looks at the pixel below and right of the four that become one
    x = torch.arange(64.0).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    seen = trunk.stem(x)[0, 0]
    assert seen[0, 0] == x[0, 0, 2, 2]
    assert seen[3, 3] == 0, "what lies beyond the lower right corner"


def test_training_leaves_the_trunks_statistics_alone() -> None:
    network = MatAnyone(LITE).train()
    assert isinstance(network.pixel_encoder, LitePixelEncoder)
    norms = [m for m in network.pixel_encoder.trunk.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert network.pixel_encoder.to16[1].training, "the projections behind the trunk learn theirs"


def test_only_the_trunk_counts_as_trained_before() -> None:
    names = trunk_parameters(MatAnyone(LITE))
    assert all(name.startswith("pixel_encoder.trunk.") for name in names)
    assert "pixel_encoder.trunk.stem.weight" in names


def test_weights_in_another_order_are_refused() -> None:
    state = LiteTrunk().state_dict()
    with pytest.raises(CheckpointError, match="shape"):
        LiteTrunk().load_imagenet(dict(reversed(state.items())))


def test_folding_the_norms_changes_rounding_alone(network: MatAnyone) -> None:
    plate, ready = torch.rand(1, 3, 64, 96), prepared(network, Precision.EXACT)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in ready.modules())
    for ours, folded in zip(network.encode_image(plate), ready.encode_image(plate), strict=True):
        torch.testing.assert_close(folded, ours, rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(half_type(torch.device("cpu")) is None, reason="this CPU computes half precision no faster")
def test_fast_computes_the_alpha_in_float32(network: MatAnyone) -> None:
    ready = prepared(network, Precision.FAST)
    features = ready.encode_image(torch.rand(1, 3, 64, 96))
    maps = ready.decode(features, torch.randn(1, LITE.embed_dim, 4, 6))
    assert maps.raw_alpha.dtype is torch.float32
    assert ready.pixel_encoder.trunk.stem.weight.dtype is half_type(torch.device("cpu"))


def test_the_core_runs_at_its_own_size_by_default(network: MatAnyone) -> None:
    assert (MATANYONE.core_size, MINI.core_size, LITE.core_size) == (None, None, CORE_SIZE)
    ready = MattingSession(network).ready(torch.rand(3, 2 * CORE_SIZE, 2 * CORE_SIZE + 16))
    assert min(ready.geometry.working) == CORE_SIZE
    asked = MattingSession(network, working_size=64).ready(torch.rand(3, 128, 160))
    assert min(asked.geometry.working) == 64


def test_a_restored_session_goes_on_with_the_same_bits(network: MatAnyone) -> None:
    plates = torch.rand(4, 3, 48, 64)
    mask = torch.zeros(48, 64)
    mask[8:40, 16:48] = 1
    whole, cut = MattingSession(network), MattingSession(network)
    for session in (whole, cut):
        session.seed(plates[0], mask)
        session.advance(plates[1])
    restored = MattingSession.restore(network, cut.snapshot())
    for plate in plates[2:]:
        assert torch.equal(whole.advance(plate), restored.advance(plate))


def test_dims_are_stored_as_before() -> None:
    """Digests of networks hold the dims' text: results of version 0.1.0 must keep their names."""
    assert Dims.from_json(LITE.to_json()) == LITE
    assert set(dataclasses.asdict(MINI)) == set(dataclasses.asdict(LITE))
    assert network_digest(MatAnyone(LITE)) != network_digest(MatAnyone(MINI))
