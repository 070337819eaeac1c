# SPDX-License-Identifier: Apache-2.0
"""Nuke runs this at its start, with or without a GUI. Nuke starts whatever is wrong here."""

try:
    from matanyone_nuke import node

    node.register()
except Exception as error:
    import sys

    sys.stderr.write("matanyone: not loaded, since %r; its nodes still play the mattes on disk\n" % error)
