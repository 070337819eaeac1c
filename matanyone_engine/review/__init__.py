# SPDX-License-Identifier: Apache-2.0
"""Looks a finished run over and makes a page of what it finds."""
