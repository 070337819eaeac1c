# SPDX-License-Identifier: Apache-2.0
"""Reads training data in its public layouts, and draws samples from it.

Rules of this file:
1. Each layout has a small class. A folder that is missing or laid out otherwise is an error before a run starts, which
   says what was expected and where to get it. Only broken pictures are found later, when they are read.
2. A sample depends on the stage's seed, the iteration and the slot alone, so that a continued run gets the samples of
   an uninterrupted one.

The root of the data:

    mat_vid/<set>/[train/]{fgr,pha}/<clip>/<frame>     VideoMatte240K, VM800 and our own drawn and rendered clips
    mat_vid/BG20k/train/*                               background stills
    mat_vid/DVM/train/<clip>/*                          background clips (optional)
    mat_img/<set>/[train/]{fgr,pha}/*                   ImageMatte, D646, AIM, PPM (also FG and GT, ...)
    seg_vid/YouTubeVIS/train/{JPEGImages,instances.json}
    seg_img/coco/{train2017,panoptic_train2017,annotations/panoptic_train2017.json}
    seg_img/SuperviselyPersonDataset/{img,seg}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from matanyone_engine.errors import DatasetError, SettingError
from matanyone_engine.sizes import Size
from matanyone_engine.training import augment
from matanyone_engine.training.augment import Chances, ComposedClip, Cutout, Rng
from matanyone_engine.training.passes import Batch
from matanyone_engine.training.recipe import LossPass, MattingData, TrainingStage, labels_are_video

PICTURES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"}
SPEEDS = (0.5, 1, 1, 1, 2, 3)
"""Steps between the frames taken from a clip."""
TRIES = 32
BACKGROUNDS = Path("mat_vid/BG20k/train")
STILLS_SHARE = 0.35
"""The part of the subjects that are stills, where there are stills and clips."""


class RandomStream(IntEnum):
    """Names the purposes of random numbers. Each has a stream of its own in every iteration."""

    FRAMES = 1
    MATTING_CLIPS = 2
    LABEL_CLIPS = 3
    MATTING = 4
    SEGMENTATION = 5
    CORE = 6


def seeded(seed: int, stream: RandomStream, iteration: int, slot: int = 0) -> Rng:
    """Return the generator of one purpose. Its seed always has four numbers: numpy takes missing ones for 0, so that
    two purposes could get the same generator.
    """
    return np.random.default_rng([seed, int(stream), iteration, slot])


# -- matting layouts --------------------------------------------------------------------------------------------------

_PAIRS = (("fgr", "pha"), ("fgr_new", "pha"), ("FG", "GT"), ("fg", "alpha"), ("image", "matte"), ("original", "mask"))
"""Names that public sets give to their folders of colours and of alphas."""


def pictures_in(folder: Path) -> list[Path]:
    """List the pictures of a folder, in order."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)


def _pair(folder: Path) -> tuple[Path, Path] | None:
    """Return the folders of colours and alphas in a set's folder or in its train/."""
    for base in (folder / "train", folder):
        for colours, alphas in _PAIRS:
            if (base / colours).is_dir() and (base / alphas).is_dir():
                return base / colours, base / alphas
    return None


def _matched(colours: Path, alphas: Path) -> list[tuple[Path, Path]]:
    """Pair the pictures of two folders by name; one without its partner is an error."""
    left, right = ({path.stem: path for path in pictures_in(folder)} for folder in (colours, alphas))
    alone = sorted(set(left) ^ set(right))
    if alone or not left:
        raise DatasetError(
            expected=f"pictures of the same names in {colours} and {alphas}",
            came=f"{len(alone)} without a partner, {alone[0]} the first" if alone else "none",
            action="Copy the set again, or remove the pictures without a partner.",
        )
    return [(left[stem], right[stem]) for stem in sorted(left)]


