# SPDX-License-Identifier: Apache-2.0
"""An engine that others can reach: only with keys, and a refusal is said to be one."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
import zmq.auth
from engines import RAW, SIZE, Engine, expected, mask, numbers, pixels, plate, running

from matanyone_engine.cli.main import main
from matanyone_engine.client.client import EngineClient
from matanyone_engine.client.launcher import find_engine
from matanyone_engine.client.transport import ClientKeys
from matanyone_engine.engine.server import Binding
from matanyone_engine.errors import SettingError
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.errors import Code, WireError


def keys_of(path: Path) -> ClientKeys:
    public, secret = zmq.auth.load_certificate(path)
    assert secret is not None
    return ClientKeys(public.decode(), secret.decode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keys = tmp_path_factory.mktemp("keys")
    assert main(["keys", "new", str(keys)]) == 0
    assert main(["keys", "add", str(keys), "nuke-07"]) == 0
    return keys


@pytest.fixture(scope="module")
def engine(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running(tmp_path_factory.mktemp("engine"), "--keys", str(folder)) as started:
        yield started


def test_secret_keys_are_for_their_owner_only(folder: Path) -> None:
    for path in folder.glob("*.key_secret"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert main(["keys", "new", str(folder)]) == 2
    assert main(["keys", "add", str(folder), "nuke-07"]) == 2
    assert main(["keys", "add", str(folder), "../x"]) == 2


@pytest.mark.parametrize(
    "endpoint", ["tcp://*:5555", "tcp://0.0.0.0:5555", "tcp://192.168.1.7:5555", "tcp://localhost:1"]
)
def test_an_open_port_without_keys_is_refused_with_the_option_to_set(endpoint: str) -> None:
    for binding in ({"data": endpoint}, {"control": endpoint}):
        with pytest.raises(SettingError, match="--keys"):
            Binding(**binding)
    Binding(endpoint, endpoint, curve=Path("keys"))
    Binding("tcp://127.0.0.1:5555", "tcp://[::1]:*")


@pytest.mark.parametrize("endpoint", ["ipc:///tmp/engine:1", "inproc://engine", "5555", "tcp://*"])
def test_only_network_addresses_are_accepted(endpoint: str) -> None:
    """The guards against attacks watch TCP connections, and Windows has no sockets with names."""
    with pytest.raises(SettingError, match="address of the network"):
        Binding(data=endpoint, curve=Path("keys"))


def test_a_listed_client_gets_its_alphas(engine: Engine, folder: Path) -> None:
    with engine.client(keys=keys_of(folder / "nuke-07.key_secret")) as client:
        shot = client.open_shot(SIZE, RAW)
        assert pixels(shot.matte(numbers(0, 3), plate, mask())) == {n: expected()[n] for n in numbers(0, 3)}
    secret = str(folder / "nuke-07.key_secret")
    assert main(["status", "--connection", str(engine.file), "--client-key", secret]) == 0
    assert main(["status", "--connection", str(engine.file)]) == 10


def refused(client: EngineClient, why: str) -> None:
    with pytest.raises(WireError, match=f"authentication failed: {why}") as caught:
        client.call(say.Status())
    assert caught.value.code is Code.UNAUTHORISED


def test_a_client_that_is_not_listed_gets_an_error_that_says_so(engine: Engine) -> None:
    public, secret = zmq.curve_keypair()
    with engine.client(keys=ClientKeys(public.decode(), secret.decode())) as client:
        refused(client, "the engine does not know this client's key")


def test_a_wrong_server_key_is_no_time_out(engine: Engine, folder: Path) -> None:
    wrong = zmq.curve_keypair()[0].decode()
    connection = dataclasses.replace(find_engine(engine.file), server_key=wrong)
    with EngineClient(lambda: connection, keys=keys_of(folder / "nuke-07.key_secret")) as client:
        refused(client, "the engine's key is not the one")


def test_a_plain_client_is_told_what_is_missing(engine: Engine) -> None:
    with pytest.raises(WireError, match="keys"):
        engine.client()
    plain = dataclasses.replace(find_engine(engine.file), server_key=None)
    with EngineClient(lambda: plain) as client:
        refused(client, "the engine takes encrypted connections only")


def test_a_client_that_is_listed_later_needs_no_restart_and_one_that_is_taken_off_stays_out(
    engine: Engine, folder: Path
) -> None:
    assert main(["keys", "add", str(folder), "late"]) == 0
    time.sleep(0.6)  # two ticks
    keys = keys_of(folder / "late.key_secret")
    with engine.client(keys=keys) as client:
        assert isinstance(client.call(say.Status()), say.StatusReport)
    (folder / "clients" / "late.key").unlink()
    time.sleep(0.6)
    with engine.client(keys=keys) as client:
        refused(client, "the engine does not know this client's key")


def test_a_client_whose_key_is_taken_off_is_cut_within_a_second(engine: Engine, folder: Path) -> None:
    assert main(["keys", "add", str(folder), "leaver"]) == 0
    time.sleep(0.6)
    with engine.client(keys=keys_of(folder / "leaver.key_secret")) as client:
        assert isinstance(client.call(say.Status()), say.StatusReport)
        (folder / "clients" / "leaver.key").unlink()
        time.sleep(1.0)
        refused(client, "the engine does not know this client's key")


def test_the_engine_is_stopped_with_a_clients_key_only(engine: Engine, folder: Path) -> None:
    secret = folder / "nuke-07.key_secret"
    for wrong in (folder / "none.key_secret", folder / "clients" / "nuke-07.key"):
        assert main(["status", "--connection", str(engine.file), "--client-key", str(wrong)]) == 2
    assert main(["stop", "--connection", str(engine.file), "--client-key", str(secret)]) == 0
    assert engine.process is not None
    assert engine.process.wait(10) == 0
