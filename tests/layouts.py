# SPDX-License-Identifier: Apache-2.0
"""Makes tiny copies of the public training layouts."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = (72, 96)


def blob(frame: int) -> NDArray[np.uint8]:
    """Return (H, W) 0 or 255: a disc that walks to the right."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return 255 * ((y - 36) ** 2 + (x - 30 - 3 * frame) ** 2 < 20**2).astype(np.uint8)


def picture(seed: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Return (H, W, 3): coloured noise with some structure."""
    noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return np.asarray(cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def write_matting_video(root: Path, name: str = "VideoMatte240K/train", clips: int = 2, frames: int = 4) -> None:
    for clip in range(clips):
        for frame in range(frames):
            save(root / f"mat_vid/{name}/fgr/{clip:04d}/{frame:05d}.jpg", picture(clip))
            save(root / f"mat_vid/{name}/pha/{clip:04d}/{frame:05d}.jpg", blob(frame))


def write_matting_stills(root: Path, folders: tuple[str, str] = ("fgr", "pha")) -> None:
    for number in range(2):
        save(root / f"mat_img/ImageMatte/train/{folders[0]}/{number}.jpg", picture(number))
        save(root / f"mat_img/ImageMatte/train/{folders[1]}/{number}.png", blob(number))


def write_backgrounds(root: Path) -> None:
    for number in range(3):
        save(root / f"mat_vid/BG20k/train/{number}.jpg", picture(50 + number, (120, 160)))


def write_youtube_vis(root: Path, frames: int = 4) -> None:
    folder = root / "seg_vid/YouTubeVIS/train"
    names = [f"v1/{frame:05d}.jpg" for frame in range(frames)]
    for name in names:
        save(folder / "JPEGImages" / name, picture(7))
    labels = [run_lengths(blob(frame)) for frame in range(frames)]
    cat = {"video_id": 1, "category_id": 5, "segmentations": labels}
    person = {"video_id": 1, "category_id": 26, "segmentations": labels}
    late = {"video_id": 1, "category_id": 26, "segmentations": [None, *labels[1:]]}
    index = {"videos": [{"id": 1, "file_names": names}], "annotations": [cat, person, late]}
    (folder / "instances.json").write_text(json.dumps(index))


def run_lengths(mask: NDArray[np.uint8]) -> dict[str, list[int]]:
    """Return the runs of a mask column by column, zeros first."""
    flat = mask.T.ravel() > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat]).astype(int))) if flat.any() else np.array([], int)
    counts = np.diff(np.concatenate([[0], edges, [flat.size]]))
    return {"size": list(mask.shape), "counts": counts.tolist()}


def write_coco(root: Path) -> None:
    folder = root / "seg_img/coco"
    ids = np.where(blob(0) > 0, 300, 70000).astype(np.int64)
    ids[:8] = 5  # a tie
    save(
        folder / "panoptic_train2017/000001.png",
        np.stack([ids // 65536, ids // 256 % 256, ids % 256], 2).astype(np.uint8),
    )
    save(folder / "train2017/000001.jpg", picture(3))
    segments = [{"id": 300, "category_id": 1}, {"id": 70000, "category_id": 9}, {"id": 5, "category_id": 32}]
    (folder / "annotations").mkdir()
    index = {"annotations": [{"file_name": "000001.png", "segments_info": segments}]}
    (folder / "annotations/panoptic_train2017.json").write_text(json.dumps(index))


def write_supervisely(root: Path) -> None:
    save(root / "seg_img/SuperviselyPersonDataset/img/a.jpg", picture(4))
    save(root / "seg_img/SuperviselyPersonDataset/seg/a.png", blob(1) // 255)


def write_everything(root: Path) -> Path:
    write_matting_video(root)
    write_matting_stills(root)
    write_backgrounds(root)
    write_youtube_vis(root)
    write_coco(root)
    write_supervisely(root)
    return root
