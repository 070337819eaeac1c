# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from toy import disc, plates, toy_network

from matanyone_engine import MattingSession, MemoryPolicy
from matanyone_engine.errors import MaskError, SettingError
from matanyone_engine.matting.geometry import Box, Geometry, Window
from matanyone_engine.matting.inside_outside import Constraints
from matanyone_engine.matting.region import Region, followed, subject_cells
from matanyone_engine.matting.shift_window import moved
from matanyone_engine.model.registry import load_network
from matanyone_engine.sizes import Size

WHOLE = Window(0, 0, 40, 60)
POLICY = MemoryPolicy(memory_every=2, bank_frames=3)


@pytest.fixture(scope="module")
def network() -> Any:
    return toy_network()


@pytest.fixture(scope="module")
def mini() -> Any:
    return load_network("mini", "cpu")


# -- what is asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["off", "follow", "0,16,64,48", "1001:0,0,9,9", "-3:0,0,9,9 1001:5,5,9,9", "9:1,1,2,2 10:1,1,3,3"]
)
def test_a_region_is_read_and_written_alike(text: str) -> None:
    assert str(Region.parse(text)) == text
    assert Region.parse(None).off


@pytest.mark.parametrize("text", ["", "on", "1,2,3", "5,5,5,9", "1:0,0,9,9 0,0,9,9", "7:0,0,9,9 7:0,0,8,8", "1,2,-3,4"])
def test_what_is_no_region_is_refused(network: Any, text: str) -> None:
    with pytest.raises(SettingError, match="region"):
        MattingSession(network, region=text)


def test_boxes_lie_on_the_line_between_their_keys() -> None:
    region = Region.parse("1001:0,0,100,50 1011:100,20,200,71")
    assert [str(region.box(n)) for n in (990, 1001, 1006, 1011, 1100)] == [
        "0,0,100,50",
        "0,0,100,50",
        "50,10,150,61",
        "100,20,200,71",
        "100,20,200,71",
    ]
    with pytest.raises(SettingError, match="frame number"):
        region.box(None)


@pytest.mark.parametrize(
    ("working", "core"), [(None, None), (90, None), (33, None), (None, 240), (None, 270), (None, 432)]
)
def test_a_window_shows_its_box_and_its_box_holds_all_of_it(working: int | None, core: int | None) -> None:
    geometry = Geometry.of(Size(181, 333), working, core)
    for box in (Box(0, 0, 333, 181), Box(17, 33, 18, 34), Box(100, 100, 333, 140)):
        reach = geometry.box_of(geometry.window_of(box))
        assert reach.x0 <= box.x0 < box.x1 <= reach.x1
        assert reach.y0 <= box.y0 < box.y1 <= reach.y1
    window = geometry.window_of(Box(100, 60, 150, 90))
    ones = torch.ones(1, 1, *(16 * side for side in window.size))
    full = geometry.restore(window.placed(ones, geometry.whole))[0, 0]
    reach = geometry.box_of(window)
    full[reach.y0 : reach.y1, reach.x0 : reach.x1] = 0
    assert not full.any()


# -- following, as a decision -----------------------------------------------------------------------------------------


def test_a_window_stays_until_the_subject_nears_a_side_then_moves_at_its_size() -> None:
    window = followed(None, Window(15, 20, 21, 26), WHOLE)
    assert window.size == (14, 14)
    seen = [window]
    for step in range(1, 25):
        seen.append(followed(seen[-1], Window(15, 20 + step, 21, 26 + step), WHOLE))
        assert seen[-1].holds(Window(15, 20 + step, 21, 26 + step).grown(2))
    assert {each.size for each in seen} == {(14, 14)}
    assert len(set(seen)) < len(seen) * 0.6


def test_a_window_grows_with_the_subject_and_shrinks_only_when_that_is_worth_it() -> None:
    small, large = Window(15, 20, 21, 26), Window(5, 10, 30, 40)
    grown = followed(followed(None, small, WHOLE), large, WHOLE)
    assert grown.holds(large.grown(4))
    assert followed(grown, Window(8, 12, 27, 38), WHOLE) == grown
    assert followed(grown, small, WHOLE).size == (14, 14)


