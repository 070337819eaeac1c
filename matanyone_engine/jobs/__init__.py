# SPDX-License-Identifier: Apache-2.0
"""Runs jobs: mattes one shot, from the artist's files to the files of its alphas."""
