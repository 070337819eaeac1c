# SPDX-License-Identifier: Apache-2.0
"""Applies the edge controls of each object to the alphas of a frame before they are written.

The order is: the edges of each object's own alpha are steadied (deflicker); inside an area, the alpha is replaced by
the solution of the network's alpha; objects share their pixels, as they do without any control; then the other controls
are applied to each object's alpha.
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
    """Holds the grey plates, each (H, W) of 8 bits, of a frame and of its neighbours."""

    before: Grey
    here: Grey
    after: Grey


class EdgeFinisher:
    """Turns the network's alphas into those that are written. Only one thread may call it."""

    def __init__(
        self,
        controls_of: Callable[[str], EdgeControls],
        shared: Callable[[Mapping[str, SubjectAlphas]], Mapping[str, Tensor]],
    ) -> None:
        """controls_of: returns the edge controls of an object. shared: lets objects share their pixels
        (ShotRunner.shared).
        """
        self._controls_of, self._shared = controls_of, shared
        self._areas = AreaSolver()

    def finished(
        self,
        parts: Mapping[str, SubjectAlphas],
        greys: GreyFrames | None,
        confidences: Mapping[str, Confidence],
        areas: Mapping[str, Sequence[AreaFrame]],
    ) -> dict[str, FloatImage]:
        """Return the alpha (H, W) 0..1 that is written for each object.

        areas: for each object with an area on this frame, the frames that its alpha is solved from: the frame before,
        if it is used, and this one.
        """
        steady = {name: part if greys is None else self._steady(name, part, greys) for name, part in parts.items()}
        for name, frames in areas.items():
            steady[name] = self._solved(name, steady[name], parts[name], frames)
        alphas = {name: alpha.cpu().numpy() for name, alpha in self._shared(steady).items()}
        return {
            name: with_edges(alpha, self._controls_of(name), core_is_sure=_is_sure(confidences.get(name)))
            for name, alpha in alphas.items()
        }

    def _solved(self, name: str, part: SubjectAlphas, raw: SubjectAlphas, frames: Sequence[AreaFrame]) -> SubjectAlphas:
        """Return a part with the alpha in its area solved. raw: the part as the network made it."""
        alpha, *own = (np.asarray(each.cpu().numpy(), np.float32) for each in (part.alpha, *raw.earlier, raw.alpha))
        return SubjectAlphas(torch.from_numpy(self._areas.refined(name, alpha, own, frames)), None, part.distractor)

    def _steady(self, name: str, part: SubjectAlphas, greys: GreyFrames) -> SubjectAlphas:
        """Return a part with its edges steadied, if that is asked for and it has neighbours."""
        strength = self._controls_of(name).deflicker
        if part.beside is None or not strength:
            return part
        alpha, before, after = (np.asarray(each.cpu().numpy(), np.float32) for each in (part.alpha, *part.beside))
        neighbours = NeighbourFrame(before, greys.before), NeighbourFrame(after, greys.after)
        steady = steadied(alpha, greys.here, *neighbours, strength)
        return SubjectAlphas(torch.from_numpy(steady), None, part.distractor)


def _is_sure(confidence: Confidence | None) -> bool:
    return confidence is None or confidence.value >= DOUBTFUL
