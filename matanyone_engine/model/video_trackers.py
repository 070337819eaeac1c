# SPDX-License-Identifier: Apache-2.0
"""Runs SAM 2 for video (Ravi et al., arXiv:2408.00714) and EdgeTAM (Zhou et al., arXiv:2501.07256) as trackers.

The networks are those of the package transformers; the weights are a folder in that package's format (config.json,
model.safetensors), which the user names or tracker_weights.py finds. Nothing is downloaded here, and nothing that is
pickled is opened.

Nobody of this project has run the published weights. The tests use tiny networks with random weights: they show that
frames, prompts and memory are handled as in transformers' own loop, but not how well these trackers follow a subject.

Rules of this file:
1. transformers is imported when weights are loaded, and never otherwise.
2. Frames that the network no longer reads are dropped, so that a long shot takes no more memory than a short one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from matanyone_engine.errors import SettingError
from matanyone_engine.model.device import choose_device
from matanyone_engine.model.sam2 import Refused, check_folder, load_weights, named, stretched, unreadable
from matanyone_engine.model.tracker_weights import README, TRACKER_WEIGHTS, licence_said

NEVER_RUN = (
    "Real weights of this tracker were never run by the makers of this engine: look at the guide before you use it."
)

_OBJECT = 1
_BOX_CORNERS = (2, 3)
"""Labels by which the networks know the corners of a box among points."""


class TrackerFamily(NamedTuple):
    """Holds the names of a tracker in the package transformers, and its licence."""

    title: str
    model: str
    session: str
    kind: str
    """model_type in config.json."""
    licence: str
    """The licence of the published weights."""


_SAM2, _EDGETAM = TRACKER_WEIGHTS["sam2"], TRACKER_WEIGHTS["edgetam"]
FAMILIES = {
    "sam2": TrackerFamily("SAM 2", "Sam2VideoModel", "Sam2VideoInferenceSession", _SAM2.kind, _SAM2.licence),
    "edgetam": TrackerFamily(
        "EdgeTAM", "EdgeTamVideoModel", "EdgeTamVideoInferenceSession", _EDGETAM.kind, _EDGETAM.licence
    ),
}
"""The trackers by their names in commands."""


class VideoTracker:
    """Holds loaded weights of a tracker, and follows one object through frames that are given in order."""

    def __init__(self, family: str, folder: Path, device: str = "auto") -> None:
        """family: a key of FAMILIES.

        Raises SettingError without transformers; CheckpointError for a folder that holds something else; DeviceError.
        """
        self._family = FAMILIES[family]
        model_class, self._session_class = _classes(family)
        check_folder(folder, _refused(folder, self._family))
        self._device = choose_device(device)
        self._network = _loaded(model_class, folder, self._family).to(self._device).eval()
        config = self._network.config
        self._side = int(config.prompt_encoder_config.image_size)
        self._keeps = max(int(config.num_maskmem), int(config.max_object_pointers_in_encoder)) + 1
        self._session: Any = None
        self._index = 0
        self.licence = licence_of(folder, self._family)
        self.name = named(self._family.title, folder)
        """For a file's header."""

    @torch.inference_mode()
    def begin(
        self,
        image: Tensor,
        mask: Tensor | None,
        box: Sequence[float] | None = None,
        points: Sequence[tuple[float, float, bool]] = (),
    ) -> Tensor:
        """Begin with a frame on which the object is marked; return its logits (1, 1, H, W), above 0 on the object.

        image: (1, 3, H, W) sRGB 0..1. mask: (1, 1, H, W) 0..1. Where it is None, there is a box x0, y0, x1, y1, or
        points x, y and whether they are on the object, in pixels from the top left.
        """
        height, width = image.shape[-2:]
        self._index = 0
        self._session = self._session_class(
            video_height=height,
            video_width=width,
            inference_device=self._device,
            inference_state_device=self._device,
            video_storage_device=self._device,
            dtype=torch.float32,
        )
        number = self._session.obj_id_to_idx(_OBJECT)
        if mask is not None:
            square = F.interpolate(mask, size=(self._side, self._side), mode="bilinear", antialias=True)
            self._session.add_mask_inputs(number, 0, (square >= 0.5).float())
        else:
            self._session.add_point_inputs(number, 0, self._prompts(box, points, height, width))
        self._session.obj_with_new_inputs = [_OBJECT]
        return self._step(image)

    @torch.inference_mode()
    def follow(self, image: Tensor) -> Tensor:
        """Return the logits (1, 1, H, W) of the next frame, (1, 3, H, W) sRGB 0..1."""
        self._index += 1
        return self._step(image)

    def _step(self, image: Tensor) -> Tensor:
        pixels = stretched(image, self._side).to(self._device)
        said = self._network(inference_session=self._session, frame_idx=self._index, frame=pixels)
        self._forget()
        logits = said.pred_masks.float().cpu()
        return F.interpolate(logits, size=tuple(image.shape[-2:]), mode="bilinear", align_corners=False)

    def _prompts(
        self, box: Sequence[float] | None, points: Sequence[tuple[float, float, bool]], height: int, width: int
    ) -> dict[str, Tensor]:
        corners = [] if box is None else [(box[0], box[1]), (box[2], box[3])]
        places = [*corners, *((x, y) for x, y, _ in points)]
        labels = [*_BOX_CORNERS[: len(corners)], *(int(subject) for *_, subject in points)]
        scale = torch.tensor([self._side / width, self._side / height])
        at = torch.tensor(places, dtype=torch.float32) * scale
        return {"point_coords": at[None, None], "point_labels": torch.tensor(labels, dtype=torch.int32)[None, None]}

    def _forget(self) -> None:
        """Drop pictures and outputs that no later frame reads. Those of the first frame stay."""
        session, oldest = self._session, self._index - self._keeps
        session.processed_frames.pop(self._index, None)
        for outputs in session.output_dict_per_obj.values():
            outputs["non_cond_frame_outputs"].pop(oldest, None)


def licence_of(folder: Path, family: TrackerFamily) -> str:
    """Return the licence that a folder of weights names, or a text that says that it names none."""
    said = licence_said(folder)
    if said:
        return f"{said} ({README} of the weights)"
    return f"not said by the folder; the published weights of {family.title} are under {family.licence}"


def _classes(name: str) -> tuple[Any, Any]:
    """Return transformers' classes of a tracker's network and of its session. Raises SettingError."""
    family = FAMILIES[name]
    try:
        import transformers

        return getattr(transformers, family.model), getattr(transformers, family.session)
    except (ImportError, AttributeError) as error:
        raise SettingError(
            expected=f"the package transformers (5.0 or later) for {family.title}",
            came=str(error),
            action="Install it: pip install 'matanyone-engine[track]'; or use the tracker flow, which needs nothing.",
        ) from error


def _loaded(model_class: Any, folder: Path, family: TrackerFamily) -> Any:
    """Load the weights. Raises CheckpointError, SettingError."""
    try:
        return load_weights(model_class, folder, _refused(folder, family), family.kind)
    except ImportError as error:  # EdgeTAM's trunk is one of timm's
        raise SettingError(
            expected=f"the packages that {family.title}'s trunk needs",
            came=str(error).strip().splitlines()[0][:200],
            action="Install them: pip install 'matanyone-engine[track]'.",
        ) from error


def _refused(folder: Path, family: TrackerFamily) -> Refused:
    return partial(unreadable, family.title, folder, "its weights: --weights FOLDER")
