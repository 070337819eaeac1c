# SPDX-License-Identifier: Apache-2.0
"""Turns what is typed at a terminal into work, and what comes of it into sentences and exit codes."""
