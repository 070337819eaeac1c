# SPDX-License-Identifier: Apache-2.0
"""Reviews a finished run and writes a page about it."""