def _read(path: Path, flag: int = cv2.IMREAD_COLOR) -> NDArray[np.uint8]:
    """Read 8-bit RGB (H, W, 3), or (H, W) with IMREAD_GRAYSCALE."""
    picture = cv2.imread(str(path), flag)
    if picture is None:
        raise DatasetError(
            expected="a picture that OpenCV reads",
            came=str(path),
            action="Copy the file again, or take it out of the set.",
        )
    pixels = np.asarray(picture, np.uint8)
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])


def read_cutout(pairs: Sequence[tuple[Path, Path]]) -> Cutout:
    """Read a foreground as 8-bit straight colours and alphas, from files of both for each frame.

    Raises DatasetError for a file that is no picture, and for colours and alphas of different sizes.
    """
    cutout = Cutout([_read(fgr) for fgr, _ in pairs], [_read(pha, cv2.IMREAD_GRAYSCALE) for _, pha in pairs])
    if any(fgr.shape[:2] != pha.shape for fgr, pha in zip(*cutout, strict=True)):
        raise DatasetError(
            expected="colours and alpha of one size",
            came=f"{cutout.fgr[0].shape[:2]} and {cutout.pha[0].shape} in {pairs[0][0]}",
            action="Render the set again at one size.",
        )
    return cutout


class MattingVideos:
    """Reads every {fgr,pha}/<clip>/<frame> set under ROOT/mat_vid."""

    def __init__(self, root: Path) -> None:
        found = [_clips_of(folder) for folder in _folders(root / "mat_vid")]
        self.sets = [[_matched(*clip) for clip in clips] for clips in found if clips]
        if not self.sets:
            raise _missing(
                root / "mat_vid/<set>/{fgr,pha}/<clip>/<frame>",
                "VideoMatte240K: github.com/PeterL1n/BackgroundMattingV2, its datasets; or draw clips of your own: "
                f"matanyone-engine draw --data {root} --clips 500",
            )

    def cutout(self, rng: Rng, frames: int) -> Cutout:
        """Return frames of a random clip, with random start, speed and direction; a short clip runs back and forth.

        The probability of a set is proportional to the square root of its size, so that small ones are not too rare.
        """
        sizes = np.sqrt([len(clips) for clips in self.sets])
        clips = self.sets[int(rng.choice(len(self.sets), p=sizes / sizes.sum()))]
        pairs = clips[int(rng.integers(len(clips)))]
        step = float(rng.choice(SPEEDS))
        reach = int(step * (frames - 1))
        start = int(rng.integers(max(1, len(pairs) - reach)))
        order = [_bounced(start + int(step * k), len(pairs)) for k in range(frames)]
        return read_cutout([pairs[k] for k in (order if rng.random() < 0.5 else order[::-1])])


def _bounced(frame: int, count: int) -> int:
    """Reflect a frame number beyond the end back into the clip."""
    if count == 1:
        return 0
    frame %= 2 * (count - 1)
    return min(frame, 2 * (count - 1) - frame)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _clips_of(folder: Path) -> list[tuple[Path, Path]]:
    pair = _pair(folder)
    if pair is None:
        return []
    colours, alphas = pair
    return [(colours / clip.name, clip) for clip in _folders(alphas) if (colours / clip.name).is_dir()]


class MattingStills:
    """Reads every pair of folders with pictures under ROOT/mat_img: colours and alphas of the same names."""

    def __init__(self, root: Path) -> None:
        found = [_pair(folder) for folder in _folders(root / "mat_img")]
        self.pairs = [pair for folders in found if folders is not None for pair in _matched(*folders)]
        if not self.pairs:
            raise _missing(
                root / "mat_img/<set>/{fgr,pha}/*",
                "Distinctions-646 and Adobe Image Matting on request from their authors; AIM-500 and PPM-100: "
                "github.com/JizhiziLi/AIM and github.com/ZHKKKe/PPM",
            )

    def cutout(self, rng: Rng, frames: int) -> Cutout:
        """Return one still that sways, bends and is blurred by its motion."""
        return augment.animated(rng, read_cutout([self.pairs[int(rng.integers(len(self.pairs)))]]), frames)


