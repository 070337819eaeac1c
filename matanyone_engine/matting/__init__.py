# SPDX-License-Identifier: Apache-2.0
"""Follows one object, or several, through one shot. Read schedule.py first, then session.py."""
