# SPDX-License-Identifier: Apache-2.0
"""The training recipe: data in, weights out (paper section 4; spec section 7)."""
