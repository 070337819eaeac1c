# SPDX-License-Identifier: Apache-2.0
"""One shot, from the files an artist names to the files of its alphas."""