def test_a_subject_that_is_gone_is_looked_for_everywhere() -> None:
    assert followed(Window(0, 0, 12, 12), None, WHOLE) == WHOLE


def test_the_frame_s_own_border_is_no_side_of_a_window() -> None:
    corner = Window(0, 0, 6, 6)
    window = followed(None, corner, WHOLE)
    assert (window.top, window.left) == (0, 0)
    assert followed(window, corner, WHOLE) == window


def test_the_subject_s_cells_are_counted_in_the_frame() -> None:
    alpha = torch.zeros(1, 1, 64, 48)
    assert subject_cells(alpha, Window(2, 3, 6, 6)) is None
    alpha[..., 17, 40] = 0.6
    alpha[..., 50, 3] = 0.04
    assert subject_cells(alpha, Window(2, 3, 6, 6)) == Window(3, 5, 4, 6)


# -- through the network ----------------------------------------------------------------------------------------------


def run(
    network: Any, shot: list[torch.Tensor], mask: torch.Tensor, count: int = 7, **options: Any
) -> tuple[list[torch.Tensor], MattingSession]:
    session = MattingSession(network, POLICY, warm_up_passes=1, **options)
    alphas = [session.seed(shot[0], mask, frame=1001)]
    alphas += [session.advance(plate, frame=1001 + n) for n, plate in enumerate(shot[1:count], 1)]
    return alphas, session


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize(("size", "working"), [((64, 96), None), ((49, 63), None), ((96, 130), 40)])
def test_a_region_of_the_whole_frame_is_no_region_bit_for_bit(
    network: Any, size: tuple[int, int], working: int | None
) -> None:
    shot, box = plates(7, *size), f"0,0,{size[1]},{size[0]}"
    plain = run(network, shot, disc(*size), working_size=working)[0]
    assert same(run(network, shot, disc(*size), working_size=working, region=box)[0], plain)
    keyed = f"1001:{box} 1003:{box}"
    assert same(run(network, shot, disc(*size), working_size=working, region=keyed)[0], plain)


# mini would see a small plate enlarged, and a crop of it more so; a working size of the crop's height forbids both.
@pytest.mark.parametrize(("which", "top", "height", "working"), [("toy", 16, 96, None), ("mini", 0, 64, 64)])
def test_a_box_equals_the_plate_cropped_to_it_and_0_around(
    network: Any, mini: Any, which: str, top: int, height: int, working: int | None
) -> None:
    chosen, rows = network if which == "toy" else mini, slice(top, top + 64)
    shot, mask = plates(5, height, 160), disc(height, 160)
    alphas = run(chosen, shot, mask, 5, region=f"48,{top},112,{top + 64}", working_size=working)[0]
    cropped = run(chosen, [plate[:, rows, 48:112] for plate in shot], mask[rows, 48:112], 5, working_size=working)[0]
    assert same([alpha[rows, 48:112] for alpha in alphas], cropped)
    for alpha in alphas:
        alpha[rows, 48:112] = 0
        assert not alpha.any()


KEYED = "1001:16,16,80,80 1002:16,16,80,80 1004:64,16,128,80 1005:64,16,128,80"


@pytest.mark.parametrize("which", ["toy", "mini"])
def test_windows_that_move_answer_alike_wherever_the_scene_lies(network: Any, mini: Any, which: str) -> None:
    """Scene, mask and keyed windows shifted together by whole cells: the same alphas, bit for bit."""
    chosen, sizes = (network, (None, None)) if which == "toy" else (mini, (144, 160))  # mini enlarges neither then
    scene, mask = plates(7, 160, 224), torch.zeros(160, 224)
    mask[48:96, 48:96] = disc(48, 48, 18)
    there = "1001:48,32,112,96 1002:48,32,112,96 1004:96,32,160,96 1005:96,32,160,96"
    part = [plate[:, 16:, 32:] for plate in scene]
    here = run(chosen, part, mask[16:, 32:], region=KEYED, working_size=sizes[0])
    away = run(chosen, scene, mask, region=there, working_size=sizes[1])
    assert same([alpha[16:, 32:] for alpha in away[0]], here[0])
    assert here[1].report.region.x0 > 0


