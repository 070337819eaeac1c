# SPDX-License-Identifier: Apache-2.0
"""Makes a folder that installs the engine on a machine without a network: `make bundle`, or

    python install/bundle.py [--out dist] [--torch-index URL] [--extras engine,movies] [--without-hosts]

The folder holds the engine's wheel and all that it needs for this system and this Python, the add-ons for Blender and
Nuke, a list of parts (CycloneDX), the SHA-256 of every file, and `install.py`, which checks and installs them.

Rules of this file:
1. Releases come from install/lock.txt. What the lock lists by digest is compared with it.
2. A bundle is installed once here, without a network, before it is said to be made; the list of parts describes what
   that installation holds.
3. Wheels fit one system and one Python: make a bundle on the kind of machine that it is for.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from offline import SUMS, sha256

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LOCK = HERE / "lock.txt"
NUKE_PYTHONS = ("3.9", "3.10", "3.11")
"""The Pythons of Nuke 14 to 17."""


def main() -> int:
    """Read the command line and make the bundle."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--extras", default="engine,movies", help="which parts of matanyone-engine are wanted")
    parser.add_argument("--torch-index", metavar="URL", help="an index that has torch for one accelerator")
    parser.add_argument("--without-hosts", action="store_true", help="leave out what Blender and Nuke need")
    args = parser.parse_args()
    folder = args.out / name_of_bundle()
    if folder.exists():
        shutil.rmtree(folder)
    (folder / "wheels").mkdir(parents=True)
    fetch_wheels(folder / "wheels", args.extras, args.torch_index)
    check_against_lock(folder / "wheels")
    if not args.without_hosts:
        add_hosts(folder)
    add_texts(folder, args.extras)
    write_sums(folder)
    list_parts(folder)
    write_sums(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder} ({size / 1e6:.0f} MB)")
    return 0


def name_of_bundle() -> str:
    """Return a name that says for which system and which Python the bundle is."""
    version = re.search(r'__version__ = "(.+)"', (ROOT / "matanyone_engine" / "version.py").read_text())
    assert version
    system = f"{platform.system()}-{platform.machine()}".lower()
    return f"matanyone-engine-{version[1]}-{system}-python{sys.version_info[0]}.{sys.version_info[1]}"


def fetch_wheels(folder: Path, extras: str, torch_index: str | None) -> None:
    """Build the engine's wheel, and fetch the wheels of everything that it needs at the locked releases."""
    with tempfile.TemporaryDirectory() as name:
        _pip("wheel", "--quiet", "--no-deps", f"--wheel-dir={folder}", str(_copied(Path(name) / "source")))
        ours = next(folder.glob("matanyone_engine-*.whl"))
        releases = Path(name) / "releases.txt"
        releases.write_text("\n".join(locked_releases()), encoding="utf-8")
        index = [f"--extra-index-url={torch_index}"] if torch_index else []
        wanted = f"{ours}[{extras}]"
        limits = ["--only-binary=:all:", f"--constraint={releases}", *index]
        _pip("download", "--quiet", *limits, f"--dest={folder}", wanted)


def _copied(folder: Path) -> Path:
    """Copy what the wheel is made of: an earlier build beside the sources would bring its old files into it."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, folder / name)
    for name in ("matanyone_engine", "blender_addon", "nuke_plugin", "farm"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def locked_releases() -> list[str]:
    """Return the lock's lines without digests: 'numpy==2.2.6 ; python_full_version < "3.11"'."""
    return re.findall(r"^([\w.-]+==[^\\\n]+?)\s*\\$", LOCK.read_text(encoding="utf-8"), re.MULTILINE)


def check_against_lock(folder: Path) -> None:
    """Compare each wheel with the lock's digests. Raises SystemExit where one differs.

    A build of torch from torch's own index ("2.13.0+cpu") is not in the lock, which knows PyPI alone; pip has compared
    it with the digest that the index gives. The engine's own wheel was built here.
    """
    known = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", LOCK.read_text(encoding="utf-8")))
    for wheel in sorted(folder.glob("*.whl")):
        if "+" in wheel.name or wheel.name.startswith("matanyone_engine-"):
            continue
        if sha256(wheel) not in known:
            raise SystemExit(f"expected a file that install/lock.txt lists; got {wheel.name}. Renew the lock, or stop.")


def add_hosts(folder: Path) -> None:
    """Add Blender's extension, ready to be installed, and a pyzmq for each Python of Nuke."""
    build = [sys.executable, str(ROOT / "blender_addon" / "build.py"), f"--out={folder}"]
    subprocess.run(build, check=True, timeout=600)
    sys.path.insert(0, str(ROOT))
    from matanyone_engine.cli.nuke import PYZMQ

    for python in NUKE_PYTHONS:
        limits = ["--no-deps", "--only-binary=:all:", f"--python-version={python}"]
        _pip("download", "--quiet", *limits, f"--dest={folder / 'nuke_wheels'}", f"pyzmq=={PYZMQ}")


def add_texts(folder: Path, extras: str) -> None:
    """Add the program that installs, what it has to know, and the page for people."""
    shutil.copyfile(HERE / "offline.py", folder / "install.py")
    shutil.copyfile(ROOT / "docs" / "install.md", folder / "README.md")
    about = {
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "system": platform.system(),
        "machine": platform.machine(),
        "extras": extras,
    }
    (folder / "bundle.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def write_sums(folder: Path) -> None:
    """Write the SHA-256 of every file, as `sha256sum --check` reads them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def list_parts(folder: Path) -> None:
    """Install the bundle into a folder that is thrown away, and list what is in there (CycloneDX, JSON)."""
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / "engine"
        subprocess.run([sys.executable, str(folder / "install.py"), str(target)], check=True, timeout=1800)
        python = next(path for path in (target / "bin" / "python", target / "Scripts" / "python.exe") if path.exists())
        tool = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--output-format=JSON"]
        about = [f"--pyproject={ROOT / 'pyproject.toml'}", f"--output-file={folder / 'sbom.cdx.json'}"]
        subprocess.run([*tool, *about, str(python)], check=True, timeout=600)


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], check=True, timeout=3600)


if __name__ == "__main__":
    sys.exit(main())
