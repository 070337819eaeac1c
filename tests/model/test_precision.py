# SPDX-License-Identifier: Apache-2.0
"""What is done for speed equals the plain network within stated bounds, on random weights and on mini."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toy import disc, plates, toy_network

from matanyone_engine import MattingSession, load_network
from matanyone_engine.errors import BadResult, SettingError
from matanyone_engine.matting import self_test
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.masks import read_mask
from matanyone_engine.media.plates import open_plate
from matanyone_engine.model import MINI, MatAnyone, for_inference, network_digest
from matanyone_engine.model.blocks import OneChannelConv3
from matanyone_engine.model.decoder import STRIP_BYTES
from matanyone_engine.model.precision import Precision, choose_precision, gains_by_half, half_type, prepared
from matanyone_engine.model.registry import load_trainable

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
needs_half = pytest.mark.skipif(half_type(CPU) is None, reason="this CPU has no bfloat16 instructions")


@pytest.fixture(scope="module")
def mini() -> MatAnyone:
    return load_trainable("mini")


def matted(network: MatAnyone, frames: int = 7) -> Tensor:
    session, shot = MattingSession(network, warm_up_passes=2), plates(frames)
    return torch.stack([session.seed(shot[0], disc()), *(session.advance(plate) for plate in shot[1:])])


def example(network: MatAnyone, frames: int = 4) -> Tensor:
    """The first alphas of the example shot, at half of its size."""
    plate, view = open_plate(ROOT / "examples" / "plate"), NetworkView("lin_rec709_scene")
    mask = read_mask(ROOT / "examples" / "mask.1001.exr", plate.header(1001).resolution)[::2, ::2]
    session = MattingSession(network)
    shown = [view(plate.read(frame).rgb)[::2, ::2] for frame in plate.frames[:frames]]
    return torch.stack([session.seed(shown[0], mask), *(session.advance(each) for each in shown[1:])])


def test_exact_is_the_plain_network_to_rounding(mini: MatAnyone) -> None:
    for network in (toy_network(), mini):
        ready = prepared(network, Precision.EXACT)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in ready.modules())
        assert float((matted(ready) - matted(network)).abs().max()) < 1e-4


@needs_half
def test_fast_stays_near_exact_on_mini(mini: MatAnyone) -> None:
    """On the example shot: of plates of noise no trained network is sure, and every rounding tips it over."""
    fast, exact = example(prepared(mini, Precision.FAST)), example(prepared(mini, Precision.EXACT))
    assert float((fast - exact).abs().mean()) < 2e-3
    assert not torch.equal(fast, exact)
    assert fast.dtype == torch.float32


@needs_half
def test_fast_alphas_have_more_than_eight_bits(mini: MatAnyone) -> None:
    session = MattingSession(prepared(mini, Precision.FAST))
    shot = [(self_test._plate(frame), self_test._disc(frame)) for frame in range(3)]
    session.seed(*shot[0])
    alpha = torch.stack([session.advance(plate) for plate, _ in shot[1:]])
    soft = alpha[(alpha > 0.5) & (alpha < 1)]
    assert len(soft) > 100
    # In bfloat16 all of these would lie on multiples of 1/256.
    assert float(((soft * 256) % 1).std()) > 0.2


@needs_half
def test_memory_and_state_are_float32(mini: MatAnyone) -> None:
    session = MattingSession(prepared(mini, Precision.FAST), warm_up_passes=0)
    session.seed(plates(1)[0], disc())
    carried, stored = session.state.carried, session.state.bank.tokens
    assert carried is not None
    assert stored is not None
    assert {x.dtype for x in (*carried, *stored.tensors().values())} == {torch.float32}


def test_the_stored_network_is_left_as_it_is() -> None:
    network = toy_network()
    before, digest = matted(network), network_digest(network)
    ready = prepared(network, Precision.EXACT)
    assert network_digest(ready) == digest
    assert torch.equal(matted(network), before)


@needs_half
def test_a_snapshot_goes_on_only_in_its_own_precision(mini: MatAnyone) -> None:
    session = MattingSession(prepared(mini, Precision.FAST), warm_up_passes=0)
    session.seed(plates(1)[0], disc())
    blob = session.snapshot()
    again = MattingSession.restore(prepared(mini, Precision.FAST), blob)
    plate = plates(2)[1]
    assert torch.equal(again.advance(plate), session.advance(plate))
    with pytest.raises(Exception, match="another network"):
        MattingSession.restore(prepared(mini, Precision.EXACT), blob)


@pytest.mark.parametrize("strip_bytes", [1, 20_000, STRIP_BYTES])
@pytest.mark.parametrize("name", ["toy", "MINI"])
def test_strips_decode_the_same(name: str, strip_bytes: int) -> None:
    network = for_inference(MatAnyone(MINI)) if name == "MINI" else toy_network()
    with torch.inference_mode():
        features = network.encode_image(torch.rand(1, 3, 80, 48))
        readout = torch.randn(1, network.dims.embed_dim, 5, 3)
        whole = network.decode(features, readout)
        strips = network.mask_decoder.in_strips(features, readout, strip_bytes)
    assert torch.allclose(strips.raw_alpha, whole.raw_alpha, atol=1e-5)
    assert torch.allclose(strips.p2, whole.p2, atol=1e-5)
    assert torch.allclose(strips.p1, nn.functional.avg_pool2d(whole.p1, 16), atol=1e-5)


@pytest.mark.parametrize("size", [(2, 3, 5, 7), (1, 16, 1, 9), (1, 4, 33, 1), (1, 24, 40, 48)])
def test_a_convolution_to_one_channel_is_what_torch_computes(size: tuple[int, int, int, int]) -> None:
    layer, x = OneChannelConv3(size[1]), torch.randn(size)
    with torch.inference_mode():
        own = layer(x)
        as_torch = nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
    assert torch.allclose(own, as_torch, atol=1e-5)
    assert torch.equal(layer(x), as_torch), "training keeps torch's own, with its gradients"


@pytest.mark.parametrize("precision", [Precision.EXACT, pytest.param(Precision.FAST, marks=needs_half)])
def test_nan_never_becomes_an_alpha(precision: Precision) -> None:
    """Wherever in the network it arises: a step that dropped it would hide it behind plausible pixels."""
    # These train only, or say no more than yes and no; whoever loads weights refuses numbers that are none.
    silent = ("aux_computer", "mask_decoder.pred_seg", "object_transformer.mask_pred")
    layers = [
        name
        for name, module in toy_network().named_modules()
        if isinstance(module, nn.Conv2d | nn.Conv1d | nn.Linear) and not name.startswith(silent)
    ]
    assert len(layers) > 50
    hidden = []
    for layer in layers:
        network = toy_network()
        network.get_submodule(layer).weight[(0, ...)] = float("nan")
        with contextlib.suppress(BadResult):
            matted(prepared(network, precision), 4)
            hidden.append(layer)
    assert not hidden


def test_auto_is_fast_only_where_verified() -> None:
    half = gains_by_half(CPU)
    assert choose_precision("auto", CPU, verified=False) is Precision.EXACT
    assert choose_precision("auto", CPU, verified=True) is (Precision.FAST if half else Precision.EXACT)
    assert load_network("mini", "cpu").precision == ("fast" if half else "exact")
    with pytest.raises(SettingError, match="auto, exact, fast"):
        choose_precision("turbo", CPU, verified=True)


@needs_half
def test_memory_is_searched_in_half_precision_only_where_that_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert prepared(toy_network(), Precision.FAST).half_search
    assert not prepared(toy_network(), Precision.EXACT).half_search
    # As on a GPU before bfloat16, where distances would leave the range.
    monkeypatch.setattr("matanyone_engine.model.precision.half_type", lambda _device: torch.float16)
    assert not prepared(toy_network(), Precision.FAST).half_search


def test_fast_is_refused_where_nothing_is_gained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matanyone_engine.model.precision.half_type", lambda _device: None)
    with pytest.raises(SettingError, match="no instructions"):
        choose_precision("fast", CPU, verified=True)
    assert choose_precision("auto", CPU, verified=True) is Precision.EXACT


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", list(Precision))
def test_a_gpu_agrees_with_the_cpu_in_either_precision(mini: MatAnyone, precision: Precision) -> None:
    exact = matted(prepared(mini, Precision.EXACT))
    assert float((matted(prepared(mini.to("cuda"), precision)).cpu() - exact).abs().mean()) < 2e-3
