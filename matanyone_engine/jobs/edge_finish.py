# SPDX-License-Identifier: Apache-2.0
"""Applies the edge controls of a job to the alphas of a frame, between the network and the files.

An object's edges are steadied first, on its own alpha; where it has an area, the solution of the network's alpha takes
its place; then objects share their pixels, as they do without any control; then the other controls are applied to what
each object has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from matanyone_engine.jobs.refine_areas import AreaFrame, AreaSolver
from matanyone_engine.matting.confidence import DOUBTFUL, Confidence
from matanyone_engine.matting.runner import SubjectAlphas
from matanyone_engine.media.edges import EdgeControls, with_edges
from matanyone_engine.media.images import FloatImage
from matanyone_engine.media.steady_edges import Grey, NeighbourFrame, steadied


class GreyFrames(NamedTuple):
    """Holds the grey plates, each (H, W) 8 bits, of a frame and of those beside it."""

    before: Grey
    here: Grey
    after: Grey


class EdgeFinisher:
    """Makes the alphas that are written of those that the network gave; one thread calls it."""

    def __init__(
        self, controls: EdgeControls, shared: Callable[[Mapping[str, SubjectAlphas]], Mapping[str, Tensor]]
    ) -> None:
        """shared: lets objects share their pixels (ShotRunner.shared)."""
        self._controls, self._shared = controls, shared
        self._areas = AreaSolver()

    def finished(
        self,
        parts: Mapping[str, SubjectAlphas],
        greys: GreyFrames | None,
        confidences: Mapping[str, Confidence],
        areas: Mapping[str, Sequence[AreaFrame]],
    ) -> dict[str, FloatImage]:
        """Return the alpha (H, W) 0..1 of each object, as it is written.

        areas: for each object with an area on this frame what it is solved from: the frame before, if it counts, and
        this one.
        """
        steady = {name: part if greys is None else self._steady(part, greys) for name, part in parts.items()}
        for name, frames in areas.items():
            steady[name] = self._solved(name, steady[name], parts[name], frames)
        alphas = {name: alpha.cpu().numpy() for name, alpha in self._shared(steady).items()}
        return {
            name: with_edges(alpha, self._controls, core_is_sure=_is_sure(confidences.get(name)))
            for name, alpha in alphas.items()
        }

    def _solved(self, name: str, part: SubjectAlphas, raw: SubjectAlphas, frames: Sequence[AreaFrame]) -> SubjectAlphas:
        """Return a part whose area is solved. raw: the part as the network gave it."""
        alpha, *own = (np.asarray(each.cpu().numpy(), np.float32) for each in (part.alpha, *raw.earlier, raw.alpha))
        return SubjectAlphas(torch.from_numpy(self._areas.refined(name, alpha, own, frames)), None, part.distractor)

    def _steady(self, part: SubjectAlphas, greys: GreyFrames) -> SubjectAlphas:
        """Return a part whose own alpha has steady edges, where it has neighbours."""
        if part.beside is None:
            return part
        alpha, before, after = (np.asarray(each.cpu().numpy(), np.float32) for each in (part.alpha, *part.beside))
        neighbours = NeighbourFrame(before, greys.before), NeighbourFrame(after, greys.after)
        steady = steadied(alpha, greys.here, *neighbours, self._controls.deflicker)
        return SubjectAlphas(torch.from_numpy(steady), None, part.distractor)


def _is_sure(confidence: Confidence | None) -> bool:
    return confidence is None or confidence.value >= DOUBTFUL
