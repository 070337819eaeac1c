# SPDX-License-Identifier: Apache-2.0
"""Trains the network: data goes in, weights come out. "The paper" is MatAnyone's, arXiv 2501.14677."""
