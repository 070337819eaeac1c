# SPDX-License-Identifier: Apache-2.0
"""Reads and writes sidecars: the files that a run leaves beside its alphas."""
