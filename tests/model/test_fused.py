# SPDX-License-Identifier: Apache-2.0
"""Convolutions with what follows them in one pass equal the steps one after another."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from toy import disc, plates, toy_network

from matanyone_engine import MattingSession
from matanyone_engine.model import MatAnyone, fused
from matanyone_engine.model.backbone import BasicBlock, Bottleneck
from matanyone_engine.model.blocks import Conv2d, token_map
from matanyone_engine.model.precision import Precision, half_type, prepared
from matanyone_engine.model.registry import load_trainable

needs_fusing = pytest.mark.skipif(not fused._THERE, reason="this torch has no fused convolutions")
SHAPES = [(3, 5, 1, 1), (4, 8, 3, 1), (8, 8, 3, 2), (3, 16, 7, 2), (16, 8, 1, 2)]
HALF = half_type(torch.device("cpu"))
TYPES = [torch.float32] + ([HALF] if HALF else [])


def layer(inputs: int, outputs: int, kernel: int, stride: int, dtype: torch.dtype) -> Conv2d:
    torch.manual_seed(3)
    return Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2).to(dtype)


def close(a: Tensor, b: Tensor) -> bool:
    """To rounding: a fused step rounds once where single steps round each time."""
    assert a.dtype == b.dtype
    return torch.allclose(a, b, rtol=2e-2, atol=3e-2) if a.dtype is HALF else torch.allclose(a, b, atol=1e-5)


@needs_fusing
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_fused_is_one_step_after_another(
    shape: tuple[int, int, int, int], dtype: torch.dtype, layout: torch.memory_format
) -> None:
    conv = layer(*shape, dtype)
    x = torch.randn(2, shape[0], 18, 22, dtype=dtype).contiguous(memory_format=layout)
    with torch.inference_mode():
        answer = conv(x)
        base = torch.randn_like(answer).contiguous(memory_format=layout)
        assert close(conv.then_relu(x), F.relu(answer))
        assert close(conv.onto(base.clone(), x), answer + base)
        assert close(conv.onto(base.clone(), x, relu=True), F.relu(answer + base))


@needs_fusing
@pytest.mark.parametrize("dtype", TYPES)
def test_layouts_that_strides_do_not_tell_apart(dtype: torch.dtype) -> None:
    """Single pixels, single channels, and a map made of tokens: the operator refuses some of them outright."""
    sides = itertools.product((1, 2, 5), (1, 3), (1, 3), (1, 2), (1, 2, 6), (1, 2, 7), (False, True))
    for inputs, outputs, kernel, stride, height, width, last in sides:
        conv = layer(inputs, outputs, kernel, stride, dtype)
        if last:
            conv = conv.to(memory_format=torch.channels_last)
        for x in (
            torch.randn(1, inputs, height, width, dtype=dtype),
            token_map(torch.randn(1, height * width, inputs, dtype=dtype), (height, width)),
        ):
            with torch.inference_mode():
                answer = conv(x)
                base = torch.randn_like(answer)
                assert close(conv.onto(base.clone(), x), answer + base)
                assert close(conv.onto(base.clone(), x, relu=True), F.relu(answer + base))


@needs_fusing
def test_it_is_computed_in_the_precision_of_the_weights() -> None:
    conv = layer(4, 4, 3, 1, torch.float32)
    x = torch.randn(1, 4, 9, 9, dtype=torch.float64)
    with torch.inference_mode():
        assert close(conv.then_relu(x), F.relu(conv(x.float())))


def test_training_takes_the_single_steps_with_their_gradients() -> None:
    conv, x = layer(4, 4, 3, 1, torch.float32), torch.randn(1, 4, 9, 9)
    base = torch.randn(1, 4, 9, 9)
    before = base.clone()
    conv.onto(base, conv.then_relu(x), relu=True).sum().backward()
    assert conv.weight.grad is not None
    assert torch.equal(base, before), "what training adds to is still needed for its gradients"


@pytest.mark.parametrize(
    "block", [BasicBlock(8, 8, 1), BasicBlock(8, 16, 2), Bottleneck(16, 4, 1), Bottleneck(8, 4, 2)]
)
def test_a_folded_block_equals_the_plain_one(block: nn.Module) -> None:
    from matanyone_engine.model.precision import _fold

    for norm in (each for each in block.modules() if isinstance(each, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        norm.running_mean = torch.randn_like(norm.weight)
    x = torch.randn(1, next(block.parameters()).shape[1], 12, 14)
    with torch.inference_mode():
        plain = block.eval()(x.clone())
        _fold(block)
        assert torch.allclose(block(x.clone()), plain, atol=1e-5)


@pytest.mark.parametrize("precision", [Precision.EXACT, *([Precision.FAST] if HALF else [])])
@pytest.mark.parametrize("stored", [toy_network, lambda: load_trainable("mini")], ids=["toy", "mini"])
def test_a_torch_without_fused_convolutions_answers_the_same(
    stored: object, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(stored)
    network = prepared(stored(), precision)
    with_them = matted(network)
    monkeypatch.setattr(fused, "_THERE", False)
    apart = (matted(network) - with_them).abs()
    assert float(apart.max()) > 0
    # In half precision each step of the plain way rounds once more.
    assert float(apart.max()) < 1e-4 if precision is Precision.EXACT else float(apart.mean()) < 1e-2


def matted(network: MatAnyone) -> Tensor:
    session, shot = MattingSession(network, settle_passes=1), plates(5)
    return torch.stack([session.seed(shot[0], disc()), *(session.advance(plate) for plate in shot[1:])])