def test_a_window_that_moves_over_a_still_scene_is_that_scene_cropped_anew(network: Any) -> None:
    shot, mask = plates(4, 96, 160), disc(96, 160)
    session = run(network, shot, mask, 4, region="1001:48,16,112,80 1050:48,16,112,80")[1]
    old, new = session.state, Window(1, 5, 5, 8)
    with torch.inference_mode():
        state = moved(network, old, new)
        features = network.encode_image(new.cut(shot[3][None]))
        alpha = old.window.placed(old.carried.alpha, new)
        value = network.encode_mask(features, alpha)
    assert torch.equal(state.carried.pix, features.pix)
    assert torch.equal(state.carried.value, value)
    whole = old.window.placed(old.carried.alpha, Window(0, 0, 6, 10))
    assert torch.equal(state.carried.alpha, whole[..., 16:80, 80:128])
    # Old columns 1..8 in cells, new 5..8: three of them are shared.
    first = old.window.left
    assert torch.equal(
        state.carried.sensory[..., : old.window.right - 5],
        old.carried.sensory[..., 1 - old.window.top :, 5 - first :][..., :4, : old.window.right - 5],
    )
    assert state.bank is old.bank
    assert torch.equal(state.carried.summary, old.carried.summary)
    assert moved(network, old, old.window) == old


def test_a_snapshot_between_moves_goes_on_bit_for_bit(network: Any) -> None:
    shot, mask = plates(7, 96, 160), disc(96, 160)
    region = "1001:16,16,80,80 1006:80,16,144,80"
    whole = run(network, shot, mask, region=region)[0]
    session = run(network, shot, mask, 4, region=region)[1]
    restored = MattingSession.restore(network, session.snapshot())
    assert same([restored.advance(shot[n], frame=1001 + n) for n in range(4, 7)], whole[4:])


def test_a_mask_outside_the_region_and_a_region_outside_the_plate_are_named(network: Any) -> None:
    with pytest.raises(MaskError, match="inside the region"):
        run(network, plates(1, 96, 160), disc(96, 160, 10), region="0,0,16,16")
    with pytest.raises(SettingError, match="inside the plate of 160x96"):
        run(network, plates(1, 96, 160), disc(96, 160), region="400,0,416,16")


@pytest.mark.parametrize("working", [None, 48])
def test_constraint_masks_hold_inside_a_region_and_do_not_reach_out_of_it(network: Any, working: int | None) -> None:
    shot, mask, inside = plates(2, 96, 160), disc(96, 160), torch.zeros(96, 160)
    inside[:, 100:140] = 1
    session = MattingSession(network, warm_up_passes=0, region="48,16,112,80", working_size=working)
    session.seed(shot[0], mask)
    alpha = session.advance(shot[1], constraints=Constraints(inside=inside))
    box = session.report.region
    assert (alpha[box.y0 : box.y1, 100 : box.x1] == 1).all()
    assert not outside(alpha, box).any()


def test_an_artist_s_box_that_cuts_the_subject_is_kept_and_said(mini: Any) -> None:
    shot, mask = walk(3)
    session = MattingSession(mini, warm_up_passes=2, region="0,0,96,144")
    session.seed(shot[0], mask)
    assert session.report.cut
    geometry = Geometry.of(Size(HEIGHT, WIDTH), None, mini.core_size)
    assert session.report.region == geometry.box_of(geometry.window_of(Box(0, 0, 96, 144)))
    session = MattingSession(mini, warm_up_passes=2, region="0,0,192,144")
    session.seed(shot[0], mask)
    assert not session.report.cut


# -- following, on mini -----------------------------------------------------------------------------------------------

