# SPDX-License-Identifier: Apache-2.0
"""Mattes one object or several through one shot. Read schedule.py first, then session.py."""
