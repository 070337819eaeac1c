# SPDX-License-Identifier: Apache-2.0
"""What a shot remembers, as tensors without weights. Read bank.py first."""