HEIGHT, WIDTH, ACROSS = 256, 640, 24


def walk(frames: int, step: int = ACROSS, leap: int | None = None) -> tuple[list[torch.Tensor], torch.Tensor]:
    """A bright patterned disc that walks to the right over a dark, calm background; it may leap far once."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand((1, 3, HEIGHT // 16, WIDTH // 16), generator=generator)
    ground = 0.1 + 0.25 * torch.nn.functional.interpolate(coarse, size=(HEIGHT, WIDTH), mode="bicubic")[0]
    shot = []
    for number in range(frames):
        x = 80 + step * number + (360 if leap is not None and number >= leap else 0)
        shape = disc_at(x)
        skin = torch.tensor([0.9, 0.6, 0.3])[:, None, None] * torch.ones(3, HEIGHT, WIDTH)
        shot.append((ground * (1 - shape) + skin * shape).clamp(0, 1))
    return shot, disc_at(80)


def disc_at(x: int) -> torch.Tensor:
    down, across = torch.arange(HEIGHT)[:, None] - 72.0, torch.arange(WIDTH)[None] - float(x)
    return (34.5 - (down.square() + across.square()).sqrt()).clamp(0, 1)


def test_a_window_follows_a_subject_and_its_alphas_are_near_the_whole_frame_s(mini: Any) -> None:
    shot, mask = walk(11)
    plain, follows = (MattingSession(mini, warm_up_passes=2, region=region) for region in (None, "follow"))
    reports = []
    for number, plate in enumerate(shot):
        one, other = (s.seed(plate, mask) if number == 0 else s.advance(plate) for s in (plain, follows))
        reports.append(follows.report)
        truth = disc_at(80 + ACROSS * number)
        assert float((other - truth).abs().mean()) < 0.02
        assert float((one - other).abs().mean()) < 0.01
        assert not outside(truth, reports[-1].region).any()
    boxes = [report.region for report in reports]
    assert len({str(box) for box in boxes}) > 2
    assert all((box.x1 - box.x0) * (box.y1 - box.y0) < 0.5 * HEIGHT * WIDTH for box in boxes)


def outside(alpha: torch.Tensor, box: Box) -> torch.Tensor:
    rest = alpha.clone()
    rest[box.y0 : box.y1, box.x0 : box.x1] = 0
    return rest


def test_a_subject_that_would_be_cut_is_computed_again_before_its_alpha_counts(mini: Any) -> None:
    shot, mask = walk(4, step=60)
    session = MattingSession(mini, warm_up_passes=2, region="follow")
    session.seed(shot[0], mask)
    tries = []
    for number, plate in enumerate(shot[1:], 1):
        alpha = session.advance(plate)
        tries.append(session.report.tries)
        assert float((alpha - disc_at(80 + 60 * number)).abs().mean()) < 0.02
    assert max(tries) > 1
    assert session.state.cursor.frame == 3


def test_a_subject_that_leaps_out_of_the_window_is_looked_for_in_the_whole_frame(mini: Any) -> None:
    shot, mask = walk(3, step=4, leap=2)
    session = MattingSession(mini, warm_up_passes=2, region="follow")
    session.seed(shot[0], mask)
    session.advance(shot[1])
    session.advance(shot[2])
    assert session.report.tries > 1
    assert str(session.report.region) == f"0,0,{WIDTH},{HEIGHT}"


def test_following_goes_on_from_a_snapshot_bit_for_bit(mini: Any) -> None:
    shot, mask = walk(8)
    session = MattingSession(mini, warm_up_passes=1, region="follow")
    whole = [session.seed(shot[0], mask), *(session.advance(plate) for plate in shot[1:])]
    session = MattingSession(mini, warm_up_passes=1, region="follow")
    session.seed(shot[0], mask)
    for plate in shot[1:5]:
        session.advance(plate)
    restored = MattingSession.restore(mini, session.snapshot())
    assert same([restored.advance(plate) for plate in shot[5:]], whole[5:])
    assert np.isfinite(whole[-1].numpy()).all()
