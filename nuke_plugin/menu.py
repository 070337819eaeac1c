# SPDX-License-Identifier: Apache-2.0
"""Nuke runs this at the start of its GUI. Whatever is wrong here, Nuke starts."""

try:
    import nuke

    create = "from matanyone_nuke import node; node.create()"
    nuke.menu("Nodes").addMenu("MatAnyone").addCommand("MatAnyone", create)
except Exception as error:
    import sys

    sys.stderr.write("matanyone: no menu, since %r\n" % error)
