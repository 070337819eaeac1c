# SPDX-License-Identifier: Apache-2.0
"""The weights commands, run as the program runs them."""

import argparse
import hashlib
import io
import json
import re
import shutil
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from safetensors.numpy import save_file

from matanyone_engine.cli import weights
from matanyone_engine.errors import (
    CheckpointError,
    FetchError,
    Interrupted,
    LicenceRefused,
    SettingError,
    WeightsNotFound,
)
from matanyone_engine.jobs.track import check_tracker
from matanyone_engine.model import MINI, MatAnyone, save_checkpoint
from matanyone_engine.model.licences import ALLOWED_VARIABLE
from matanyone_engine.model.registry import FOLDERS_VARIABLE, MODELS, Model, user_weights_folder
from matanyone_engine.model.tracker_weights import TRACKER_WEIGHTS
from matanyone_engine.model.weights_file import Fingerprint


def run(*words):
    parser = argparse.ArgumentParser()
    weights.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["weights", *map(str, words)])
    args.run(args)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for variable in ("XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    for variable in (ALLOWED_VARIABLE, FOLDERS_VARIABLE, "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return tmp_path


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, *args):
        """A client that hangs up is part of these tests."""


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "download.safetensors"
    save_checkpoint(MatAnyone(MINI), path)
    return path


@pytest.fixture
def studio(file, monkeypatch):
    """A registered, non-commercial model that a server on this machine has."""
    server = QuietServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(file.parent)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    model = Model(
        name="studio",
        title="Studio",
        licence="S-Lab-1.0",
        commercial=False,
        terms="Studio: for study only.",
        dims=MINI,
        size=file.stat().st_size,
        published=Fingerprint(md5=hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()),
        source=f"http://127.0.0.1:{server.server_port}/{file.name}",
    )
    monkeypatch.setitem(MODELS, "studio", model)
    yield model
    server.shutdown()
    server.server_close()


def test_list_shows_every_model_its_licence_and_how_to_get_it(capsys):
    run("list")
    shown = capsys.readouterr().out
    for model in MODELS.values():
        assert model.name in shown
        assert model.licence in shown
    assert "bundled" in shown
    assert "matanyone-engine weights fetch matanyone2" in shown


def test_list_as_json_tells_what_the_policy_allows(capsys, monkeypatch):
    monkeypatch.setenv(ALLOWED_VARIABLE, "Apache-2.0")
    run("list", "--json")
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mini"]["allowed"]
    assert rows["mini"]["path"].endswith("mini.safetensors")
    assert not rows["matanyone"]["allowed"]
    assert rows["matanyone"]["path"] is None


def test_fetch_of_the_bundled_model_does_nothing(capsys):
    run("fetch", "mini")
    assert "nothing to fetch" in capsys.readouterr().out
    assert not user_weights_folder().exists()


def test_fetch_asks_for_agreement_before_it_opens_a_connection(studio, capsys):
    with pytest.raises(LicenceRefused, match="--accept-licence"):
        run("fetch", "studio")
    assert studio.terms in capsys.readouterr().out
    assert not user_weights_folder().exists()


def test_fetch_installs_and_a_second_fetch_finds_it(studio, file, capsys):
    run("fetch", "studio", "--accept-licence")
    assert (user_weights_folder() / "studio.safetensors").read_bytes() == file.read_bytes()
    run("fetch", "studio")
    assert "on this machine already" in capsys.readouterr().out


