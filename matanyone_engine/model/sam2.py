# SPDX-License-Identifier: Apache-2.0
"""Runs SAM 2 (Ravi et al., arXiv:2408.00714) for first masks: an image, a box and points go in, a rough mask comes out.

The network is the one of the package transformers. The user names a folder of weights in that package's format
(config.json, model.safetensors). Nothing is downloaded, and no pickled file is opened.

Rules of this file:
1. transformers is imported when weights are loaded, and never otherwise.
2. Pixels are prepared as in SAM 2's training: stretched to a square, and normalised by ImageNet's statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor

from matanyone_engine.errors import CheckpointError, SettingError
from matanyone_engine.model.device import choose_device
from matanyone_engine.model.matanyone import IMAGE_MEAN, IMAGE_STD
from matanyone_engine.model.weights_file import CONFIG, WEIGHTS, measure

Refused = Callable[[str], CheckpointError]
"""Makes the error for a folder of weights that is refused, from a text that says what came."""


class Sam2:
    """Holds loaded weights of SAM 2."""

    def __init__(self, folder: Path, device: str = "auto") -> None:
        """Raises SettingError without transformers; CheckpointError for a folder that is not SAM 2's; DeviceError."""
        refused = partial(unreadable, "SAM 2", folder, "SAM 2's weights: --sam2 FOLDER")
        model_class = _model_class()
        check_folder(folder, refused)
        self._device = choose_device(device)
        network = load_weights(model_class, folder, refused)
        self._network: Any = network.to(self._device).eval()
        self._side = _side(network.config)
        self.name = named("SAM 2", folder)
        """For a file's header."""

    @torch.inference_mode()
    def __call__(
        self, image: Tensor, box: Sequence[float] | None, points: Sequence[tuple[float, float, bool]]
    ) -> Tensor:
        """Return logits (1, 1, h, w) of an image (1, 3, H, W) sRGB 0..1: above 0 on the subject, on a square to which
        the image is stretched.

        box: x0, y0, x1, y1. points: x, y and whether it is on the subject. Both in pixels from the top left; at least
        one box or point is needed.
        """
        height, width = image.shape[-2:]
        x_scale, y_scale = self._side / width, self._side / height
        inputs: dict[str, Any] = {"pixel_values": stretched(image, self._side).to(self._device)}
        if box is not None:
            scaled = [box[0] * x_scale, box[1] * y_scale, box[2] * x_scale, box[3] * y_scale]
            inputs["input_boxes"] = torch.tensor([[scaled]], device=self._device)
        if points:
            places = [[x * x_scale, y * y_scale] for x, y, _ in points]
            inputs["input_points"] = torch.tensor([[places]], device=self._device)
            inputs["input_labels"] = torch.tensor([[[int(subject) for *_, subject in points]]], device=self._device)
        # One point may mean a button, a coat or a person, and SAM 2 returns a mask for each: the best is taken.
        several = box is None and len(points) == 1
        result = self._network(**inputs, multimask_output=several)
        best = int(result.iou_scores[0, 0].argmax()) if several else 0
        return result.pred_masks[:, 0, best : best + 1].float().cpu()


def stretched(image: Tensor, side: int) -> Tensor:
    """Prepare (1, 3, H, W) sRGB 0..1 for SAM 2: (1, 3, side, side), normalised by ImageNet's statistics."""
    square = F.interpolate(image, size=(side, side), mode="bilinear", antialias=True)
    mean, deviation = (square.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
    return (square - mean) / deviation


def _model_class() -> Any:
    try:
        from transformers import Sam2Model
    except ImportError as error:
        raise SettingError(
            expected="the package transformers (5.0 or later) for SAM 2",
            came=str(error),
            action="Install it: pip install 'matanyone-engine[sam2]'; or use --backend grabcut, which needs nothing.",
        ) from error
    return Sam2Model


def check_folder(folder: Path, refused: Refused) -> None:
    """Raise what `refused` makes unless a folder holds the files of a network.

    transformers would take any other name for the name of a network on the internet.
    """
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise refused(f"no {' and no '.join(missing)}")


def load_weights(model_class: Any, folder: Path, refused: Refused, kind: str = "") -> Any:
    """Load a network of transformers. Missing weights are an error: transformers would fill them with random numbers.

    kind: the model_type that config.json must have; '' for any. Raises what `refused` makes, and ImportError.
    """
    try:
        network, found = model_class.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise refused(f"{type(error).__name__}: {str(error)[:200]}") from error
    if kind and network.config.model_type != kind:
        raise refused(f"weights of the kind {network.config.model_type!r}")
    if missing := found["missing_keys"]:
        raise refused(f"{len(missing)} weights missing, such as {min(missing)}")
    return network


def named(title: str, folder: Path) -> str:
    """Return the name of a network for headers of files: its title, its folder, and the digest of its weights."""
    return f"{title}, {folder.name}, sha256 {(measure(folder / WEIGHTS).sha256 or '')[:16]}"


def unreadable(title: str, folder: Path, option: str, came: str) -> CheckpointError:
    """Return the error for a folder that does not hold the network. option: the command's option for the folder."""
    return CheckpointError(
        expected=f"{title}'s {CONFIG} and {WEIGHTS}, as transformers writes them, in {str(folder)!r}",
        came=came,
        action=f"Name the folder of {option}.",
    )


def _side(config: Any) -> int:
    """Return the side, in pixels, of the square that the network takes."""
    size = config.vision_config.backbone_config.image_size
    return int(size if isinstance(size, int) else size[0])
