# SPDX-License-Identifier: Apache-2.0
"""Describes how an alpha was made, for its header, in the same form for jobs and sessions."""

from __future__ import annotations

import json
from collections.abc import Mapping

from matanyone_engine.matting.confidence import Confidence
from matanyone_engine.matting.memory_policy import MemoryPolicy
from matanyone_engine.matting.options import SessionOptions, describe_density
from matanyone_engine.matting.session import FrameReport
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.color_spaces import ColourChoice
from matanyone_engine.model.registry import VettedWeights
from matanyone_engine.sizes import Resolution
from matanyone_engine.version import __version__

KEYS_OF_0_1_0 = {"settlePasses": "warmUpPasses"}
"""Names of header keys in files of version 0.1.0, and their names now."""


def describe_making(
    weights: VettedWeights,
    colour: ColourChoice,
    network_view: NetworkView,
    *,
    mask: str,
    mask_frame: int | str,
    mask_sha256: str,
    mask_grow: int,
    options: SessionOptions,
    plate: Resolution,
    memory: MemoryPolicy,
) -> dict[str, str]:
    """Return what is written into every file as matanyone:<key>.

    An option that the job leaves open has the value that the weights chose.
    """
    warm_ups = weights.warm_up_passes if options.warm_up_passes is None else options.warm_up_passes
    working_size = weights.core_size if options.working_size is None else options.working_size
    return {
        "version": __version__,
        "model": weights.label,
        "modelLicence": weights.licence,
        "modelSha256": weights.found.sha256 or "unknown",
        "precision": weights.precision,
        "mask": mask,
        "maskFrame": str(mask_frame),
        "maskSha256": mask_sha256,
        "maskGrow": str(mask_grow),
        "plateColorspace": f"{colour.space} ({colour.reason})",
        "networkView": network_view.name,
        "exposure": f"{network_view.exposure:g}",
        "warmUpPasses": str(warm_ups),
        "workingSize": "full" if working_size is None else str(working_size),
        "computed": describe_density(options, plate, weights.core_size, learned=weights.refiner),
        "holdTolerance": "off" if options.hold_tolerance is None else f"{options.hold_tolerance:g}",
        "memory": json.dumps(memory.to_dict()),
    }


def describe_frame(report: FrameReport) -> dict[str, str]:
    """Return the entries that differ from frame to frame: the region, and whether the frame repeats the one before."""
    region = {} if report.region is None else {"region": str(report.region)}
    return {**region, "held": "1"} if report.held else region


def describe_confidence(confidences: Mapping[str, Confidence]) -> dict[str, str]:
    """Return the lowest confidence of a file's objects as a number, and if there are several objects, that of each."""
    if not confidences:
        return {}
    worst = min(confidences.values(), key=lambda each: each.value)
    values = {"confidence": f"{worst.value:.3f}"}
    if worst.why:
        values["confidenceWhy"] = worst.why
    if len(confidences) > 1:
        values["confidences"] = ", ".join(f"{name}={each.value:.3f}" for name, each in confidences.items())
    return values