def test_ctrl_c_keeps_what_came_and_says_how_to_go_on(studio, file, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(weights.Progress, "update", stop)
    with pytest.raises(Interrupted, match="go on from there"):
        run("fetch", "studio", "--accept-licence")
    assert 0 < (user_weights_folder() / "studio.part.safetensors").stat().st_size <= file.stat().st_size


def test_a_policy_refuses_fetch_and_import_whatever_the_user_agrees_to(studio, file, monkeypatch):
    monkeypatch.setenv(ALLOWED_VARIABLE, "Apache-2.0")
    for words in (("fetch", "studio"), ("import", file)):
        with pytest.raises(LicenceRefused, match=ALLOWED_VARIABLE):
            run(*words, "--accept-licence")


def test_fetch_of_an_unknown_name_lists_the_known():
    with pytest.raises(SettingError, match="mini, matanyone, matanyone2"):
        run("fetch", "matanyone3")


def test_import_recognises_a_renamed_file_by_its_bytes(studio, file, capsys):
    run("import", file, "--accept-licence")
    assert studio.terms in capsys.readouterr().out
    assert (user_weights_folder() / "studio.safetensors").read_bytes() == file.read_bytes()


def test_import_needs_a_name_for_unknown_bytes(home, file):
    with pytest.raises(SettingError, match="--name"):
        run("import", file)


def test_import_of_unverified_bytes_shows_both_values_and_lets_the_user_decide(studio, home):
    other = home / "other.safetensors"
    save_checkpoint(MatAnyone(MINI), other)
    with pytest.raises(CheckpointError, match=f"{studio.published.md5}.*unverified"):
        run("import", other, "--name", "studio", "--accept-licence")
    run("import", other, "--name", "studio", "--accept-licence", "--accept-unverified")
    assert (user_weights_folder() / "studio.safetensors").read_bytes() == other.read_bytes()


def test_import_names_a_wrong_checkpoint(studio, home):
    wrong = home / "studio.safetensors"
    wrong.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(CheckpointError, match="other dimensions"):
        run("import", wrong, "--accept-licence", "--accept-unverified")
    assert not (user_weights_folder() / "studio.safetensors").exists()


@pytest.mark.parametrize("name", ["none.pth", "."])
def test_import_of_an_unreadable_file_is_a_clear_error(home, name):
    with pytest.raises(CheckpointError, match="readable weights file"):
        run("import", home / name)


def test_import_does_not_hide_one_kind_of_file_behind_another(studio, file, home):
    run("import", file, "--accept-licence")
    pth = shutil.copyfile(file, home / "studio.pth")
    with pytest.raises(SettingError, match="Remove"):
        run("import", pth, "--accept-licence")


def test_verify_reports_everything_that_is_here(studio, file, capsys):
    run("import", file, "--accept-licence")
    capsys.readouterr()
    run("verify", "--json")
    rows = json.loads(capsys.readouterr().out)
    assert [(row["model"], row["standing"], row["problem"]) for row in rows] == [
        ("mini", "verified", None),
        ("studio", "verified", None),
    ]
    run("verify", "studio")
    assert "verified" in capsys.readouterr().out


def test_verify_reports_first_and_then_fails(studio, file, home, capsys):
    target = user_weights_folder() / "studio.safetensors"
    target.parent.mkdir(parents=True)
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    target.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="unverified"):
        run("verify", "--json")
    rows = {row["model"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mini"]["problem"] is None
    assert studio.published.md5 in rows["studio"]["problem"]


def test_verify_of_a_cut_file_and_of_no_file(home, file):
    cut = home / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors"):
        run("verify", cut)
    with pytest.raises(WeightsNotFound):
        run("verify", "matanyone")


# trackers -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tracker(tmp_path, monkeypatch):
    """What a server on this machine publishes as SAM 2: no network, but files of the right kind."""
    files = tmp_path / "published" / "resolve" / "main"
    files.mkdir(parents=True)
    (files / "config.json").write_text('{"model_type": "sam2_video"}')
    (files / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    save_file({"a": np.arange(6.0)}, files / "model.safetensors")
    server = QuietServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    page = f"http://127.0.0.1:{server.server_port}/published"
    monkeypatch.setitem(TRACKER_WEIGHTS, "sam2", replace(TRACKER_WEIGHTS["sam2"], page=page, size=500))
    yield files
    server.shutdown()
    server.server_close()


def test_weights_of_a_tracker_are_fetched_after_a_look_at_their_checksum_and_found_by_track(tracker, capsys):
    with pytest.raises(LicenceRefused, match="--accept-licence"):
        run("fetch", "sam2")
    assert "it knows no checksum of them" in capsys.readouterr().out
    assert not user_weights_folder().exists()
    sha256 = hashlib.sha256((tracker / "model.safetensors").read_bytes()).hexdigest()
    with pytest.raises(CheckpointError, match=f"the engine knows none.*{sha256}.*--accept-unverified"):
        run("fetch", "sam2", "--accept-licence")
    with pytest.raises(WeightsNotFound, match="weights fetch sam2"):
        check_tracker("sam2", None)
    run("fetch", "sam2", "--accept-licence", "--accept-unverified")
    assert "says of the licence: apache-2.0" in capsys.readouterr().out
    folder = check_tracker("sam2", None)
    assert folder == user_weights_folder() / "sam2"
    assert sorted(file.name for file in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "model.safetensors.receipt.json",
    ]
    assert (folder / "model.safetensors").read_bytes() == (tracker / "model.safetensors").read_bytes()
    run("fetch", "sam2")
    assert "on this machine already" in capsys.readouterr().out
    run("list", "--json")
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["sam2"]["kind"], rows["sam2"]["path"], rows["edgetam"]["path"]) == ("tracker", str(folder), None)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", b'{"model_type": "bert"}', "sam2_video.*bert"),
        ("config.json", b"<!doctype html>", "web page"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1", "LFS"),
        ("model.safetensors", b"cut" * 9, "a whole safetensors file"),
    ],
)
def test_a_file_that_is_no_tracker_is_refused_even_if_the_user_accepts_it(tracker, name, content, words):
    (tracker / name).write_bytes(content)
    with pytest.raises((CheckpointError, FetchError), match=words):
        run("fetch", "sam2", "--accept-licence", "--accept-unverified")
    with pytest.raises(WeightsNotFound):
        check_tracker("sam2", None)


def test_without_a_network_the_manual_download_is_explained_and_works(tracker, monkeypatch):
    gone = replace(TRACKER_WEIGHTS["sam2"], page="http://127.0.0.1:9/published")
    monkeypatch.setitem(TRACKER_WEIGHTS, "sam2", gone)
    told = "without a network: get config.json, README.md and model.safetensors from http://127.0.0.1:9/published"
    with pytest.raises(FetchError, match=f"{re.escape(told)}.*put them into {re.escape(str(gone.folder))}") as error:
        run("fetch", "sam2", "--accept-licence")
    assert "weights import" not in str(error.value)
    shutil.copytree(tracker, gone.folder, dirs_exist_ok=True)
    assert check_tracker("sam2", None) == gone.folder


def test_a_policy_holds_for_trackers_that_are_found(tracker, monkeypatch):
    monkeypatch.setenv(ALLOWED_VARIABLE, "MIT")
    for ask in (lambda: run("fetch", "sam2", "--accept-licence"), lambda: check_tracker("sam2", None)):
        with pytest.raises(LicenceRefused, match=ALLOWED_VARIABLE):
            ask()
    assert check_tracker("sam2", tracker) == tracker