class Backgrounds:
    """Reads BG20k-style stills and DVM-style clips, half and half where both are there."""

    def __init__(self, root: Path) -> None:
        stills = root / BACKGROUNDS
        self.stills = pictures_in(stills) if stills.is_dir() else []
        self.clips = _folders(root / "mat_vid/DVM/train")
        if not self.stills and not self.clips:
            raise _missing(
                stills / "*",
                "BG-20k: github.com/JizhiziLi/GFM; or any photographs without people that you may use: "
                "examples/mini/backgrounds.py collects some",
            )

    def pictures(self, rng: Rng, frames: int) -> list[NDArray[np.uint8]]:
        """Return one still, or one picture a frame."""
        if self.clips and (not self.stills or rng.random() < 0.5):
            files = pictures_in(self.clips[int(rng.integers(len(self.clips)))])
            start = int(rng.integers(max(1, len(files) - frames + 1)))
            return [_read(files[_bounced(start + k, len(files))]) for k in range(frames)]
        return [_read(self.stills[int(rng.integers(len(self.stills)))])]


# -- segmentation layouts ---------------------------------------------------------------------------------------------


class YouTubeVis:
    """Reads YouTube-VIS: people in videos, labels as run lengths in instances.json."""

    PERSON = 26
    FROM = "youtube-vos.org/dataset/vis (2019), train"

    def __init__(self, root: Path) -> None:
        self.folder = root / "seg_vid/YouTubeVIS/train"
        if not (self.folder / "instances.json").is_file():
            raise _missing(self.folder / "{JPEGImages/,instances.json}", self.FROM)
        self.videos = self._index()

    def _index(self) -> list[tuple[list[str], list[list[Any]]]]:
        """Return the videos with people only: file names, and for each person the labels of every frame."""
        index = json.loads((self.folder / "instances.json").read_text(encoding="utf-8-sig"))
        people: dict[int, list[list[Any]]] = {}
        for entry in index["annotations"]:
            if entry["category_id"] == self.PERSON:
                people.setdefault(entry["video_id"], []).append(entry["segmentations"])
        found = [(video["file_names"], people[video["id"]]) for video in index["videos"] if video["id"] in people]
        return found or _no_people(self.folder / "instances.json", self.FROM)

    def shot(self, rng: Rng, frames: int, size: Size) -> ComposedClip:
        """Return a random non-empty subset of the people seen in the first frame, as one target."""
        names, people = self.videos[int(rng.integers(len(self.videos)))]
        start = int(rng.integers(max(1, len(names) - frames + 1)))
        order = [_bounced(start + k, len(names)) for k in range(frames)]
        seen = [person for person in people if person[order[0]] is not None] or people
        chosen = [person for person in seen if rng.random() < 0.5] or [seen[int(rng.integers(len(seen)))]]
        plates = [_read(self.folder / "JPEGImages" / names[k]) for k in order]
        labels = [
            np.maximum.reduce([_run_lengths(person[k], plate.shape[:2]) for person in chosen])
            for k, plate in zip(order, plates, strict=True)
        ]
        return augment.moved(rng, plates, labels, size)


