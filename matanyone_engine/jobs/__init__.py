# SPDX-License-Identifier: Apache-2.0
"""Mattes one shot, from the files that an artist names to the files of its alphas."""
