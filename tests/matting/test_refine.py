# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toy import disc, plates, toy_network

from matanyone_engine import MattingSession
from matanyone_engine.matting import refine
from matanyone_engine.matting.geometry import Box
from matanyone_engine.matting.refine import GuidedFilter, colour_functions, refined
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.media.plates import open_plate
from matanyone_engine.model.registry import load_network
from matanyone_engine.training.metrics import mean_scores, score

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def half(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)


def scene(height: int = 96, width: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """A dark disc before a bright pattern: plate (1, 3, H, W) and its true alpha (1, 1, H, W)."""
    alpha = disc(height, width, 30)[None, None]
    ground = 0.6 + 0.3 * plates(1, height, width)[0][None]
    return ground * (1 - alpha) + 0.15 * alpha, alpha


def test_functions_are_the_least_squares_fit_of_every_window() -> None:
    torch.manual_seed(0)
    how = GuidedFilter(radius=2, epsilon=1e-3)
    guide, alpha = torch.rand(1, 3, 11, 13), torch.rand(1, 1, 11, 13)
    fits = torch.zeros(4, 11, 13, dtype=torch.float64)
    for y in range(11):
        for x in range(13):
            rows, columns = slice(max(0, y - 2), y + 3), slice(max(0, x - 2), x + 3)
            colours = guide[0, :, rows, columns].flatten(1).double()
            values = alpha[0, 0, rows, columns].flatten().double()
            spread = colours - colours.mean(dim=1, keepdim=True)
            normal = spread @ spread.T / values.numel() + how.epsilon * torch.eye(3, dtype=torch.float64)
            slope = torch.linalg.solve(normal, spread @ (values - values.mean()) / values.numel())
            fits[:3, y, x], fits[3, y, x] = slope, values.mean() - slope @ colours.mean(dim=1)
    padded = torch.stack(
        [fits[:, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].mean(dim=(1, 2)) for y in range(11) for x in range(13)]
    )
    ours = colour_functions(alpha, guide, how)[0].flatten(1).T
    assert float((ours - padded).abs().max()) < 1e-4


@pytest.mark.parametrize("strip", [1, 700, 1 << 30])
def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch, strip: int) -> None:
    plate, alpha = scene(95, 129)
    small = [F.interpolate(x, size=(47, 64), mode="bilinear") for x in (alpha, plate)]
    whole = refined(*small, plate)
    monkeypatch.setattr(refine, "_STRIP_PIXELS", strip)
    assert float((refined(*small, plate) - whole).abs().max()) < 1e-6


def test_functions_are_enlarged_as_torch_enlarges() -> None:
    """With a guide that is black everywhere only the constant is left: the alpha smoothed, enlarged bilinearly."""
    alpha, black = torch.rand(1, 1, 30, 41), torch.zeros(1, 3, 77, 95)
    how = GuidedFilter()
    smooth = refine.box_mean(refine.box_mean(alpha, how.radius), how.radius)
    expected = F.interpolate(smooth, size=(77, 95), mode="bilinear", align_corners=False)
    assert float((refined(alpha, torch.zeros(1, 3, 30, 41), black, None, how) - expected).abs().max()) < 1e-5


def test_an_edge_of_the_plate_comes_back() -> None:
    plate, truth = scene()
    soft = F.interpolate(half(truth), size=truth.shape[-2:], mode="bilinear", align_corners=False)
    ours = refined(half(truth), half(plate), plate)
    assert float((ours - truth).abs().mean()) < 0.7 * float((soft - truth).abs().mean())


def test_texture_does_not_come_through_where_the_alpha_is_flat() -> None:
    noise = torch.rand(1, 3, 64, 64)
    for value in (0.0, 1.0):
        flat = torch.full((1, 1, 32, 32), value)
        assert float((refined(flat, half(noise), noise) - value).abs().max()) < 1e-5


def test_a_box_is_that_part_of_the_whole_and_0_around() -> None:
    plate, truth = scene()
    whole = refined(half(truth), half(plate), plate)
    box = Box(21, 10, 99, 80)
    part = refined(half(truth), half(plate), plate, box)
    assert float((part - whole)[..., 10:80, 21:99].abs().max()) < 1e-5
    part[..., 10:80, 21:99] = 0
    assert not part.any()


