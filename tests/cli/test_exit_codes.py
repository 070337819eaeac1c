# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from pathlib import Path

import pytest

from matanyone_engine.cli import exit_codes
from matanyone_engine.cli.main import main
from matanyone_engine.errors import Defect, EngineError

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def family(kind: type[EngineError]) -> list[type[EngineError]]:
    return [kind, *(error for child in kind.__subclasses__() for error in family(child))]


@pytest.mark.parametrize("kind", family(EngineError)[1:], ids=lambda kind: kind.__name__)
def test_every_error_class_has_an_exit_code(kind: type[EngineError]) -> None:
    code = exit_codes.exit_code(kind(expected="a", came="b", action="c"))
    assert code not in {exit_codes.OK, exit_codes.UNEXPECTED} or kind is Defect


def test_the_document_lists_the_codes() -> None:
    constants = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", DOCUMENT.read_text(), re.MULTILINE)}
    assert documented == constants


def test_an_unknown_command_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["mate"])
    assert stopped.value.code == exit_codes.BAD_INPUT
    assert "matte" in capsys.readouterr().err


def test_every_code_has_a_meaning_in_words() -> None:
    constants = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    assert set(exit_codes.MEANINGS) == constants
