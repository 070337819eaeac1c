# SPDX-License-Identifier: Apache-2.0
"""Every public layout is read from a tiny copy; what is missing or crooked is said before a run starts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import layouts as tiny
import numpy as np
import pytest
import torch

from matanyone_engine.errors import DatasetError, SettingError
from matanyone_engine.training import data
from matanyone_engine.training.recipe import MATANYONE_STAGES, LossPass, MattingData

SIZE = (64, 80)


def rng(seed: int = 0) -> data.Rng:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", ["VideoMatte240K/train", "VM800", "Drawn"])
def test_matting_videos_keep_colours_and_alphas_together(tmp_path: Path, name: str) -> None:
    tiny.write_matting_video(tmp_path, name)
    cutout = data.MattingVideos(tmp_path).cutout(rng(), 3)
    assert [x.shape for x in cutout.fgr] == [(*tiny.SIZE, 3)] * 3
    discs = [tiny.blob(frame) > 127 for frame in range(4)]
    for alpha in cutout.pha:
        assert min(((alpha > 127) ^ disc).sum() for disc in discs) < 20


def test_the_loader_takes_the_folder_that_vm800_really_has(tmp_path: Path) -> None:
    tiny.write_matting_video(tmp_path, "VM800")
    (tmp_path / "mat_vid/VM800/fgr").rename(tmp_path / "mat_vid/VM800/fgr_new")
    assert len(data.MattingVideos(tmp_path).cutout(rng(), 2).fgr) == 2


def test_a_small_set_is_not_lost_beside_a_large_one(tmp_path: Path) -> None:
    tiny.write_matting_video(tmp_path, "Large", clips=16, frames=1)
    tiny.write_matting_video(tmp_path, "Small", clips=1, frames=1)
    videos = data.MattingVideos(tmp_path)
    white = np.full(tiny.SIZE, 255, np.uint8)
    tiny.save(tmp_path / "mat_vid/Small/pha/0000/00000.jpg", white)
    share = np.mean([videos.cutout(rng(k), 1).pha[0].min() > 200 for k in range(200)])
    assert 0.12 < share < 0.28  # 1 of 1 + sqrt(16), not 1 of 17


@pytest.mark.parametrize("folders", [("fgr", "pha"), ("FG", "GT"), ("image", "matte"), ("original", "mask")])
def test_matting_stills_of_several_spellings(tmp_path: Path, folders: tuple[str, str]) -> None:
    tiny.write_matting_stills(tmp_path, folders)
    cutout = data.MattingStills(tmp_path).cutout(rng(), 4)
    assert len(cutout.fgr) == len(cutout.pha) == 4
    assert cutout.pha[0].max() == 255


def test_backgrounds_are_stills_or_clips(tmp_path: Path) -> None:
    tiny.write_backgrounds(tmp_path)
    assert len(data.Backgrounds(tmp_path).pictures(rng(), 3)) == 1
    for frame in range(5):
        tiny.save(tmp_path / f"mat_vid/DVM/train/c0/{frame}.jpg", tiny.picture(frame))
    counts = {len(data.Backgrounds(tmp_path).pictures(rng(k), 3)) for k in range(20)}
    assert counts == {1, 3}


def test_youtube_vis_follows_people_only(tmp_path: Path) -> None:
    tiny.write_youtube_vis(tmp_path)
    videos = data.YouTubeVis(tmp_path)
    assert len(videos.videos) == 1
    assert len(videos.videos[0][1]) == 2
    shot = videos.shot(rng(3), 3, SIZE)
    assert shot.plates.shape == (3, *SIZE, 3)
    assert set(np.unique(shot.alphas)) <= {0, 1}
    assert 0.02 < shot.alphas.mean() < 0.6


def test_run_lengths_come_back_as_the_mask() -> None:
    mask = tiny.blob(2)
    assert np.array_equal(data._run_lengths(tiny.run_lengths(mask), mask.shape), mask)


def test_compressed_labels_are_refused_with_the_way_out(tmp_path: Path) -> None:
    tiny.write_youtube_vis(tmp_path)
    path = tmp_path / "seg_vid/YouTubeVIS/train/instances.json"
    index = json.loads(path.read_text())
    for entry in index["annotations"]:
        entry["segmentations"] = [{"size": list(tiny.SIZE), "counts": "abc"}] * 4
    path.write_text(json.dumps(index))
    with pytest.raises(DatasetError, match="pycocotools"):
        data.YouTubeVis(tmp_path).shot(rng(), 2, SIZE)


def test_coco_merges_people_with_what_they_wear(tmp_path: Path) -> None:
    tiny.write_coco(tmp_path)
    plate, label = data.CocoPeople(tmp_path).still(rng())
    assert plate.shape == (*tiny.SIZE, 3)
    assert label[2].min() == 255  # the tie
    assert label[36, 30] == 255  # the person
    assert label[70, 90] == 0


def test_supervisely_labels_are_made_binary(tmp_path: Path) -> None:
    tiny.write_supervisely(tmp_path)
    _, label = data.SuperviselyPeople(tmp_path).still(rng())
    assert set(np.unique(label)) == {0, 255}


def test_label_stills_use_whichever_set_is_there(tmp_path: Path) -> None:
    tiny.write_supervisely(tmp_path)
    shot = data.LabelStills(tmp_path).shot(rng(), 3, SIZE)
    assert set(np.unique(shot.alphas)) <= {0, 1}
    assert not np.array_equal(shot.plates[0], shot.plates[2])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (data.MattingVideos, "VideoMatte240K"),
        (data.MattingStills, "Distinctions-646"),
        (data.Backgrounds, "BG-20k"),
        (data.YouTubeVis, "youtube-vos.org"),
        (data.CocoPeople, "cocodataset.org"),
        (data.SuperviselyPeople, "supervisely.com"),
        (data.LabelStills, "cocodataset.org"),
    ],
)
def test_a_missing_set_says_where_to_get_it_and_how_to_lay_it_out(tmp_path: Path, kind: type, said: str) -> None:
    with pytest.raises(DatasetError) as caught:
        kind(tmp_path)
    assert said in caught.value.action
    assert str(tmp_path) in caught.value.expected


@pytest.mark.parametrize("lone", ["pha/1.png", "fgr/1.jpg"])
def test_a_picture_without_its_partner_is_an_error(tmp_path: Path, lone: str) -> None:
    tiny.write_matting_stills(tmp_path)
    (tmp_path / "mat_img/ImageMatte/train" / lone).unlink()
    with pytest.raises(DatasetError, match="1 without a partner, 1 the first"):
        data.MattingStills(tmp_path)


def test_incomplete_clips_are_found_before_a_run(tmp_path: Path) -> None:
    tiny.write_matting_video(tmp_path)
    (tmp_path / "mat_vid/VideoMatte240K/train/pha/0001/00002.jpg").unlink()
    with pytest.raises(DatasetError, match="00002"):
        data.MattingVideos(tmp_path)


def test_colours_and_alpha_of_two_sizes_are_refused(tmp_path: Path) -> None:
    tiny.write_matting_video(tmp_path, clips=1, frames=1)
    tiny.save(tmp_path / "mat_vid/VideoMatte240K/train/pha/0000/00000.jpg", tiny.blob(0)[:40])
    with pytest.raises(DatasetError, match="one size"):
        data.MattingVideos(tmp_path).cutout(rng(), 1)


def test_black_alphas_are_no_subjects(tmp_path: Path) -> None:
    tiny.write_matting_video(tmp_path, clips=1, frames=1)
    tiny.save(tmp_path / "mat_vid/VideoMatte240K/train/pha/0000/00000.jpg", 0 * tiny.blob(0))
    tiny.write_backgrounds(tmp_path)
    with pytest.raises(DatasetError, match="black"):
        data.MattingSamples(tmp_path, MattingData.VIDEO).shot(rng(), 1, SIZE)


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    tiny.write_matting_video(tmp_path, clips=1, frames=1)
    path = tmp_path / "mat_vid/VideoMatte240K/train/fgr/0000/00000.jpg"
    path.write_bytes(b"not a picture")
    with pytest.raises(DatasetError, match="00000"):
        data.MattingVideos(tmp_path).cutout(rng(), 1)


def small_stage(number: int = 1) -> data.Stage:
    from dataclasses import replace

    return replace(MATANYONE_STAGES[number], iterations=3, batch=2, crop=SIZE, frames=(3, 3), points=32)


def test_a_step_is_a_function_of_its_number(every_layout: Path) -> None:
    stage = small_stage()
    first, again = (data.Steps(every_layout, stage)[1] for _ in range(2))
    assert set(first) == {LossPass.MATTING, LossPass.SEGMENTATION, LossPass.CORE}
    for kind in first:
        assert torch.equal(first[kind].plates, again[kind].plates)
        assert torch.equal(first[kind].guide, again[kind].guide)
    other = data.Steps(every_layout, stage)[2]
    assert not torch.equal(first[LossPass.MATTING].plates, other[LossPass.MATTING].plates)


def test_every_purpose_has_random_numbers_of_its_own() -> None:
    draws = {
        tuple(data.seeded(7, stream, iteration, slot).integers(1 << 60, size=2))
        for stream in data.RandomStream
        for iteration in range(3)
        for slot in range(3)
    }
    assert len(draws) == len(data.RandomStream) * 9


def test_processes_share_a_step_without_overlap(every_layout: Path) -> None:
    stage = small_stage()
    whole = data.Steps(every_layout, stage)[0]
    halves = [data.Steps(every_layout, stage, rank, 2)[0] for rank in range(2)]
    for kind, batch in whole.items():
        assert torch.equal(batch.plates, torch.cat([half[kind].plates for half in halves]))
        assert batch.slots == halves[0][kind].slots + halves[1][kind].slots


def test_processes_that_do_not_divide_the_batch_are_refused(every_layout: Path) -> None:
    with pytest.raises(SettingError, match="3 processes"):
        data.Steps(every_layout, small_stage(), 0, 3)


def test_core_and_segmentation_learn_from_one_batch(every_layout: Path) -> None:
    batches = data.Steps(every_layout, small_stage())[0]
    assert batches[LossPass.CORE] is batches[LossPass.SEGMENTATION]


def test_matting_samples_show_the_subject_and_its_truth(every_layout: Path) -> None:
    shot = data.MattingSamples(every_layout, MattingData.VIDEO).shot(rng(4), 3, SIZE)
    assert shot.plates.dtype == shot.alphas.dtype == np.float32
    assert shot.plates.min() >= 0
    assert shot.plates.max() <= 1
    assert (shot.alphas[0] > 0.5).any()
    assert cv2.countNonZero((shot.alphas[-1] > 0).astype(np.uint8)) > 0


def test_stills_are_mixed_among_the_clips_where_there_are_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.write_matting_video(tmp_path)
    tiny.write_backgrounds(tmp_path)
    assert data.MattingSamples(tmp_path, MattingData.VIDEO).stills is None
    tiny.write_matting_stills(tmp_path)
    samples, taken = data.MattingSamples(tmp_path, MattingData.VIDEO), []

    def watched(kind: str, draw: Callable[..., data.Cutout]) -> Callable[..., data.Cutout]:
        return lambda rng, frames: taken.append(kind) or draw(rng, frames)

    monkeypatch.setattr(samples.stills, "cutout", watched("still", samples.stills.cutout))
    monkeypatch.setattr(samples.subjects, "cutout", watched("clip", samples.subjects.cutout))
    for seed in range(40):
        samples.shot(rng(seed), 2, SIZE)
    assert 0.2 < np.mean([kind == "still" for kind in taken]) < 0.5
