# SPDX-License-Identifier: Apache-2.0
"""Who may say what when; and the folder that hosts copy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import matanyone_engine.wire
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.connection import Connection, read_connection, write_connection
from matanyone_engine.wire.conversation import (
    EVENTS,
    EXCHANGES,
    Channel,
    ConversationPhase,
    check_phase,
    check_reply,
    check_request,
)
from matanyone_engine.wire.errors import Code, WireError

WIRE = Path(matanyone_engine.wire.__file__).parent


def test_every_message_has_its_place() -> None:
    replies = {exchange.reply for exchange in EXCHANGES.values()} | {say.Fault}
    assert set(say.MESSAGES.values()) == set(EXCHANGES) | replies | EVENTS


def test_unknown_clients_may_only_send_hello() -> None:
    check_request(say.Hello("t", "p"), Channel.DATA, (), known=False)
    for request in (say.Ping(), say.Status(), say.Shutdown()):
        with pytest.raises(WireError) as caught:
            check_request(request, Channel.CONTROL, (), known=False)
        assert caught.value.code is Code.UNAUTHORISED


@pytest.mark.parametrize(
    ("message", "channel", "payloads", "words"),
    [
        (say.Cancel("s"), Channel.DATA, (), "control socket"),
        (say.Frame("s", 0, 1), Channel.CONTROL, ("plate",), "data socket"),
        (say.Frame("s", 0, 1), Channel.DATA, (), "payloads: plate, and guide or none; got none"),
        (say.Frame("s", 0, 1), Channel.DATA, ("guide", "plate"), "payloads: plate, and guide or none"),
        (say.Key("s", 0, 1), Channel.DATA, ("plate", "mask", "guide"), "payloads: plate, mask"),
        (say.Key("s", 0, 1), Channel.DATA, ("mask", "plate"), "payloads: plate, mask"),
        (say.Ping(), Channel.CONTROL, ("plate",), "payloads: none"),
        (say.Goodbye(), Channel.CONTROL, (), "no request"),
    ],
)
def test_a_message_in_the_wrong_phase_or_socket_is_refused(
    message: say.Message, channel: Channel, payloads: tuple[str, ...], words: str
) -> None:
    with pytest.raises(WireError, match=words):
        check_request(message, channel, payloads, known=True)


def test_phases() -> None:
    check_phase(say.Frame("s", 0, 1), ConversationPhase.FOLLOWING)
    with pytest.raises(WireError, match="Reopen"):
        check_phase(say.Frame("s", 0, 1), ConversationPhase.PARKED)
    with pytest.raises(WireError, match="cancelling"):
        check_phase(say.Key("s", 0, 1), ConversationPhase.CANCELLING)


def test_a_reply_must_fit_its_request() -> None:
    check_reply(say.Frame("s", 0, 1), say.Result("s", 0, 1), ("alpha",))
    check_reply(say.Frame("s", 0, 1), say.Fault("busy", "m", "a", True), ())
    with pytest.raises(WireError, match="pong"):
        check_reply(say.Frame("s", 0, 1), say.Pong("e", "idle", 0.0), ())
    with pytest.raises(WireError, match="payloads"):
        check_reply(say.Frame("s", 0, 1), say.Result("s", 0, 1), ())


CONNECTION = Connection("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "secret", "e", 1, "0.1")


def test_a_connection_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "run" / "engine.json"
    write_connection(path, CONNECTION)
    assert read_connection(path) == CONNECTION
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(WireError, match="others may read"):
        read_connection(path)


@pytest.mark.parametrize("text", ["", "{}", '{"data": 1, "colour": 2}', "[1]"])
def test_a_damaged_connection_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "engine.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(WireError, match=r"engine\.json"):
        read_connection(path)
    path.unlink()
    with pytest.raises(WireError, match="matanyone-engine serve"):
        read_connection(path)


@pytest.mark.parametrize("path", sorted(WIRE.glob("*.py")), ids=lambda p: p.name)
def test_the_folder_is_python_3_9_and_stands_alone(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 1 or str(node.module).split(".")[0] in sys.stdlib_module_names
        elif isinstance(node, ast.Import):
            assert all(name.name.split(".")[0] in sys.stdlib_module_names for name in node.names)


def test_a_copy_of_the_folder_works(tmp_path: Path) -> None:
    copy = tmp_path / "vendored_wire"
    copy.mkdir()
    for path in WIRE.glob("*.py"):
        (copy / path.name).write_text(path.read_text())
    code = "from vendored_wire import codec, messages; codec.decode(codec.encode(codec.Packet(1, messages.Ping())))"
    subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path[:0]=[{str(tmp_path)!r}]; {code}"], check=True)
