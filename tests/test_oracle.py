# SPDX-License-Identifier: Apache-2.0
"""Compares our alphas with the recorded ones of the reference, where ../shared holds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
from torch import Tensor, nn

from matanyone_engine import MattingSession
from matanyone_engine.model import MatAnyone

PARITY = Path(__file__).resolve().parents[2] / "shared" / "parity"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not PARITY.is_dir(), reason="../shared/parity is not here"),
]


@pytest.fixture(scope="module")
def kit() -> oracle.Kit:
    return oracle.Kit(PARITY)


@pytest.mark.parametrize(
    "name", ["A_tiny", "B_odd_size", "C_fifo", "D_long_term", "E_internal_size", "F_all_foreground_queries"]
)
def test_recorded_cases_are_met(kit: oracle.Kit, name: str) -> None:
    result = oracle.compare(PARITY / "public" / f"{name}.npz", kit)
    assert result.passed, result


def test_keys_stand_in_the_manifest_order(kit: oracle.Kit) -> None:
    assert [entry["key"] for entry in kit.entries["entries"]] == list(MatAnyone().state_dict())


# Stage in the record -> module whose output it is.
STAGES = {
    "pix_feat": "pix_feat_proj",
    "key": "key_proj.key_proj",
    "selection": "key_proj.e_proj",
    "mask_value": "mask_encoder",
    "object_summary_of_frame": "object_summarizer",
    "pixel_readout": "pixel_fuser",
    "query_logits_0": "object_transformer.mask_pred.0",
    "query_logits_1": "object_transformer.mask_pred.1",
    "query_logits_2": "object_transformer.mask_pred.2",
    "sensory_after_decoder": "mask_decoder.sensory_update",
    "uncertainty": "temp_sparity",
}
SIGMOID = {"selection", "uncertainty"}


def watch(network: nn.Module, seen: dict[str, Tensor]) -> None:
    for stage, module in STAGES.items():
        network.get_submodule(module).register_forward_hook(
            lambda _module, _inputs, output, stage=stage: seen.__setitem__(
                stage, torch.sigmoid(output) if stage in SIGMOID else output
            )
        )


@pytest.mark.parametrize(("operation", "record"), [(5, "op05_step"), (9, "op09_step_memory"), (10, "op10_step")])
def test_intermediate_stages_are_met(kit: oracle.Kit, operation: int, record: str) -> None:
    with (
        np.load(PARITY / "public" / "A_tiny.npz") as case,
        np.load(PARITY / "public" / f"A_tiny_stages_{record}.npz") as stages,
    ):
        session, seen = replayed_to(kit, case, operation)
        compared = [name for name in STAGES if name in stages and name in seen]
        for name in compared:
            recorded = torch.from_numpy(stages[name]).flatten()
            worst = float((seen[name].flatten() - recorded).abs().max())
            assert worst < 2e-4 * max(1.0, float(recorded.abs().max()) / 20), name
    assert len(compared) >= 7
    assert session.cursor.frame == operation - 4


def replayed_to(
    kit: oracle.Kit, case: np.lib.npyio.NpzFile, operation: int
) -> tuple[MattingSession, dict[str, Tensor]]:
    """Return a session after that operation, and the stages of it."""
    params, ops = (oracle.json.loads(str(case[name])) for name in ("params", "ops"))
    network, seen = kit.network({}), {}
    frames = oracle.limited(case["rgb"], None)
    replay = oracle.Replay(network, oracle.memory_policy(params))
    for number, op in enumerate(ops[: operation + 1]):
        if number == operation:
            watch(network, seen)
        replay.operate(op, frames[op["frame"]], case["masks_in"])
    return replay.session, seen
