# SPDX-License-Identifier: Apache-2.0
"""Trains the network: data in, weights out (paper section 4; spec section 7)."""
