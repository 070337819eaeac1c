# SPDX-License-Identifier: Apache-2.0
"""Adds --device and --precision, the options of every command that runs a network in its own process."""

from __future__ import annotations

import argparse

from matanyone_engine.model.device import FORMS
from matanyone_engine.model.precision import CHOICES


def add_computing(parser: argparse._ActionsContainer) -> None:
    """Add --device and --precision to a parser; registry.load_vetted() takes their values."""
    parser.add_argument(
        "--device",
        default="auto",
        help=f"Where to compute: {FORMS}. Default: auto, the fastest device there is.",
    )
    parser.add_argument(
        "--precision",
        default="auto",
        choices=CHOICES,
        help="exact computes in float32. fast computes mostly in half precision. auto, the default, is fast where "
        "that was measured to be faster on this machine and these weights were verified to be as good.",
    )
