# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from toy import TOY, toy_network

from matanyone_engine.errors import CheckpointError
from matanyone_engine.model import (
    MatAnyone,
    build_network,
    load_upstream_state,
    network_digest,
    read_checkpoint,
    save_checkpoint,
)


def test_a_saved_network_comes_back_with_its_dims(tmp_path: Path) -> None:
    path = tmp_path / "toy.safetensors"
    save_checkpoint(toy_network(), path, {"note": "toy"})
    checkpoint = read_checkpoint(path)
    assert (checkpoint.dims, checkpoint.metadata["note"]) == (TOY, "toy")
    read = build_network(checkpoint)
    save_checkpoint(read, tmp_path / "again.safetensors")
    again = build_network(read_checkpoint(tmp_path / "again.safetensors"))
    assert network_digest(again) == network_digest(read)
    assert not list(tmp_path.glob("*.tmp"))


def test_missing_and_unknown_keys_are_named_and_nothing_is_loaded() -> None:
    network, state = toy_network(0), toy_network(1).state_dict()
    before = network_digest(network)
    state["nonsense.weight"] = state.pop("pix_feat_proj.bias")
    with pytest.raises(CheckpointError, match=r"1 missing: pix_feat_proj\.bias; 1 unknown: nonsense\.weight"):
        load_upstream_state(network, state)
    assert network_digest(network) == before


def test_another_shape_is_named() -> None:
    state = toy_network().state_dict()
    state["key_proj.d_proj.bias"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match=r"key_proj\.d_proj\.bias \(3,\) instead of \(1,\)"):
        load_upstream_state(MatAnyone(TOY), state)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_named(number: float) -> None:
    """As a training run that diverged leaves them: some would only ever be compared, and never be seen in an alpha."""
    state = toy_network().state_dict()
    state["object_transformer.mask_pred.0.1.weight"][0, 0] = number
    with pytest.raises(CheckpointError, match=r"1 with numbers that are not finite: .*mask_pred\.0\.1"):
        load_upstream_state(MatAnyone(TOY), state)


def test_pth_files_load_plain_and_wrapped(tmp_path: Path) -> None:
    state = toy_network(3).state_dict()
    torch.save(state, tmp_path / "plain.pth")
    torch.save({"it": 5, "weights": state, "optimizer": {}}, tmp_path / "training.pth")
    for name in ("plain.pth", "training.pth"):
        network = MatAnyone(TOY)
        load_upstream_state(network, read_checkpoint(tmp_path / name).state)
        assert network_digest(network) == network_digest(toy_network(3))


def test_multi_object_weights_lose_their_extra_channel() -> None:
    state = dict(toy_network().state_dict())
    for key in ("mask_encoder.conv1.weight", "pixel_fuser.sensory_compress.weight"):
        state[key] = torch.cat([state[key], torch.full_like(state[key][:, :1], 9.0)], dim=1)
    network = MatAnyone(TOY)
    load_upstream_state(network, state)
    assert network_digest(network) == network_digest(toy_network())


class Payload:
    """What an attacker would put into a pickle."""

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return (Path, ("owned",))


@pytest.mark.parametrize("kind", ["missing", "text", "reply", "truncated", "pickle", "stranger", "list"])
def test_files_that_are_no_weights_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("x.safetensors" if kind in {"text", "truncated"} else "x.pth")
    if kind == "text":
        path.write_text("hello")
    elif kind == "reply":
        path.write_text("error: not found")
    elif kind == "truncated":
        save_checkpoint(toy_network(), path)
        path.write_bytes(path.read_bytes()[:-100])
    elif kind != "missing":
        torch.save({"pickle": {"a": Payload()}, "stranger": {"a": 3}, "list": [torch.zeros(1)]}[kind], path)
    with pytest.raises(CheckpointError, match=str(path)):
        read_checkpoint(path)


def test_safetensors_without_dims_are_taken_for_the_published_network(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(CheckpointError, match="562 keys"):
        build_network(read_checkpoint(tmp_path / "bare.safetensors"))
