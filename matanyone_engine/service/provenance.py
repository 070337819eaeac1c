# SPDX-License-Identifier: Apache-2.0
"""What an alpha says about how it was made; the same words whether a job or a session made it."""

from __future__ import annotations

import json

from matanyone_engine import __version__
from matanyone_engine.matting.policy import MemoryPolicy
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.spaces import ColourChoice
from matanyone_engine.model.registry import VettedWeights


def describe_making(
    weights: VettedWeights,
    colour: ColourChoice,
    view: NetworkView,
    *,
    mask: str,
    mask_frame: int,
    mask_sha256: str,
    mask_grow: int,
    settle_passes: int,
    working_size: int | None,
    memory: MemoryPolicy,
) -> dict[str, str]:
    """Keys and values that mattes.write_alpha puts into the file as matanyone:<key>."""
    return {
        "version": __version__,
        "model": weights.label,
        "modelLicence": weights.licence,
        "modelSha256": weights.found.sha256 or "unknown",
        "mask": mask,
        "maskFrame": str(mask_frame),
        "maskSha256": mask_sha256,
        "maskGrow": str(mask_grow),
        "plateColorspace": f"{colour.space} ({colour.reason})",
        "networkView": view.name,
        "exposure": f"{view.exposure:g}",
        "settlePasses": str(settle_passes),
        "workingSize": "full" if working_size is None else str(working_size),
        "memory": json.dumps(memory.to_dict()),
    }
