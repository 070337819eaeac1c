# SPDX-License-Identifier: Apache-2.0
"""Installs a Blender as a Python module, in a virtual environment of its own: `make test` and CI test the extension in
it.

    python3 tests/install_blender.py FOLDER VERSION PYTHON      # .venv-blender-4.5.15 4.5.15 python3.11

Leaves FOLDER/ready. Where that cannot be, FOLDER/skipped says why and the tests show it: without a Python of that
version outside of CI, or where no package index answers. Anything else, such as a wheel that is gone, is a failure.
Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SMALL = "pyzmq==26.4.0"
"""A package that every index has: the extension is built from it."""
PIP = ("-m", "pip", "--disable-pip-version-check")


def main() -> int:
    """Install, or say why not."""
    folder, version, python = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    if (folder / "ready").exists():
        return 0
    begun = time.monotonic()
    folder.mkdir(exist_ok=True)
    (folder / "skipped").unlink(missing_ok=True)
    if shutil.which(python) is None or subprocess.run([python, "-c", ""], check=False, stderr=-3).returncode:
        return skip(folder, f"no {python} here, which Blender {version} needs", fails="CI" in os.environ)
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    own = str(folder / "bin" / "python")
    done = subprocess.run(
        [own, *PIP, "install", "--quiet", f"bpy=={version}"], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        (folder / "ready").touch()
        print(f"Blender {version} in {folder}: {time.monotonic() - begun:.0f} s", flush=True)
        return 0
    if answers(own):
        print(f"bpy {version} could not be installed:\n{done.stderr}", file=sys.stderr)
        return 1
    return skip(folder, f"no package index answers, so Blender {version} is not here")


def skip(folder: Path, why: str, fails: bool = False) -> int:
    """Have the tests of this Blender skipped, and return the exit code."""
    print(f"{folder}: {why}", file=sys.stderr, flush=True)
    (folder / "skipped").write_text(why)
    return int(fails)


def answers(python: str) -> bool:
    """Return whether an index gives us a package that it must have."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, *PIP, "download", "--quiet", "--no-deps", "--no-cache-dir", f"--dest={folder}", SMALL]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
