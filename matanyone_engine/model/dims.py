# SPDX-License-Identifier: Apache-2.0
"""Holds the dimensions of a network: a frozen value that is saved with the weights.

A dimension decides the shape of tensors in the checkpoint. How a shot is run is decided in matting/memory_policy.py.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal

from matanyone_engine.errors import CheckpointError

Trunk = Literal["resnet18", "resnet50", "lite0"]
TRUNKS: tuple[Trunk, ...] = ("resnet18", "resnet50", "lite0")
RESNETS: tuple[Trunk, ...] = ("resnet18", "resnet50")

_WIDEST = 8192
"""The most channels that are accepted: a file that says more is damaged."""

CORE_SIZE = 432
"""The shortest side, in pixels, of the frames for which a Lite network was trained."""

STRIDE = 16
"""Pixels on a side of a token: keys, values and the sensory map have a sixteenth of the padded frame's size."""


@dataclass(frozen=True)
class Dims:
    """Holds the sizes of a network's layers: channels, where nothing else is said."""

    trunk: Trunk = "resnet50"
    """The network that encodes the plate. With 'lite0', an EfficientNet-Lite0, the mask encoder reads the image
    encoder's maps and the decoder ends at stride 2 (lite.py, lite_decoder.py); `trunk_width` and the last of
    `decoder_dims` are then unused."""
    trunk_width: int = 64
    feature_dims: tuple[int, ...] = (1024, 512, 256, 64, 3)
    """Image features at strides 16, 8, 4, 2, 1; the last is the normalised image itself."""
    pixel_dim: int = 256
    key_dim: int = 64
    value_dim: int = 256
    sensory_dim: int = 256
    embed_dim: int = 256
    mask_trunk: Trunk = "resnet18"
    """The network that encodes plate and alpha into a value."""
    mask_trunk_width: int = 64
    mask_final_dim: int = 256
    transformer_blocks: int = 3
    transformer_heads: int = 8
    transformer_ff_dim: int = 2048
    num_queries: int = 16
    """Object queries: the first half attends to the foreground, the second half to the background."""
    decoder_dims: tuple[int, ...] = (256, 128, 128, 64, 16)
    """Decoder maps at strides 16, 8, 4, 2, 1."""
    refiner_width: int = 0
    """Channels of the refiner, which brings alphas to the plate's size (refiner.py); 0 where there is none."""
    position_scale: float = 32
    position_temperature: float = 128

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise CheckpointError(
                expected="dimensions that build a MatAnyone network",
                came=problem,
                action="Use the dims that were saved with the weights.",
            )

    @property
    def core_size(self) -> int | None:
        """Returns the default working size: the shortest side, in pixels, at which a frame is computed.

        None stands for the plate's own size, which the published networks and MINI compute. A Lite network was trained
        for CORE_SIZE.
        """
        return CORE_SIZE if self.trunk == "lite0" else None

    def to_json(self) -> str:
        """Return the text that a safetensors file's metadata keeps under 'dims'.

        Without a refiner there is no refiner_width in it, as in files of the first releases: digests of weights
        contain this text and must stay the same.
        """
        fields = dataclasses.asdict(self)
        if not self.refiner_width:
            del fields["refiner_width"]
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str) -> Dims:
        """Read what to_json wrote. Raises CheckpointError for unknown or missing names."""
        try:
            fields: dict[str, Any] = json.loads(text)
            known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
            return cls(**known)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(
                expected="a JSON object with the fields of Dims",
                came=f"{text[:80]!r} ({error})",
                action="Save the weights again with matanyone_engine.model.save_checkpoint.",
            ) from error


def _problem(dims: Dims) -> str | None:
    """Return what is wrong with these dimensions, in words, or None."""
    if dims.trunk not in TRUNKS or dims.mask_trunk not in RESNETS:
        return (
            f"trunk {dims.trunk!r} and mask_trunk {dims.mask_trunk!r}; a trunk is one of {', '.join(TRUNKS)}, "
            f"a mask_trunk one of {', '.join(RESNETS)}"
        )
    if len(dims.feature_dims) != 5 or len(dims.decoder_dims) != 5:
        return "feature_dims and decoder_dims that do not name five strides (16, 8, 4, 2, 1)"
    others = {"trunk", "mask_trunk", "position_scale", "position_temperature"}
    for name, value in vars(dims).items():
        widths, least = value if isinstance(value, tuple) else (value,), int(name != "refiner_width")
        if name not in others and not all(isinstance(width, int) and least <= width <= _WIDEST for width in widths):
            return f"{name} {value!r}, which is not made of whole numbers from {least} to {_WIDEST}"
    if dims.embed_dim % dims.transformer_heads:
        return f"embed_dim {dims.embed_dim}, which {dims.transformer_heads} heads do not divide"
    if dims.embed_dim % 4 or dims.num_queries % 2:
        return "an embed_dim not divisible by 4, or an odd num_queries"
    return None


MATANYONE = Dims()
"""MatAnyone 1 and 2 (35.2 M parameters)."""

MINI = Dims(
    trunk="resnet18",
    trunk_width=32,
    feature_dims=(128, 64, 32, 32, 3),
    pixel_dim=64,
    key_dim=32,
    value_dim=64,
    sensory_dim=64,
    embed_dim=64,
    mask_trunk="resnet18",
    mask_trunk_width=32,
    mask_final_dim=128,
    transformer_blocks=2,
    transformer_heads=4,
    transformer_ff_dim=256,
    num_queries=8,
    decoder_dims=(64, 48, 32, 24, 16),
)
"""A small network of MatAnyone's layers (2.7 M parameters). Training begins with one where no weights are given."""

LITE = dataclasses.replace(MINI, trunk="lite0", refiner_width=32)
"""The network of the model that ships with the package, made for CPUs: an EfficientNet-Lite0 that was trained on
ImageNet, a core that runs at a limited size, and a refiner."""
