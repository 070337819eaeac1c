# SPDX-License-Identifier: Apache-2.0
"""Holds the network: layers with weights. Read matanyone.py first."""

from matanyone_engine.model.checkpoint import (
    Checkpoint,
    build_network,
    for_inference,
    load_upstream_state,
    network_digest,
    read_checkpoint,
    save_checkpoint,
)
from matanyone_engine.model.dims import MATANYONE, MINI, Dims
from matanyone_engine.model.matanyone import MatAnyone

__all__ = [
    "MATANYONE",
    "MINI",
    "Checkpoint",
    "Dims",
    "MatAnyone",
    "build_network",
    "for_inference",
    "load_upstream_state",
    "network_digest",
    "read_checkpoint",
    "save_checkpoint",
]
