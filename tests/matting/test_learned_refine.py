# SPDX-License-Identifier: Apache-2.0
"""Alphas of working size go through the network's refiner: in parts as in one, never outside the box, step by step."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toy import disc

from matanyone_engine.matting.geometry import Box, Geometry
from matanyone_engine.matting.inference import inference
from matanyone_engine.matting.learned_refine import SURE, learned_refined, refined_size, steps_between
from matanyone_engine.matting.options import describe_density
from matanyone_engine.matting.refine import FLAT, enlarged_lines
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.model.dims import LITE, MINI, Dims
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.precision import Precision, prepared
from matanyone_engine.model.refiner import (
    COLOUR_STRIDE,
    FOLD,
    MARGIN,
    MOST_ENLARGED,
    Refiner,
    colour_estimate,
    edge_colours,
)
from matanyone_engine.sizes import Resolution, Size

HEIGHT, WIDTH = 161, 243
SMALL = (80, 121)


@pytest.fixture
def refiner() -> Refiner:
    """One that changes what it is given."""
    torch.manual_seed(3)
    made = Refiner(8).eval().requires_grad_(requires_grad=False)
    torch.nn.init.normal_(made.head.weight, std=0.05)
    return made


@pytest.fixture
def alpha() -> torch.Tensor:
    """A disc with a soft edge at working size; most of the frame is flat."""
    hard = disc(*SMALL, 20)[None, None]
    return F.avg_pool2d(hard, 5, 1, 2)


@pytest.fixture
def plate() -> torch.Tensor:
    torch.manual_seed(4)
    return torch.rand(1, 3, HEIGHT, WIDTH)


@pytest.fixture
def seen(plate: torch.Tensor) -> torch.Tensor:
    return F.interpolate(plate, size=SMALL, mode="bilinear", align_corners=False)


def whole(refiner: Refiner, alpha: torch.Tensor, seen: torch.Tensor, plate: torch.Tensor) -> torch.Tensor:
    """The definition: all that the refiner sees, enlarged and its borders going on, at once."""
    enlarged = F.interpolate(alpha, size=(HEIGHT, WIDTH), mode="bilinear", align_corners=False)
    colours = edge_colours(alpha, seen)
    colours = enlarged_lines(colours, -2, (0, HEIGHT), 0, SMALL[0] / HEIGHT / COLOUR_STRIDE)
    colours = enlarged_lines(colours, -1, (0, WIDTH), 0, SMALL[1] / WIDTH / COLOUR_STRIDE)
    edges = (MARGIN, MARGIN + 1, MARGIN, MARGIN + 1)
    together = F.pad(torch.cat([plate, enlarged, colours], dim=1), edges, mode="replicate")
    refined = refiner(*together.split([3, 1, 6], dim=1), HEIGHT / SMALL[0]).clamp(0, 1)
    refined = refined[..., MARGIN : MARGIN + HEIGHT, MARGIN : MARGIN + WIDTH]
    return torch.where(enlarged > SURE, torch.maximum(refined, enlarged), refined)


def test_what_the_core_is_sure_of_is_never_lowered(
    alpha: torch.Tensor, seen: torch.Tensor, plate: torch.Tensor
) -> None:
    """A refiner that lowers every alpha by a half may do so at the edge only."""
    lowering = Refiner(8).eval().requires_grad_(requires_grad=False)
    assert lowering.head.bias is not None
    lowering.head.bias[FOLD**2 : 2 * FOLD**2] = -0.5
    enlarged = F.interpolate(alpha, size=(HEIGHT, WIDTH), mode="bilinear", align_corners=False)
    refined = learned_refined(lowering, alpha, seen, plate)
    sure = enlarged > SURE + 1e-4  # the two ways to enlarge differ in the last digits
    assert (refined[sure] > enlarged[sure] - 1e-5).all()
    soft = (enlarged > 0.6) & (enlarged < 0.9)
    assert (refined[soft] < enlarged[soft] - 0.4).all()


def test_parts_give_what_the_whole_gives(
    refiner: Refiner, alpha: torch.Tensor, seen: torch.Tensor, plate: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matanyone_engine.matting.learned_refine.TILE", 37)
    ours, expected = learned_refined(refiner, alpha, seen, plate), whole(refiner, alpha, seen, plate)
    enlarged = F.interpolate(alpha, size=(HEIGHT, WIDTH), mode="bilinear")
    soft = (enlarged > FLAT) & (enlarged < 1 - FLAT)
    assert float((ours - expected)[soft].abs().max()) < 1e-5
    assert float((expected - enlarged)[soft].abs().max()) > 0.05


def test_a_flat_alpha_is_left_as_it_is(refiner: Refiner, seen: torch.Tensor, plate: torch.Tensor) -> None:
    for value in (0.0, 1.0):
        assert (learned_refined(refiner, torch.full((1, 1, *SMALL), value), seen, plate) == value).all()


@pytest.mark.parametrize("full", [Size(90, 160), Size(200, 3)], ids=str)
def test_an_alpha_of_a_small_plate_stays_within_0_and_1(refiner: Refiner, full: Size) -> None:
    """The mean that brings it back to the plate's size gives 1.0000001 where all pixels are 1, if nothing holds it."""
    working = Size(*(-(-round(1.36 * side) // 16) * 16 for side in full))
    alpha, colours = torch.ones(1, 1, *working), torch.rand(1, 3, *working)
    answer = learned_refined(refiner, alpha, colours, torch.rand(1, 3, *full), refined_at=working)
    assert answer.shape[-2:] == full
    assert 0 <= float(answer.min()) <= float(answer.max()) <= 1
    assert float(answer.mean()) > 0.999999


@pytest.mark.parametrize("enlarged", [1, 2])
def test_a_box_is_answered_like_the_plate_cropped_to_it(refiner: Refiner, enlarged: int) -> None:
    torch.manual_seed(6)
    alpha = F.avg_pool2d(disc(80, 120, 24)[None, None], 5, 1, 2)
    seen, plate = torch.rand(1, 3, 80, 120), torch.rand(1, 3, 80 * enlarged, 120 * enlarged)
    box = Box(48 * enlarged, 16 * enlarged, 96 * enlarged, 64 * enlarged)
    part = learned_refined(refiner, alpha, seen, plate, box)
    cropped = learned_refined(
        refiner, alpha[..., 16:64, 48:96], seen[..., 16:64, 48:96], plate[..., box.y0 : box.y1, box.x0 : box.x1]
    )
    assert float((part[..., box.y0 : box.y1, box.x0 : box.x1] - cropped).abs().max()) < 1e-5
    part[..., box.y0 : box.y1, box.x0 : box.x1] = 0
    assert (part == 0).all()


def test_a_draft_is_refined_at_half_of_the_plates_size_and_enlarged(refiner: Refiner) -> None:
    torch.manual_seed(7)
    alpha = F.avg_pool2d(disc(40, 60, 12)[None, None], 5, 1, 2)
    seen, plate = torch.rand(1, 3, 40, 60), torch.rand(1, 3, 160, 240)
    halved = F.interpolate(plate, size=(80, 120), mode="bilinear", antialias=True)
    expected = F.interpolate(learned_refined(refiner, alpha, seen, halved), size=(160, 240), mode="bilinear")
    ours = learned_refined(refiner, alpha, seen, plate, refined_at=Size(80, 120))
    assert float((ours - expected).abs().max()) < 1e-5
    box = Box(64, 32, 192, 128)
    part = learned_refined(refiner, alpha, seen, plate, box, refined_at=Size(80, 120))
    cropped = learned_refined(
        refiner, alpha[..., 8:32, 16:48], seen[..., 8:32, 16:48], plate[..., 32:128, 64:192], refined_at=Size(48, 64)
    )
    # Halving mixes pixels from beyond the sides of a box, which a cropped plate does not have.
    assert float((part[..., 32:128, 64:192] - cropped)[..., 4:-4, 4:-4].abs().max()) < 0.05
    part[..., box.y0 : box.y1, box.x0 : box.x1] = 0
    assert (part == 0).all()


@pytest.mark.parametrize(
    ("frame", "working_size", "core_size", "expected"),
    [
        ((360, 640), None, 432, (432, 768)),
        ((270, 480), None, 432, (400, 720)),
        ((270, 480), 352, 432, (352, 624)),
        ((360, 640), 720, 432, (432, 768)),
        ((270, 480), 200, 432, (192, 352)),
        ((272, 480), 272, 432, (272, 480)),
        ((270, 480), 270, 432, (272, 480)),
        ((96, 160), None, 432, (144, 240)),
        ((5, 300), None, 432, (16, 480)),
        ((16, 17), None, 432, (96, 96)),
        ((1, 1), None, 432, (96, 96)),
        ((48, 64), None, 432, (96, 128)),
        ((16, 16), 32, 432, (32, 32)),
        ((858, 2048), None, 432, (432, 1024)),
        ((270, 480), None, None, (270, 480)),
        ((270, 480), 720, None, (270, 480)),
        ((1080, 1920), None, 432, (432, 768)),
        ((1080, 1920), 720, 432, (720, 1280)),
        ((1080, 1920), 400, 432, (400, 704)),
        ((1080, 1920), 400, None, (400, 711)),
    ],
)
def test_a_network_with_a_core_size_sees_small_plates_enlarged_and_never_padding(
    frame: tuple[int, int], working_size: int | None, core_size: int | None, expected: tuple[int, int]
) -> None:
    geometry = Geometry.of(Size(*frame), working_size, core_size)
    assert geometry.working == expected
    assert core_size is None or geometry.padding == (0, 0, 0, 0)


@pytest.mark.parametrize("region", [None, "70,40,170,120"])
def test_an_enlarged_plate_is_answered_at_its_own_size(region: str | None) -> None:
    """As if the artist had enlarged the plate and shrunk the alpha, and 0 outside of the region."""
    torch.manual_seed(11)
    network = MatAnyone(replace(LITE, refiner_width=8)).eval().requires_grad_(requires_grad=False)
    torch.nn.init.normal_(network.refiner.head.weight, std=0.05)
    small, mask = torch.rand(3, 160, 246), disc(160, 246, 40)
    frame = Geometry.of(Size(160, 246), None, network.core_size)
    assert frame.working == (240, 368)
    large = frame.shrink(small[None])[0]
    with inference():
        session = MattingSession(network, warm_up_passes=1, region=region)
        ours = session.seed(small, mask)
        large_mask = frame.shrink(mask[None, None])[0, 0]
        theirs = MattingSession(network, warm_up_passes=1, working_size=240).seed(large, large_mask)
    expected = F.interpolate(theirs[None, None], size=(160, 246), mode="bilinear", antialias=True)[0, 0]
    if region is None:
        assert float((ours - expected).abs().max()) < 1e-4
    else:
        ours = ours.clone()
        assert ours.any()
        box = session.report.region  # the cells that the region touches
        assert box is not None
        assert (box.x0 > 50, box.y0 > 20, box.x1 < 190, box.y1 < 140) == (True,) * 4
        ours[box.y0 : box.y1, box.x0 : box.x1] = 0
        assert not ours.any()


@pytest.mark.parametrize(
    ("working", "full", "core_size", "expected"),
    [
        ((432, 768), (1080, 1920), 432, (1080, 1920)),
        ((540, 960), (1080, 1920), 432, (1080, 1920)),
        ((288, 512), (1080, 1920), 432, (540, 960)),
        ((288, 512), (360, 640), 432, (288, 512)),
        ((270, 480), (270, 480), 432, (270, 480)),
        ((432, 768), (270, 480), 432, (432, 768)),
        ((200, 200), (100, 100), 432, (200, 200)),
        ((288, 512), (1080, 1920), None, (1080, 1920)),
    ],
)
def test_a_draft_is_refined_smaller_and_an_enlarged_plate_at_its_working_size(
    working: tuple[int, int], full: tuple[int, int], core_size: int | None, expected: tuple[int, int]
) -> None:
    assert refined_size(Size(*working), Size(*full), core_size) == expected


def test_an_untrained_refiner_changes_nothing(alpha: torch.Tensor, seen: torch.Tensor, plate: torch.Tensor) -> None:
    enlarged = F.interpolate(alpha, size=(HEIGHT, WIDTH), mode="bilinear", align_corners=False)
    with inference():
        ours = learned_refined(Refiner(8), alpha, seen, plate)
    assert float((ours - enlarged).abs().max()) < 1e-6


@pytest.mark.parametrize(
    ("working", "full", "count"),
    [
        ((432, 768), (432, 768), 1),
        ((432, 768), (1080, 1920), 1),
        ((432, 768), (2160, 3840), 2),
        ((64, 64), (2048, 2048), 4),
    ],
)
def test_a_large_enlargement_is_done_in_steps(working: tuple[int, int], full: tuple[int, int], count: int) -> None:
    sizes = [Size(*working), *steps_between(Size(*working), Size(*full))]
    assert len(sizes) == count + 1
    assert sizes[-1] == full
    for small, large in itertools.pairwise(sizes):
        assert large.height / small.height < MOST_ENLARGED + 0.01


def test_an_answer_depends_on_its_margin_only(refiner: Refiner, plate: torch.Tensor) -> None:
    plate, alpha = plate[..., :160, :240], torch.rand(1, 1, 160, 240)
    other = plate.clone()
    other[..., 80, 120] = 1 - other[..., 80, 120]
    colours = torch.rand(1, 6, 160, 240)
    moved = (refiner(plate, alpha, colours, 2.0) - refiner(other, alpha, colours, 2.0)).abs()[0, 0] > 0
    rows, columns = torch.nonzero(moved, as_tuple=True)
    assert 4 < int((rows - 80).abs().max()) <= MARGIN
    assert int((columns - 120).abs().max()) <= MARGIN


def test_the_colours_of_inside_and_outside_are_found_and_tell_alpha() -> None:
    """A disc of one colour on another, with a soft edge: the estimate is the alpha that mixed them."""
    hard = disc(96, 128, 30)[None, None]
    truth = F.avg_pool2d(hard, 7, 1, 3)
    red, blue = torch.tensor([0.8, 0.1, 0.2]).view(1, 3, 1, 1), torch.tensor([0.1, 0.2, 0.9]).view(1, 3, 1, 1)
    mixed = truth * red + (1 - truth) * blue
    colours = edge_colours(truth, mixed)
    assert colours.shape == (1, 6, 24, 32)
    wide = F.interpolate(colours, size=(96, 128), mode="bilinear", align_corners=False)
    near = (truth > 0.01) & (truth < 0.99)
    estimate = colour_estimate(mixed, wide)
    assert float((estimate[:, :1] - truth)[near].abs().mean()) < 0.05
    assert float(estimate[:, 2:][near].max()) < 0.02
    far = colours[0, :3, 0, 0]  # no inside near: that of farther away
    assert float((far - red[0, :, 0, 0]).abs().max()) < 0.05


def test_a_session_uses_the_refiner_of_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(5)
    network = MatAnyone(LITE)
    assert network.refiner is not None
    torch.nn.init.normal_(network.refiner.head.weight, std=0.05)
    shown = np.random.default_rng(1).random((3, 96, 128), np.float32)
    mask = disc(96, 128, 20)
    for working_size in (None, 48):
        answers = []
        for refine in (True, False):
            session = MattingSession(prepared(network, Precision.EXACT), working_size=working_size, refine=refine)
            session.seed(shown, mask)
            answers.append((session.advance(shown), session.state.known().alpha))
        assert float((answers[0][0] - answers[1][0]).abs().max()) > 1e-3
        assert torch.equal(answers[0][1], answers[1][1])  # what is remembered does not depend on it


def test_dims_without_a_refiner_read_and_write_as_before() -> None:
    assert "refiner" not in MINI.to_json()
    assert Dims.from_json(MINI.to_json()) == MINI
    assert Dims.from_json(LITE.to_json()) == LITE
    assert MatAnyone(MINI).refiner is None


class Options:
    """Those of a session, as a user leaves them."""

    warm_up_passes = region = None
    refine, hold_tolerance = True, 0.0

    def __init__(self, working_size: int | None = None) -> None:
        self.working_size = working_size


def test_an_alpha_says_what_the_network_computed() -> None:
    hd, small = Resolution(1920, 1080), Resolution(480, 270)
    assert describe_density(Options(), hd, 432, learned=True) == "768x432 of 1920x1080, refined (learned)"
    draft = Options(working_size=288)
    assert describe_density(draft, hd, 432, learned=True) == "512x288 of 1920x1080, refined (learned) at 960x540"
    assert describe_density(Options(), small, 432, learned=True) == "480x270, enlarged to 720x400, refined (learned)"
    assert describe_density(Options(), small, 432, learned=False) == "480x270, enlarged to 720x400"
    core = Resolution(768, 432)
    assert describe_density(Options(), core, 432, learned=True) == "768x432, every pixel, refined (learned)"
    assert describe_density(Options(), small, None, learned=False) == "480x270, every pixel"
