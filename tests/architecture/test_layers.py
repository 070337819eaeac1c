# SPDX-License-Identifier: Apache-2.0
"""Tests that the code has the structure that docs/architecture.md describes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import matanyone_engine

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "matanyone_engine"
LINES_OF_A_FUNCTION = 45


def tracked(*suffixes: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [ROOT / name for name in listed if name.endswith(suffixes) and (ROOT / name).is_file()]


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_architecture_document_names_every_module() -> None:
    document = (ROOT / "docs" / "architecture.md").read_text()
    packages = dict(re.findall(r"^\*\*`(\w+)/`(.*?)(?=^\*\*)", document, flags=re.MULTILINE | re.DOTALL))
    missing = []
    for path in sorted(PACKAGE.rglob("*.py")):
        package, *inside = path.relative_to(PACKAGE).parts
        where = packages.get(package, document) if inside else document
        name = path.name if package in packages or not inside else f"{package}/{path.name}"
        if path.name not in ("__init__.py", "__main__.py") and f"`{name}`" not in where:
            missing.append(str(path.relative_to(PACKAGE)))
    assert not missing


def test_every_function_that_the_architecture_document_names_exists() -> None:
    """'`Scheduler._on_tick` in `engine/scheduler.py`' names a function that exists in that file."""
    document = (ROOT / "docs" / "architecture.md").read_text()
    table = document.partition("## Where is it?")[2].partition("## The packages")[0]
    pointers = re.findall(r"`([A-Za-z_.]+)` in `(\w+/\w+\.py)`", table)
    assert len(pointers) >= 12
    missing = [f"{name} in {file}" for name, file in pointers if name.split(".")[-1] not in names_in(PACKAGE / file)]
    assert not missing


def names_in(path: Path) -> set[str]:
    """Return the names of all functions, methods and classes of a file."""
    kinds = ast.FunctionDef | ast.ClassDef
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)}


@pytest.mark.parametrize(
    "path", tracked(".py", ".toml", ".md", ".txt", "Makefile", ".ci/run"), ids=lambda p: str(p.relative_to(ROOT))
)
def test_every_text_file_states_its_licence(path: Path) -> None:
    if path.parent == ROOT / "LICENSES":  # the texts of the licences themselves
        return
    assert any("SPDX-License-Identifier:" in line for line in path.read_text().splitlines()[:2])


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, matanyone_engine, matanyone_engine.cli.main\n"
        "heavy = {'torch', 'numpy', 'OpenImageIO', 'cv2', 'rich', 'safetensors'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_public_names_are_there() -> None:
    for name in matanyone_engine.__all__:
        assert getattr(matanyone_engine, name)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = matanyone_engine.nonsense


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_functions_are_short(path: Path) -> None:
    long = [
        f"{node.name} ({node.end_lineno - node.lineno + 1} lines)"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > LINES_OF_A_FUNCTION
    ]
    assert not long


def test_no_module_has_a_name_without_meaning() -> None:
    meaningless = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for path in PACKAGE.rglob("*.py") if path.stem in meaningless]


# Text that shows a transfer function or a colour conversion: names of libraries, powers, the constants of curves.
TRANSFER = re.compile(
    r"colorconvert|ocio(file|look|display|named)\w*|colormatrix|cvtColor|PyOpenColorIO"
    r"|\*\*\s*\(?\s*(1(\.0)?\s*/|2\.\d|0?\.4)|\bpow(er)?\(.*(2\.\d|0?\.4|gamma)"
    r"|0\.003130\d|0\.04045|12\.92|1\.055|1\.099|0\.2471\d|5\.5555|10540|0\.41\d\d\d\d"
)
# Lines that only look like one: a sample's random gamma and a matte's gamma convert no colour space, and
# encodings.py has two curves to recognise what an ICC profile describes; it converts no pixels.
NO_TRANSFER = {"training/augment.py": 1, "media/edges.py": 1, "media/encodings.py": 2}


def test_one_module_has_transfer_functions() -> None:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        lines = [line for line in path.read_text().splitlines() if TRANSFER.search(line) or "** look.gamma" in line]
        if len(lines) > NO_TRANSFER.get(name, 0):
            found[name] = lines
    assert list(found) == ["media/color.py"]


@pytest.mark.parametrize(
    "line",
    [
        "encoded = linear ** (1 / 2.4)",
        "plate = plate ** 2.2",
        "np.power(plate, 1 / 2.2)",
        "y = np.where(x <= 0.0031308, 12.92 * x, y)",
        "cv2.cvtColor(image, cv2.COLOR_BGR2LAB)",
        "oiio.ImageBufAlgo.colorconvert(a, b, c)",
    ],
)
def test_the_search_for_transfer_functions_finds_them(line: str) -> None:
    assert TRANSFER.search(line)
