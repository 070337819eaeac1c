# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the extension: one zip for every Blender from 4.2 on, with the engine's client and pyzmq inside.

    python blender_addon/build.py [--out dist] [--wheels .wheels] [--blender-ext PATH/TO/blender_ext.py]

Blender's own tool builds and validates it (blender_ext.py of a Blender or of the bpy wheel, found or named); without
one the zip is packed here and not validated, which is said. Rules that the tool does not know are checked here.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NOT_SHIPPED = {"build.py"}

PYZMQ = {"311": "26.4.0", "313": "26.4.0", "314": "27.1.0"}
"""Python -> its pyzmq: of Blender 4.2 to 5.0, of 5.1 on, and of the Blender 5.2 that Linux distributions build.

26.4.0 is the newest with a wheel for each Python by itself. For 3.14 there are wheels for any Python from 3.12 on only
(abi3). Beside others, Blender takes such a wheel for one of Python 3.12 and refuses the zip, so it is renamed: the
wheel of one Python, which it also is. Its contents stay as they are.
"""
PLATFORMS = {
    "linux-x64": "x86_64",
    "macos-arm64": "universal2",
    "macos-x64": "universal2",
    "windows-x64": "win_amd64",
    "windows-arm64": "win_arm64",
}
"""Blender's name of each platform, and how the name of its wheels ends."""
_PIP = {
    "x86_64": ("manylinux2014_x86_64", "manylinux_2_28_x86_64"),
    "universal2": ("macosx_10_15_universal2",),
    "win_amd64": ("win_amd64",),
    "win_arm64": ("win_arm64",),
}
"""Blender's name of each platform, and pip's names of it."""


def main() -> int:
    """Stage, fetch, check, build, validate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--wheels", type=Path, default=ROOT / ".wheels", help="fetched once, kept")
    parser.add_argument("--blender-ext", type=Path, help="Blender's blender_ext.py")
    parser.add_argument("--repository", action="store_true", help="make --out a repository that Blender updates from")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        staged = stage(Path(folder) / "matanyone", fetch(args.wheels))
        tool = args.blender_ext or find_tool()
        archive = build(staged, args.out, tool)
    if args.repository:
        index(args.out, tool)
    print(f"{archive} ({archive.stat().st_size / 1e6:.1f} MB)")
    return 0


def fetch(folder: Path) -> list[Path]:
    """Return one pyzmq wheel of PyPI for each Python and platform, fetched where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_wheel(folder, python, platform) for python in PYZMQ for platform in sorted(set(PLATFORMS.values()))]


def _wheel(folder: Path, python: str, platform: str) -> Path:
    """Return a wheel, which is fetched once and kept."""
    pattern = f"pyzmq-{PYZMQ[python]}-cp{python}-cp{python}-*{platform}.whl"
    if not list(folder.glob(pattern)):
        with tempfile.TemporaryDirectory(dir=folder) as name:
            fresh = _downloaded(Path(name), python, platform)
            fresh.replace(folder / re.sub(r"-cp3\d+-(abi3|cp3\d+)-", f"-cp{python}-cp{python}-", fresh.name))
    return next(folder.glob(pattern))


def _downloaded(folder: Path, python: str, platform: str) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--implementation=cp", f"--python-version={python}", f"--abi=cp{python}", "--abi=abi3"]
    command += [f"--platform={each}" for each in _PIP[platform]]
    subprocess.run([*command, f"--dest={folder}", f"pyzmq=={PYZMQ[python]}"], check=True)
    return next(folder.glob("*.whl"))