def _run_lengths(label: dict[str, Any] | None, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Decode uncompressed run lengths, column by column, zeros first: (H, W) 0 or 255."""
    if label is None:
        return np.zeros(size, np.uint8)
    if not isinstance(label["counts"], list):
        raise DatasetError(
            expected="labels as lists of run lengths, as YouTube-VIS 2019 has them",
            came="compressed labels",
            action="Convert them with pycocotools (mask.decode, then run lengths), or take the 2019 release.",
        )
    counts = np.asarray(label["counts"])
    values = np.repeat(np.arange(len(counts)) % 2, counts)
    height, width = label["size"]
    return (255 * values.reshape(width, height).T).astype(np.uint8)


class CocoPeople:
    """Reads COCO panoptic: people, with what they wear and carry."""

    PARTS = (1, 27, 32)
    """Person, backpack, tie."""
    FROM = "cocodataset.org, train2017 images and panoptic annotations"

    def __init__(self, root: Path) -> None:
        self.folder = root / "seg_img/coco"
        if not (self.folder / "annotations/panoptic_train2017.json").is_file():
            raise _missing(
                self.folder / "{train2017/,panoptic_train2017/,annotations/panoptic_train2017.json}", self.FROM
            )
        self.pictures = self._index()

    def _index(self) -> list[tuple[str, list[int]]]:
        """Return the pictures with people only: the label file, and the segment ids that make the mask."""
        path = self.folder / "annotations/panoptic_train2017.json"
        found = []
        for entry in json.loads(path.read_text(encoding="utf-8-sig"))["annotations"]:
            parts = [s["id"] for s in entry["segments_info"] if s["category_id"] in self.PARTS]
            if any(s["category_id"] == self.PARTS[0] for s in entry["segments_info"]):
                found.append((entry["file_name"], parts))
        return found or _no_people(path, self.FROM)

    def still(self, rng: Rng) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return plate (H, W, 3) and label (H, W) 0 or 255."""
        name, parts = self.pictures[int(rng.integers(len(self.pictures)))]
        ids = _read(self.folder / "panoptic_train2017" / name).astype(np.int64) @ (1, 256, 65536)
        plate = _read(self.folder / "train2017" / f"{Path(name).stem}.jpg")
        return plate, 255 * np.isin(ids, parts).astype(np.uint8)


class SuperviselyPeople:
    """Reads Supervisely Person: img/ and seg/ with the same names."""

    FROM = "supervisely.com, the Person dataset"

    def __init__(self, root: Path) -> None:
        folder = root / "seg_img/SuperviselyPersonDataset"
        if not (folder / "img").is_dir() or not (folder / "seg").is_dir():
            raise _missing(folder / "{img,seg}/*", self.FROM)
        self.pairs = _matched(folder / "img", folder / "seg")

    def still(self, rng: Rng) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return plate (H, W, 3) and label (H, W) 0 or 255."""
        plate, label = self.pairs[int(rng.integers(len(self.pairs)))]
        return _read(plate), 255 * (_read(label, cv2.IMREAD_GRAYSCALE) > 0).astype(np.uint8)


class LabelStills:
    """Moves stills with binary labels into clips: COCO and Supervisely, whichever is there."""

    def __init__(self, root: Path) -> None:
        self.sets: list[CocoPeople | SuperviselyPeople] = []
        problems = []
        for kind in (CocoPeople, SuperviselyPeople):
            try:
                self.sets.append(kind(root))
            except DatasetError as error:
                problems.append(error)
        if not self.sets:
            raise problems[0]

    def shot(self, rng: Rng, frames: int, size: Size) -> ComposedClip:
        """Return one still as a moving clip."""
        plate, label = self.sets[int(rng.integers(len(self.sets)))].still(rng)
        return augment.moved(rng, [plate] * frames, [label] * frames, size, warp=True)


def _no_people(path: Path, source: str) -> list[Any]:
    raise DatasetError(expected=f"people in {path}", came="none", action=f"Get the set again from {source}.")


def _missing(layout: Path, source: str) -> DatasetError:
    return DatasetError(
        expected=f"training data laid out as {layout}",
        came="nothing there",
        action=f"Get it from {source}; docs/training.md shows the whole layout.",
    )


# -- samples ----------------------------------------------------------------------------------------------------------


class MattingSamples:
    """Composes clips with true alpha for the matting pass."""

    def __init__(self, root: Path, kind: MattingData, chances: Chances | None = None) -> None:
        self.subjects = MattingVideos(root) if kind is MattingData.VIDEO else MattingStills(root)
        self.stills = MattingStills(root) if kind is MattingData.VIDEO and (root / "mat_img").is_dir() else None
        self.backgrounds = Backgrounds(root)
        self.chances = chances or Chances()

    def shot(self, rng: Rng, frames: int, size: Size) -> ComposedClip:
        """Return one clip in which the subject can be seen in the first frame."""
        return _visible(lambda: self._composed(rng, frames, size))

    def _composed(self, rng: Rng, frames: int, size: Size) -> ComposedClip:
        others = [self._cutout(rng, frames) for _ in range(2)]
        background = self.backgrounds.pictures(rng, frames)
        return augment.compose(rng, self._cutout(rng, frames), others, background, size, self.chances)

    def _cutout(self, rng: Rng, frames: int) -> Cutout:
        source = self.stills if self.stills is not None and rng.random() < STILLS_SHARE else self.subjects
        return source.cutout(rng, frames)


class LabelSamples:
    """Makes clips with binary labels for the segmentation and core passes: video at even iterations, stills at odd
    ones.
    """

    def __init__(self, root: Path) -> None:
        self.video, self.stills = YouTubeVis(root), LabelStills(root)

    def shot(self, rng: Rng, frames: int, size: Size, iteration: int) -> ComposedClip:
        """Return one clip in which the subject can be seen in the first frame."""
        source = self.video if labels_are_video(iteration) else self.stills
        return _visible(lambda: source.shot(rng, frames, size))


def _visible(draw: Callable[[], ComposedClip]) -> ComposedClip:
    """Draw clips until one shows a subject on its first frame, since an empty mask has nothing to follow."""
    for _ in range(TRIES):
        shot = draw()
        if (shot.alphas[0] > 0.5).mean() > 0.01:
            return shot
    raise DatasetError(
        expected="subjects that can be seen",
        came=f"{TRIES} clips in a row whose first frame shows none",
        action="Look through the alphas and labels: most of them seem to be black.",
    )


class Steps(Dataset[dict[LossPass, Batch]]):
    """Maps an iteration's number to this process's share of the batches of its passes.

    The core pass and the segmentation pass have the same batch.
    """

    def __init__(self, root: Path, stage: TrainingStage, rank: int = 0, processes: int = 1) -> None:
        if stage.batch % processes:
            raise SettingError(
                expected=f"a number of processes that divides the {stage.batch} clips of a step",
                came=f"{processes} processes",
                action="Start another number of processes.",
            )
        self.stage = stage
        self.slots = tuple(range(rank * stage.batch // processes, (rank + 1) * stage.batch // processes))
        self.matting = MattingSamples(root, stage.matting)
        self.labels = LabelSamples(root) if LossPass.SEGMENTATION in stage.passes else None

    def __len__(self) -> int:
        return self.stage.iterations

    def __getitem__(self, iteration: int) -> dict[LossPass, Batch]:
        """Return the batches of one iteration."""
        stage = self.stage
        low, high = stage.frames
        frames = int(seeded(stage.seed, RandomStream.FRAMES, iteration).integers(low, high + 1))
        draw = partial(self.matting.shot, frames=frames, size=Size(*stage.crop))
        batches = {LossPass.MATTING: self._batch(iteration, draw, RandomStream.MATTING_CLIPS)}
        if self.labels is not None:
            draw = partial(self.labels.shot, frames=frames, size=Size(*stage.crop), iteration=iteration)
            batch = self._batch(iteration, draw, RandomStream.LABEL_CLIPS)
            batches |= {kind: batch for kind in stage.passes if kind is not LossPass.MATTING}
        return batches

    def _batch(self, iteration: int, draw: Callable[[Rng], ComposedClip], stream: RandomStream) -> Batch:
        shots, guides = [], []
        for slot in self.slots:
            rng = seeded(self.stage.seed, stream, iteration, slot)
            shots.append(draw(rng))
            guides.append(augment.guide_mask(rng, shots[-1].alphas[0]))
        plates = torch.from_numpy(np.stack([shot.plates for shot in shots])).permute(0, 1, 4, 2, 3).contiguous()
        alphas = torch.from_numpy(np.stack([shot.alphas for shot in shots])).unsqueeze(2)
        return Batch(plates, alphas, torch.from_numpy(np.stack(guides)).unsqueeze(1), self.slots)