def test_flat_parts_are_only_enlarged_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the small values that a network leaves in a background, against filtering every pixel."""
    plate, truth = scene(192, 257)
    small = half(truth) + 1e-3 * torch.rand(1, 1, 96, 128) * (half(truth) == 0)
    seen = F.interpolate(plate, size=(96, 128), mode="bilinear")
    filtered: list[Box] = []
    filtering = refine._filter
    monkeypatch.setattr(refine, "_filter", lambda *args: (filtered.append(args[4]), filtering(*args))[1])
    ours = refined(small, seen, plate)
    assert 0.1 < sum((box.x1 - box.x0) * (box.y1 - box.y0) for box in filtered) / (192 * 257) < 0.6
    bound = refine.FLAT
    monkeypatch.setattr(refine, "FLAT", -1.0)
    every = refined(small, seen, plate)
    assert float((ours - every).abs().max()) < bound
    assert float((ours - every).abs().mean()) < bound / 10


@pytest.mark.parametrize("box", [Box(0, 0, 201, 133), Box(17, 40, 150, 131)])
def test_unfiltered_parts_are_flat_within_the_filters_radius(box: Box) -> None:
    torch.manual_seed(1)
    alpha = torch.zeros(67, 101)
    alpha[10:14, 50:55], alpha[60, 3], alpha[40:, 90:] = torch.rand(4, 5), 0.1, 1.0
    how, left_out = GuidedFilter(radius=2), torch.ones(133, 201, dtype=torch.bool)
    for part in refine.soft_parts(alpha, (133, 201), box, reach=2 * how.radius + 1):
        inside = left_out[part.y0 : part.y1, part.x0 : part.x1]
        assert inside.all()  # no pixel twice
        inside[:] = False
    left_out = left_out[box.y0 : box.y1, box.x0 : box.x1]
    reach = 2 * how.radius + 1
    around = F.pad(alpha[None, None], (reach,) * 4, mode="replicate")
    varies = F.max_pool2d(around, 2 * reach + 1, 1) + F.max_pool2d(-around, 2 * reach + 1, 1) > refine.FLAT
    at_plate = F.interpolate(varies.float(), size=(133, 201), mode="bilinear")[0, 0] > 0
    assert left_out.any()
    assert not (left_out & at_plate[box.y0 : box.y1, box.x0 : box.x1]).any()


def test_nothing_is_refined_where_nothing_was_made_smaller() -> None:
    shot, network = plates(3), toy_network()
    answers = []
    for options in ({"refine": True}, {"refine": False}, {"refine": True, "working_size": 48}):
        session = MattingSession(network, warm_up_passes=1, **options)
        answers.append(torch.stack([session.seed(shot[0], disc()), *(session.advance(p) for p in shot[1:])]))
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


def test_what_is_remembered_does_not_depend_on_refining() -> None:
    shot, network = plates(3, 96, 128), toy_network()
    states = []
    for refines in (True, False):
        session = MattingSession(network, warm_up_passes=1, working_size=48, refine=refines)
        session.seed(shot[0], disc(96, 128))
        session.advance(shot[1])
        states.append(session.state.carried)
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def test_mini_at_half_size_is_nearer_to_the_truth_when_refined() -> None:
    source, view, network = open_plate(EXAMPLES / "plate"), NetworkView("lin_rec709_scene"), load_network("mini", "cpu")
    truth = {n: read_alpha(EXAMPLES / f"truth/alpha.{n}.exr") for n in range(1001, 1005)}
    scores = {}
    for refines in (True, False):
        session = MattingSession(network, warm_up_passes=3, working_size=180, refine=refines)
        alphas = []
        for number in truth:
            plate = torch.from_numpy(view(source.read(number).rgb)).permute(2, 0, 1)
            mask = (truth[1001] > 0.5).astype(np.float32)
            alphas.append(session.seed(plate, mask) if number == 1001 else session.advance(plate))
        pairs = zip((alpha.numpy() for alpha in alphas), truth.values(), strict=True)
        scores[refines] = mean_scores(score(pairs))
    refined_, bilinear = scores[True], scores[False]
    assert refined_.mad < bilinear.mad
    assert refined_.grad < 0.96 * bilinear.grad  # a draft is refined at half of the plate's size only
    assert refined_.dtssd < 1.02 * bilinear.dtssd  # single strands that come back flicker a little
