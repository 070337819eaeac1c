# SPDX-License-Identifier: Apache-2.0
"""Fakes nuke -t: python nuke_t.py SCRIPT.py ARGUMENTS runs init.py of every NUKE_PATH folder, then the script."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run the script as Nuke does: the folders of NUKE_PATH are on sys.path."""
    import nuke

    nuke.fake_start(gui=False, version=os.environ.get("FAKE_NUKE_VERSION", "14.0v1"))
    for folder in os.environ.get("NUKE_PATH", "").split(os.pathsep):
        sys.path.append(folder)
        nuke.session.gizmos["MatAnyone"] = str(Path(folder) / "MatAnyone.gizmo")
        init = Path(folder) / "init.py"
        exec(compile(init.read_text(encoding="utf-8"), str(init), "exec"), {})
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
