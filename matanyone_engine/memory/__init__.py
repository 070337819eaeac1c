# SPDX-License-Identifier: Apache-2.0
"""Keeps what a shot remembers, as tensors without weights. Read bank.py first."""
