# SPDX-License-Identifier: Apache-2.0
"""Nuke runs this at the start of its GUI. Nuke starts whatever is wrong here."""

try:
    import nuke

    menu = nuke.menu("Nodes").addMenu("MatAnyone")
    menu.addCommand("MatAnyone", "from matanyone_nuke import node; node.create()")
    menu.addCommand("Update selected nodes", "from matanyone_nuke import node; node.update_selected()")
except Exception as error:
    import sys

    sys.stderr.write("matanyone: no menu, since %r\n" % error)
