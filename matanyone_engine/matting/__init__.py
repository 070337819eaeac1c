# SPDX-License-Identifier: Apache-2.0
"""One object through one shot. Read schedule.py, then session.py."""
