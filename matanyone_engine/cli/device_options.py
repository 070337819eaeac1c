# SPDX-License-Identifier: Apache-2.0
"""Where and how exactly a network computes: the options that every command with a network of its own takes."""

from __future__ import annotations

import argparse

from matanyone_engine.model.precision import CHOICES


def add_computing(parser: argparse.ArgumentParser) -> None:
    """--device and --precision, for registry.load_vetted()."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument(
        "--precision",
        default="auto",
        choices=CHOICES,
        help="exact: float32; fast: mostly half precision; auto: fast where it was verified to be as good (default)",
    )
