# SPDX-License-Identifier: Apache-2.0
"""The loop: three toy stages on all layouts, exact resume, several processes equal one."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy import TOY
from toy_training import toy_stage, untrained

from matanyone_engine.errors import BadResult, DatasetError, SettingError
from matanyone_engine.model import MatAnyone
from matanyone_engine.model.checkpoint import load_upstream_state, read_checkpoint
from matanyone_engine.training import loop
from matanyone_engine.training.data import Steps
from matanyone_engine.training.loop import RunOptions, Share, Trainer, TrainingStep, train
from matanyone_engine.training.recipe import MATANYONE_STAGES, MINI_STAGES, LossPass, MattingData, Rate, TrainingStage

ROOT = Path(__file__).resolve().parents[2]


def run(network: MatAnyone, stage: TrainingStage, data: Path, folder: Path, **options: object) -> list[TrainingStep]:
    return list(train(network, stage, data, RunOptions(folder, **options)))


def logged(folder: Path) -> list[dict[str, str]]:
    with (folder / loop.LOG).open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_three_stages_one_after_another(every_layout: Path, tmp_path: Path) -> None:
    """The whole recipe at toy size: each stage starts from the last one's weights, and the alpha error falls."""
    network, errors = untrained(), []
    for number, iterations in ((0, 64), (1, 12), (2, 8)):
        folder = tmp_path / str(number)
        stage = toy_stage(number, iterations=iterations, rate=3e-3)
        steps = run(network, stage, every_layout, folder, picture_every=4)
        errors.append([step.values["alpha_l1"] for step in steps])
        assert len(logged(folder)) == iterations
        assert (folder / "samples" / "000004.png").stat().st_size > 1000
        checkpoint = read_checkpoint(folder / loop.WEIGHTS)
        network = MatAnyone(checkpoint.dims)
        load_upstream_state(network, checkpoint.state)
    mean = [sum(part) / len(part) for part in (errors[0][:8], errors[0][-8:], errors[2])]
    assert mean[1] < mean[0], mean
    assert mean[2] < 0.6 * mean[0], mean
    passes = [
        {name.split("_")[0] for name in row if row[name]} for row in (logged(tmp_path / str(n))[0] for n in (0, 1))
    ]
    assert "core" not in passes[0]
    assert {"l1", "segmentation", "core", "boundary"} <= passes[1]


def test_a_resumed_run_has_the_very_losses_of_an_uninterrupted_one(every_layout: Path, tmp_path: Path) -> None:
    stage = toy_stage(1, iterations=5, average=0.9)
    run(untrained(), stage, every_layout, tmp_path / "whole")
    run(untrained(), stage, every_layout, tmp_path / "parts", stop_after=2)
    torch.manual_seed(99)  # another process begins with other random numbers
    run(MatAnyone(TOY), stage, every_layout, tmp_path / "parts")
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")
    whole, parts = (read_checkpoint(tmp_path / name / loop.WEIGHTS).state for name in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_a_killed_run_goes_on_from_its_last_checkpoint(every_layout: Path, tmp_path: Path) -> None:
    """Steps after the checkpoint are lost and done again, and the log does not count them twice."""
    stage = toy_stage(0, iterations=6)
    run(untrained(), stage, every_layout, tmp_path / "whole")
    steps = train(untrained(), stage, every_layout, RunOptions(tmp_path / "killed", checkpoint_every=2))
    for step in steps:
        if step.iteration == 4:
            break
    (tmp_path / "killed" / loop.CHECKPOINT).rename(tmp_path / "kept")
    steps.close()
    (tmp_path / "kept").rename(tmp_path / "killed" / loop.CHECKPOINT)  # as if the process had just vanished
    run(untrained(), stage, every_layout, tmp_path / "killed")
    assert logged(tmp_path / "killed") == logged(tmp_path / "whole")


@pytest.mark.parametrize(("minutes", "kept"), [(0.0, True), (60.0, False)])
def test_a_slow_run_writes_a_checkpoint_after_some_minutes(
    every_layout: Path, tmp_path: Path, minutes: float, kept: bool
) -> None:
    """250 iterations can take an hour."""
    steps = train(
        untrained(), toy_stage(0, iterations=6), every_layout, RunOptions(tmp_path, checkpoint_minutes=minutes)
    )
    next(steps)
    assert (tmp_path / loop.CHECKPOINT).exists() == kept
    steps.close()


def test_a_run_that_is_asked_to_stop_keeps_what_it_did(every_layout: Path, tmp_path: Path) -> None:
    stage, seen = toy_stage(0, iterations=6), []
    for step in train(untrained(), stage, every_layout, RunOptions(tmp_path), lambda: len(seen) == 2):
        seen.append(step.iteration)
    assert seen == [0, 1, 2]
    assert Trainer(untrained(), stage, Share(0, 1)).resume(tmp_path) == 3


def test_a_stopped_run_keeps_what_it_did(every_layout: Path, tmp_path: Path) -> None:
    stage = toy_stage(0, iterations=6)
    steps = train(untrained(), stage, every_layout, RunOptions(tmp_path))
    next(steps), next(steps)
    steps.close()
    assert Trainer(untrained(), stage, Share(0, 1)).resume(tmp_path) == 2


def test_two_processes_equal_one(every_layout: Path, tmp_path: Path) -> None:
    """Two CPU processes under torchrun, half of each step's clips each, end at the weights of one process."""
    run(untrained(), toy_stage(1, iterations=2), every_layout, tmp_path / "one")
    worker = [str(ROOT / "tests/toy_training.py"), str(every_layout), str(tmp_path / "two")]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *worker]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (torch.load(tmp_path / name / loop.CHECKPOINT, weights_only=True)["network"] for name in ("one", "two"))
    # AdamW's first steps turn rounding into steps of the rate where a gradient is all but 0; hence the mean.
    differences = torch.cat([(one[key] - two[key]).flatten().abs() for key in one if one[key].is_floating_point()])
    moved = torch.cat(
        [(one[key] - untrained().state_dict()[key]).flatten().abs() for key in one if one[key].is_floating_point()]
    )
    assert differences.mean() < 1e-3 * moved.mean()
    assert len(logged(tmp_path / "two")) == 2


