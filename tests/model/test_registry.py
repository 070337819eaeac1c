# SPDX-License-Identifier: Apache-2.0
"""From a name or a path to a network: search path, checks, licence."""

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path

import pytest
import torch

from matanyone_engine.errors import CheckpointError, DeviceError, LicenceRefused, WeightsNotFound
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.model import MINI, MatAnyone, load_upstream_state, read_checkpoint, save_checkpoint
from matanyone_engine.model.device import choose_device
from matanyone_engine.model.dims import LITE
from matanyone_engine.model.install import import_file
from matanyone_engine.model.licences import ALLOWED_VARIABLE
from matanyone_engine.model.matanyone import LITE_WARM_UP_PASSES, WARM_UP_PASSES
from matanyone_engine.model.registry import (
    FOLDERS_VARIABLE,
    MODELS,
    FoundWeights,
    Model,
    load_network,
    load_vetted,
    locate,
    user_weights_folder,
    vet,
)
from matanyone_engine.model.weights_file import Fingerprint, impostor_kind, receipt_path, refuse_impostor

MINI_FILE = locate("mini").path


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for variable in ("XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    for variable in (ALLOWED_VARIABLE, FOLDERS_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A small network's weights that are no registered file."""
    checkpoint = read_checkpoint(MINI_FILE)
    network = MatAnyone(checkpoint.dims)
    load_upstream_state(network, checkpoint.state)
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    save_checkpoint(network, path, {"note": "ours"})
    return path


@pytest.fixture
def studio(monkeypatch, weights) -> Model:
    """A registered, non-commercial model whose checksum is that of `weights`."""
    digest = hashlib.md5(weights.read_bytes(), usedforsecurity=False).hexdigest()
    model = Model(
        name="studio",
        title="Studio",
        licence="S-Lab-1.0",
        commercial=False,
        terms="Studio: for study only.",
        dims=LITE,
        size=weights.stat().st_size,
        published=Fingerprint(md5=digest),
        source="http://127.0.0.1:9/studio.safetensors",
    )
    monkeypatch.setitem(MODELS, "studio", model)
    return model


def put(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target


def test_mini_is_bundled_verified_and_loads():
    network, weights = load_vetted("mini", device="cpu")
    assert network.dims == LITE
    assert not network.training
    assert (weights.standing, weights.licence, weights.label) == ("verified", "Apache-2.0", "mini")


def test_warm_up_passes_depend_on_the_weights(weights):
    assert load_network("mini", "cpu").warm_up_passes == MODELS["mini"].warm_up_passes == 2
    assert MattingSession(load_network("mini", "cpu")).warm_up_passes == 2
    assert load_network(weights, "cpu").warm_up_passes == LITE_WARM_UP_PASSES
    published = weights.with_name("published.safetensors")
    save_checkpoint(MatAnyone(MINI), published)
    assert load_network(published, "cpu").warm_up_passes == WARM_UP_PASSES, "the published default"


def test_the_model_card_names_the_file_it_describes():
    card = MINI_FILE.with_suffix(".md").read_text(encoding="utf-8")
    published = MODELS["mini"].published
    assert str(published.sha256) in card
    assert f"{published.size:,}" in card


def test_the_registry_is_coherent():
    for name, model in MODELS.items():
        assert model.name == name
        assert (model.source is None) == (model.bundled is not None)
        assert model.commercial == (model.licence == "Apache-2.0")
        assert model.published.sha256 or model.published.md5


def test_a_missing_model_names_the_folders_and_the_command(home, monkeypatch):
    monkeypatch.setenv(FOLDERS_VARIABLE, os.pathsep.join([str(home / "one"), str(home / "two")]))
    with pytest.raises(WeightsNotFound) as error:
        locate("matanyone2")
    for folder in (home / "one", home / "two", user_weights_folder(), MINI_FILE.parent):
        assert str(folder) in error.value.came
    assert "matanyone-engine weights fetch matanyone2" in error.value.action


@pytest.mark.parametrize("wrong", ["mimi", "shots/none.safetensors"])
def test_an_unknown_name_or_path_is_not_found(wrong):
    with pytest.raises(WeightsNotFound, match="mini, matanyone, matanyone2"):
        load_network(wrong, device="cpu")


def test_the_search_path_goes_from_the_variable_to_the_user_to_the_package(home, monkeypatch, studio, weights):
    user = put(weights, user_weights_folder() / "studio.safetensors")
    assert locate("studio").path == user
    second = put(weights, home / "second" / "studio.pth")
    monkeypatch.setenv(FOLDERS_VARIABLE, os.pathsep.join([str(home / "first"), str(home / "second")]))
    assert locate("studio").path == second
    first = put(weights, home / "first" / "studio.safetensors")
    assert locate("studio").path == first


def test_own_weights_load_by_path_and_their_licence_is_stated_as_unknown(weights, caplog):
    network, vetted = load_vetted(weights, device="cpu")
    assert network.dims == LITE
    assert (vetted.standing, vetted.licence) == ("unregistered", "unknown")
    assert "licence is unknown" in caplog.text


def test_a_policy_refuses_unknown_licences_unless_it_lists_them(weights, monkeypatch):
    monkeypatch.setenv(ALLOWED_VARIABLE, "Apache-2.0")
    with pytest.raises(LicenceRefused, match="licence is unknown"):
        load_network(weights, device="cpu")
    monkeypatch.setenv(ALLOWED_VARIABLE, "Apache-2.0,unknown")
    load_network(weights, device="cpu")


def test_renaming_a_registered_file_does_not_change_its_licence(home, studio, weights, monkeypatch):
    renamed = put(weights, home / "free.safetensors")
    assert vet(locate(renamed)).licence == "S-Lab-1.0"
    monkeypatch.setenv(ALLOWED_VARIABLE, "Apache-2.0,unknown")
    with pytest.raises(LicenceRefused, match="studio"):
        load_network(renamed, device="cpu")


def test_metadata_and_names_can_only_make_a_licence_stricter(home, weights):
    checkpoint = read_checkpoint(weights)
    network = MatAnyone(checkpoint.dims)
    for claim in ("matanyone2", "mini"):
        save_checkpoint(network, home / f"{claim}-tuned.safetensors", {"model": claim})
    assert vet(locate(home / "matanyone2-tuned.safetensors")).licence == "S-Lab-1.0"
    assert vet(locate(home / "mini-tuned.safetensors")).licence == "unknown"
    assert vet(locate(put(weights, home / "matanyone.safetensors"))).licence == "S-Lab-1.0"
    assert vet(locate(put(weights, home / "mini.safetensors"))).licence == "unknown"


def test_terms_of_a_model_that_is_not_free_are_shown_at_first_use_only(studio, weights, caplog):
    put(weights, user_weights_folder() / "studio.safetensors")
    with caplog.at_level(logging.WARNING, logger="matanyone_engine"):
        load_network("studio", device="cpu")
        load_network("studio", device="cpu")
    assert [record.message for record in caplog.records] == ["Studio: for study only."]


def test_other_bytes_under_a_registered_name_are_refused_with_both_values(studio, weights):
    path = put(MINI_FILE, user_weights_folder() / "studio.safetensors")
    with pytest.raises(CheckpointError, match="unverified") as error:
        load_network("studio", device="cpu")
    assert str(studio.published.md5) in error.value.expected
    assert hashlib.sha256(path.read_bytes()).hexdigest() in error.value.came
    assert "--accept-unverified" in error.value.action


def test_accepted_bytes_load_by_name_until_they_change(home, studio, weights, monkeypatch):
    monkeypatch.setitem(MODELS, "studio", Model(**{**vars(studio), "published": Fingerprint(md5="0" * 32)}))
    model = MODELS["studio"]
    source = put(weights, home / "download.safetensors")
    with pytest.raises(CheckpointError, match="third parties"):
        import_file(source, model, accept_unverified=False)
    installed = import_file(source, model, accept_unverified=True)
    assert vet(locate("studio")).standing == "accepted"
    assert load_network("studio", device="cpu").dims == LITE
    # The receipt names the licence even where the file goes by another name, and counts for these bytes only.
    copy = put(installed, home / "copy.safetensors")
    shutil.copyfile(receipt_path(installed), receipt_path(copy))
    assert vet(locate(copy)).licence == "S-Lab-1.0"
    put(MINI_FILE, installed)
    assert vet(locate("studio")).standing == "unverified"


def test_a_receipt_cannot_turn_another_file_into_the_bundled_model(weights):
    path = put(weights, user_weights_folder() / "mini.safetensors")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    receipt_path(path).write_text(json.dumps({"model": "mini", "sha256": digest, "source": "me"}))
    with pytest.raises(CheckpointError, match="only the file of the package"):
        load_network("mini", device="cpu")


def test_import_refuses_the_weights_of_another_model(studio, weights):
    with pytest.raises(CheckpointError, match="mini by its checksum"):
        import_file(MINI_FILE, MODELS["matanyone"], accept_unverified=True)
    unregistered = weights.with_name("other.safetensors")
    save_checkpoint(MatAnyone(MINI), unregistered)
    with pytest.raises(CheckpointError, match="other dimensions"):
        import_file(unregistered, MODELS["matanyone"], accept_unverified=True)
    assert not user_weights_folder().exists()


IMPOSTORS = {
    "a web page": b"\n <!DOCTYPE html><html><body>Sign in</body></html>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 141000000\n",
    "an empty file": b"",
}


@pytest.mark.parametrize("kind", IMPOSTORS)
def test_an_impostor_is_named_before_anything_is_loaded(home, kind):
    path = home / "matanyone.pth"
    path.write_bytes(IMPOSTORS[kind])
    with pytest.raises(CheckpointError, match=kind):
        load_network(path, device="cpu")


def test_real_weights_are_no_impostor(weights):
    refuse_impostor(weights)
    assert impostor_kind(b"PK\x03\x04matanyone/data.pkl") is None


def test_a_fingerprint_without_checksum_matches_nothing():
    assert not Fingerprint(size=3).matches(Fingerprint("a", "b", 3))
    assert Fingerprint(md5="b").matches(Fingerprint("a", "b", 3))
    assert not Fingerprint(md5="b", size=4).matches(Fingerprint("a", "b", 3))


def test_found_by_name_keeps_the_model():
    assert locate("mini") == FoundWeights(MINI_FILE, MODELS["mini"])
    assert locate(MINI_FILE).model is None
    assert vet(locate(MINI_FILE)).model == MODELS["mini"]


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in {"cuda", "mps", "cpu"}
    for wrong in ("gpu", "cuda:", "cuda:-1", ""):
        with pytest.raises(DeviceError, match="auto, cpu, cuda, cuda:N, xpu, xpu:N or mps"):
            choose_device(wrong)
    with pytest.raises(DeviceError, match="cuda:99"):
        choose_device("cuda:99")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_missing_device_is_refused_before_the_weights_are_read():
    with pytest.raises(DeviceError, match="'cuda'"):
        load_network("mini", device="cuda")


def test_a_file_that_holds_no_weights_is_named_by_its_kind(tmp_path: Path) -> None:
    (tmp_path / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    for path, why in (
        (f"{tmp_path}/", "which is a folder"),
        ("/dev/null", "which is no ordinary file"),
        (f"{tmp_path}/gone.safetensors", "which is a link to a file that is not there"),
        (f"{tmp_path}/none.safetensors", "and there is no such file"),
        ("matanyon", "and there is no such model or file"),
        (5000 * "m", r"\.\.\. \(5000 characters\)', which cannot be opened \(File name too long\)"),
    ):
        with pytest.raises(WeightsNotFound, match=why):
            locate(path)
    with pytest.raises(CheckpointError, match="got the folder"):
        read_checkpoint(tmp_path)
