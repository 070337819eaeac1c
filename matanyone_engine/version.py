# SPDX-License-Identifier: Apache-2.0
"""Holds the version of this release. It stands alone, so that every package can read it without importing anything."""

from __future__ import annotations

__version__ = "0.1.0"