def test_tensorboard_gets_every_value(every_layout: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(untrained(), toy_stage(0, iterations=2), every_layout, tmp_path)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert {"total", "alpha_l1", "l1", "segmentation", "rate"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("total")] == [0, 1]


def test_settings_of_another_stage_are_refused(every_layout: Path, tmp_path: Path) -> None:
    run(untrained(), toy_stage(0, iterations=1), every_layout, tmp_path)
    with pytest.raises(SettingError, match="folder of its own"):
        run(untrained(), toy_stage(1, iterations=1), every_layout, tmp_path)


def test_missing_data_is_said_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        run(untrained(), toy_stage(0), tmp_path, tmp_path / "run")


def test_a_loss_that_is_no_number_stops_the_run(every_layout: Path, tmp_path: Path) -> None:
    broken = untrained()
    with torch.no_grad():
        broken.mask_decoder.pred_mat.bias.fill_(float("nan"))
    with pytest.raises(BadResult, match="iteration 0"):
        run(broken, toy_stage(0), every_layout, tmp_path)


def test_the_learning_rate_follows_its_schedule() -> None:
    stage = replace(MINI_STAGES[0], iterations=100, rate_rise=10, schedule=Rate.COSINE, rate=1.0)
    rates = [loop.rate_at(stage, k) for k in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == pytest.approx(1.0)
    assert rates == [*sorted(rates[:10]), *sorted(rates[10:], reverse=True)]
    assert rates[-1] == pytest.approx(0.01)
    assert loop.rate_at(MATANYONE_STAGES[0], 79_999) == 1e-4


def test_object_queries_do_not_decay_and_the_trunk_has_its_own_rate() -> None:
    network = untrained()
    groups = loop.parameter_groups(network, MATANYONE_STAGES[0])
    queries = {id(p) for name, p in network.named_parameters() if "query_init" in name or "query_emb" in name}
    trunk = {id(p) for p in network.pixel_encoder.parameters()}
    seen = {id(p): group for group in groups for p in group["params"]}
    assert len(seen) == len(list(network.parameters()))
    # "summary_to_query_*" are ordinary layers.
    assert (
        {key for key, group in seen.items() if group["weight_decay"] == 0}
        == {id(p) for name, p in network.named_parameters() if ".query_init." in name or ".query_emb." in name}
        <= queries
    )
    assert {key for key, group in seen.items() if group["factor"] == 0.1} == trunk


def test_norms_are_frozen_or_learnt_as_the_stage_says(every_layout: Path, tmp_path: Path) -> None:
    for learns in (False, True):
        network = untrained()
        before = network.pixel_encoder.bn1.running_mean.clone()
        run(network, toy_stage(0, iterations=1, learns_norms=learns), every_layout, tmp_path / str(learns))
        assert torch.equal(before, network.pixel_encoder.bn1.running_mean) is not learns


@pytest.mark.parametrize(("number", "iteration", "stands"), [(0, 0, False), (2, 0, True)])
def test_the_change_head_gets_no_gradient_from_moved_stills(
    every_layout: Path, monkeypatch: pytest.MonkeyPatch, number: int, iteration: int, stands: bool
) -> None:
    stage = toy_stage(number, passes=(LossPass.MATTING,))
    trainer = Trainer(untrained(), stage, Share(0, 1))
    seen: list[float] = []

    def step() -> None:
        seen.append(sum(float(p.grad.abs().sum()) for p in trainer.network.temp_sparity.parameters()))

    monkeypatch.setattr(trainer.optimiser, "step", step)
    trainer.step(iteration, Steps(every_layout, stage)[iteration])
    assert (seen == [0.0]) is stands


def test_steps_that_overflow_are_skipped_and_end_the_run_if_too_many(
    every_layout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loop, "MOST_SKIPPED", 2)
    monkeypatch.setattr(loop.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(float("inf")))
    network = untrained()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(BadResult, match="3 steps in a row"):
        run(network, toy_stage(0, passes=(LossPass.MATTING,)), every_layout, tmp_path)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_passes_of_moved_stills_do_not_train_the_change_head() -> None:
    stage = toy_stage(2)
    assert loop.learns_from_stills(stage, LossPass.MATTING, 0)
    assert not loop.learns_from_stills(replace(stage, matting=MattingData.VIDEO), LossPass.MATTING, 0)
    assert [loop.learns_from_stills(stage, LossPass.SEGMENTATION, k) for k in (0, 1)] == [False, True]
    assert not loop.learns_from_stills(stage, LossPass.CORE, 1)  # as released: the core pass is never flagged
