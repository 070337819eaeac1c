# SPDX-License-Identifier: Apache-2.0
"""Turns alphas into closed splines that an artist can edit, and writes them for compositing programs (DR021)."""
