# SPDX-License-Identifier: Apache-2.0
"""The files that a run leaves beside its alphas, and how they are read again."""
