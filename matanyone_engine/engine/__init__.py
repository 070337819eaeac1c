# SPDX-License-Identifier: Apache-2.0
"""The engine: a server that keeps networks and sessions on the device."""