def stage(folder: Path, wheels: list[Path]) -> Path:
    """Copy into a folder what the extension's zip holds: our files, the client, wheels, and a manifest that names
    them.
    """
    sys.path.insert(0, str(ROOT))
    from matanyone_engine.client.vendor import copy_client

    folder.mkdir(parents=True)
    for source in sorted(HERE.iterdir()):
        if source.is_file() and source.name not in NOT_SHIPPED:
            shutil.copyfile(source, folder / source.name)
    copy_client(folder / "engine")
    (folder / "wheels").mkdir()
    for wheel in wheels:
        shutil.copyfile(wheel, folder / "wheels" / wheel.name)
    manifest = folder / "blender_manifest.toml"
    manifest.write_text(_filled_in(manifest.read_text(encoding="utf-8"), wheels), encoding="utf-8")
    check(manifest.read_text(encoding="utf-8"), [wheel.name for wheel in wheels])
    return folder


def _filled_in(text: str, wheels: list[Path]) -> str:
    platforms = ", ".join(f'"{name}"' for name in PLATFORMS)
    names = ", ".join(f'"./wheels/{wheel.name}"' for wheel in wheels)
    return text.replace("platforms = []", f"platforms = [{platforms}]").replace("wheels = []", f"wheels = [{names}]")


def check(manifest: str, wheels: list[str]) -> None:
    """Refuse what Blender's validator lets through but Blender, or extensions.blender.org, does not take. Raises
    SystemExit.
    """
    if 'license = ["SPDX:GPL-3.0-or-later"]' not in manifest:
        sys.exit("the manifest must say SPDX:GPL-3.0-or-later")
    if any("abi3" in wheel for wheel in wheels):
        sys.exit("an abi3 wheel beside others makes Blender 5.1 refuse the zip")
    for platform, ending in PLATFORMS.items():
        for python in PYZMQ:
            if not any(re.search(f"-cp{python}-cp{python}-.*{ending}", wheel) for wheel in wheels):
                sys.exit(f"no wheel for {platform} with Python {python}")


def find_tool() -> Path | None:
    """Find blender_ext.py in the bpy wheel of a virtual environment beside us, or in an installed Blender."""
    inside = "scripts/addons_core/bl_pkg/cli/blender_ext.py"
    places = [*sorted(ROOT.glob(".venv-blender-*")), Path("/usr/share/blender"), Path("/opt")]
    for place in places:
        for pattern in (f"lib/python3*/site-packages/bpy/*/{inside}", f"*/{inside}", inside):
            found = sorted(place.glob(pattern)) if place.is_dir() else []
            if found:
                return found[-1]
    return None


def build(staged: Path, out: Path, tool: Path | None) -> Path:
    """Build the zip, validate it with Blender's tool where there is one, and return its path."""
    version = re.search(r'^version = "(.+)"', (staged / "blender_manifest.toml").read_text(), re.MULTILINE)
    assert version
    out.mkdir(parents=True, exist_ok=True)
    archive = out / f"matanyone-{version[1]}.zip"
    archive.unlink(missing_ok=True)
    if tool is None:
        _pack(staged, archive)
        print("no blender_ext.py was found (make blender brings one): packed here, NOT validated")
        return archive
    for order in (["build", f"--source-dir={staged}", f"--output-filepath={archive}"], ["validate", str(archive)]):
        done = subprocess.run([sys.executable, str(tool), *order], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"blender_ext.py {order[0]}: {done.stdout}{done.stderr}")
    print(f"built and validated by {tool}")
    return archive


def index(folder: Path, tool: Path | None) -> None:
    """Write index.json and index.html beside the zips of a folder: a static repository of extensions."""
    if tool is None:
        sys.exit("a repository needs Blender's blender_ext.py: make blender-repo brings a Blender along")
    command = [sys.executable, str(tool), "server-generate", f"--repo-dir={folder}", "--html"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not (folder / "index.json").is_file():
        sys.exit(f"blender_ext.py server-generate: {done.stdout}{done.stderr}")
    print(f"{folder / 'index.json'}: name it in Blender, Preferences > Get Extensions > Repositories")


def _pack(staged: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(staged.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(staged).as_posix())


if __name__ == "__main__":
    sys.exit(main())
