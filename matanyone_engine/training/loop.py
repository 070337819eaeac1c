# SPDX-License-Identifier: Apache-2.0
"""Runs a stage from its first iteration to its last: optimiser, schedule, average, checkpoints, logs.

Rules of this file:
1. A run is a folder. It holds checkpoint.pt, log.csv, pictures, and, when the run is done, weights.safetensors.
2. A run that was killed continues from its last checkpoint with the losses of an uninterrupted run: random numbers
   depend on the iteration alone (data.py), and the checkpoint holds the whole state.
3. A run has one process, or several under torchrun, with the same clips, and with the same steps if batch norm is
   frozen. If batch norm learns, each process normalises its own clips, and the stored statistics are averaged.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import BadResult, SettingError
from matanyone_engine.model.checkpoint import save_checkpoint
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.training.data import RandomStream, Steps, seeded
from matanyone_engine.training.passes import PASSES, Batch, Prediction, Terms
from matanyone_engine.training.pictures import sample_sheet, write_picture
from matanyone_engine.training.recipe import LossPass, MattingData, Rate, TrainingStage, labels_are_video

CHECKPOINT, LOG, WEIGHTS = "checkpoint.pt", "log.csv", "weights.safetensors"
MOST_SKIPPED = 20
"""The most successive steps that are skipped because their gradients overflow."""
FIRST_COLUMNS = ("iteration", "seconds", "rate", "norm", "total", "alpha_l1")


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Holds settings of a run that do not change what is learnt."""

    folder: Path
    device: torch.device | str = "cpu"
    workers: int = 0
    """Number of processes that prepare clips for the steps to come."""
    checkpoint_every: int = 250
    """Number of iterations between checkpoints."""
    checkpoint_minutes: float = 10.0
    """The longest time without a checkpoint, since 250 iterations can take an hour on a slow machine."""
    picture_every: int = 500
    stop_after: int | None = None
    """Number of iterations after which the run stops, to be continued later; None runs to the end."""


class TrainingStep(NamedTuple):
    """Holds the results of one iteration."""

    iteration: int
    iterations: int
    seconds: float
    values: dict[str, float]


class Share(NamedTuple):
    """Names this process among those that train together."""

    rank: int
    processes: int
    local: int = 0
    """The process's number on this machine, which is the number of its GPU."""


def share_of_processes() -> Share:
    """Return this process's share, from torchrun's environment variables."""
    rank, processes, local = (int(os.environ.get(n, d)) for n, d in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    return Share(rank, processes, local)


@contextmanager
def joined(share: Share, device: torch.device) -> Iterator[None]:
    """Open torch's group of the processes that train together, and close it at the end; a single process needs none."""
    if share.processes == 1 or dist.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def anyone_asks(share: Share, device: torch.device, *, asked: bool) -> bool:
    """Return whether any process was asked to stop. All must stop at the same step, or they would wait for one
    another.
    """
    if share.processes == 1:
        return asked
    count = torch.tensor(float(asked), device=device)
    dist.all_reduce(count)
    return bool(count > 0)


def train(
    network: MatAnyone,
    stage: TrainingStage,
    data: Path,
    options: RunOptions,
    stopping: Callable[[], bool] = lambda: False,
) -> Generator[TrainingStep, None, None]:
    """Run a stage, and yield a TrainingStep after every iteration. If the run's folder has a checkpoint, continue
    there.

    stopping: called after each step. When it returns True, a checkpoint is written and the run ends; the same happens
    when the iterator is closed. If the process is killed, the last checkpoint remains.
    Raises DatasetError before the first step; BadResult for losses or gradients that are NaN or Inf.
    """
    share, device = share_of_processes(), torch.device(options.device)
    with joined(share, device):
        yield from _train(network, stage, data, options, share, stopping)


def _train(
    network: MatAnyone,
    stage: TrainingStage,
    data: Path,
    options: RunOptions,
    share: Share,
    stopping: Callable[[], bool],
) -> Generator[TrainingStep, None, None]:
    steps = Steps(data, stage, share.rank, share.processes)
    trainer = Trainer(network.to(options.device), stage, share)
    first = trainer.resume(options.folder)
    last = stage.iterations if options.stop_after is None else min(stage.iterations, first + options.stop_after)
    batches = DataLoader(
        steps, batch_size=None, sampler=range(first, last), num_workers=options.workers, worker_init_fn=_leave_signals
    )
    with Log(options.folder, first) if share.rank == 0 else nullcontext() as log:
        begun = time.monotonic()
        for iteration, batch in zip(range(first, last), batches, strict=True):
            values, answers = trainer.step(iteration, batch)
            step = TrainingStep(iteration, stage.iterations, time.monotonic() - begun, values)
            begun = time.monotonic()
            if log is not None:
                _keep(trainer, log, step, batch[LossPass.MATTING], answers, options, last)
            stop = anyone_asks(share, network.device, asked=stopping())
            try:
                yield step
            except GeneratorExit:
                stop = True
                raise
            finally:
                if stop and log is not None:
                    trainer.save(options.folder, iteration + 1)
            if stop:
                return
    if share.rank == 0 and last == stage.iterations:
        save_checkpoint(trainer.result(), options.folder / WEIGHTS, {"stage": stage.name})


def _leave_signals(_worker: int) -> None:
    """Let a worker ignore Ctrl-C, which the main process handles, and end at SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _keep(
    trainer: Trainer,
    log: Log,
    step: TrainingStep,
    batch: Batch,
    answers: list[Prediction],
    options: RunOptions,
    last: int,
) -> None:
    """Write log, pictures and checkpoint after an iteration, each at its interval."""
    log.write(step)
    done = step.iteration + 1
    if done % options.picture_every == 0:
        log.picture(done, sample_sheet(batch, answers))
    overdue = time.monotonic() - trainer.saved_at >= 60 * options.checkpoint_minutes
    if overdue or done % options.checkpoint_every == 0 or done == last:
        trainer.save(options.folder, done)


class Passes(nn.Module):
    """Wraps the passes as one module, so that DDP sees a forward()."""

    def __init__(self, network: MatAnyone, stage: TrainingStage) -> None:
        super().__init__()
        self.network, self.stage = network, stage

    def forward(self, kind: LossPass, batch: Batch, iteration: int) -> tuple[Terms, list[Prediction]]:
        """Run one pass; every process draws the same random choices."""
        rng = seeded(self.stage.seed, RandomStream[kind.name], iteration)
        return PASSES[kind](self.network, batch, self.stage, iteration, rng)


class Trainer:
    """Holds a network with its optimiser and its average."""

    def __init__(self, network: MatAnyone, stage: TrainingStage, share: Share) -> None:
        self.network, self.stage, self.share = network, stage, share
        self.skipped = 0
        self.saved_at = time.monotonic()
        """When the last checkpoint was written, or the run began."""
        network.train().requires_grad_(requires_grad=True)
        if network.refiner is not None:
            network.refiner.requires_grad_(requires_grad=False)  # it learns by itself (refiner_training.py)
        if not stage.trunk_rate:
            for parameter in trunk_parameters(network).values():
                parameter.requires_grad_(False)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth faster on CPUs
        if not stage.learns_norms:
            freeze_norms(network)
        passes: nn.Module = Passes(network, stage)
        # Heads take turns, so some weights have no gradient in some passes.
        self.passes = DistributedDataParallel(passes, find_unused_parameters=True) if share.processes > 1 else passes
        self.optimiser = torch.optim.AdamW(parameter_groups(network, stage), lr=stage.rate, eps=1e-8)
        average = get_ema_multi_avg_fn(stage.average)
        self.average = AveragedModel(network, multi_avg_fn=average, use_buffers=True) if stage.average else None

    def step(self, iteration: int, batches: dict[LossPass, Batch]) -> tuple[dict[str, float], list[Prediction]]:
        """Run all passes of one iteration, an optimiser step each; return their terms, and the predictions of the
        matting pass.
        """
        values = {"rate": rate_at(self.stage, iteration)}
        for kind in self.stage.passes:
            batch = batches[kind].to(self.network.device)
            terms, answers = self.passes(kind, batch, iteration)
            total = torch.stack(list(terms.values())).sum()
            norm = self._descend(iteration, total, kind)
            values |= {name: float(term.detach()) for name, term in terms.items()}
            if kind is LossPass.MATTING:
                seen = answers
                values |= {"norm": norm, "total": float(total.detach()), "alpha_l1": _alpha_l1(answers, batch)}
            else:
                values[f"{kind.value}_norm"] = norm
        if self.stage.learns_norms and self.share.processes > 1:
            self._agree_on_statistics()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return values, seen

    def _agree_on_statistics(self) -> None:
        """Average the statistics of the batch norms over all processes. DDP would keep those of the first process."""
        for name, buffer in self.network.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                dist.all_reduce(buffer)
                buffer.div_(self.share.processes)

    def _descend(self, iteration: int, total: Tensor, kind: LossPass) -> float:
        if not torch.isfinite(total):
            raise BadResult(
                expected="a loss that is a finite number",
                came=f"{float(total.detach())} in the {kind.value} pass of iteration {iteration}",
                action="Go on from the last checkpoint with a lower rate, or look for broken frames in the data.",
            )
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        if learns_from_stills(self.stage, kind, iteration):
            for parameter in self.network.temp_sparity.parameters():
                parameter.grad = None if parameter.grad is None else torch.zeros_like(parameter.grad)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.stage.clip_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.stage, iteration) * group["factor"]
        self.skipped = 0 if torch.isfinite(norm) else self.skipped + 1
        if self.skipped > MOST_SKIPPED:
            raise BadResult(
                expected="gradients that are finite numbers",
                came=f"{self.skipped} steps in a row whose gradients overflowed, up to iteration {iteration}",
                action="Go back to an earlier checkpoint and lower the rate.",
            )
        if not self.skipped:  # a step that overflowed is skipped in every process
            self.optimiser.step()
        return float(norm)

    def result(self) -> MatAnyone:
        """Return the network to keep: the average where there is one."""
        if self.average is None:
            return self.network
        return self.average.module  # type: ignore[return-value]

    def save(self, folder: Path, iteration: int) -> None:
        """Save the whole state of the run, atomically."""
        state = {
            "stage": dataclasses.asdict(self.stage),
            "dims": self.network.dims.to_json(),
            "iteration": iteration,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }
        with whole_file(folder / CHECKPOINT) as temporary:
            torch.save(plain(state), temporary)
        self.saved_at = time.monotonic()

    def resume(self, folder: Path) -> int:
        """Load the folder's checkpoint, and return the iteration to continue with; 0 if there is no checkpoint.

        Raises SettingError for a checkpoint of other settings or dims.
        """
        path = folder / CHECKPOINT
        if not path.is_file():
            return 0
        state = torch.load(path, map_location=self.network.device, weights_only=True)
        if (state["stage"], state["dims"]) != (plain(dataclasses.asdict(self.stage)), self.network.dims.to_json()):
            raise SettingError(
                expected=f"a run of stage {state['stage']['name']} with its own settings and dims in {folder}",
                came=f"stage {self.stage.name}, or other settings or dims",
                action="Give this run a folder of its own.",
            )
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        return int(state["iteration"])


def begun_stage(folder: Path) -> dict[str, Any] | None:
    """Return the fields of the stage whose run was begun in a folder; None if there is no checkpoint."""
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return dict(state["stage"])


def plain(value: Any) -> Any:
    """Convert tuples to lists and enums to their values, as they are when torch's safe reader has read them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value.value if isinstance(value, (LossPass, Rate, MattingData)) else value


def freeze_norms(network: MatAnyone) -> None:
    """Keep batch norm of encoders and change head at its stored statistics."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def parameter_groups(network: MatAnyone, stage: TrainingStage) -> list[dict[str, Any]]:
    """Group parameters: the object queries do not decay, and the image trunk has a rate of its own."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    trunk = trunk_parameters(network)
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = 0.0 if ".query_init." in name or ".query_emb." in name else stage.weight_decay
        factor = stage.trunk_rate if name in trunk else 1.0
        groups.setdefault((decay, factor), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "factor": factor}
        for (decay, factor), parameters in groups.items()
    ]


def trunk_parameters(network: MatAnyone) -> dict[str, nn.Parameter]:
    """Return the parameters of the image trunk by name, without the projections after a Lite trunk."""
    prefix = "pixel_encoder.trunk." if network.dims.trunk == "lite0" else "pixel_encoder."
    return {name: each for name, each in network.named_parameters() if name.startswith(prefix)}


def rate_at(stage: TrainingStage, iteration: int) -> float:
    """Return the learning rate of an iteration."""
    if iteration < stage.rate_rise:
        return stage.rate * (iteration + 1) / stage.rate_rise
    if stage.schedule is Rate.CONSTANT:
        return stage.rate
    done = (iteration - stage.rate_rise) / max(1, stage.iterations - stage.rate_rise)
    return stage.rate * max(0.01, 0.5 + 0.5 * math.cos(math.pi * done))


def learns_from_stills(stage: TrainingStage, kind: LossPass, iteration: int) -> bool:
    """Return whether a pass learns from moved stills, from which the change head must not learn."""
    if kind is LossPass.MATTING:
        return stage.matting is MattingData.STILLS
    return kind is LossPass.SEGMENTATION and not labels_are_video(iteration)


def _alpha_l1(answers: list[Prediction], batch: Batch) -> float:
    """Return the mean absolute error of the clamped alphas after the first frame."""
    alphas = torch.stack([answer.alpha.remembered.detach() for answer in answers[1:]], dim=1)
    return float((alphas - batch.alphas[:, 1:]).abs().mean())


class Writer(Protocol):
    """Describes the part of TensorBoard's writer that is used."""

    def add_scalar(self, tag: str, value: float, step: int) -> None: ...
    def close(self) -> None: ...


class Log:
    """Writes log.csv, TensorBoard's event file where that package is there, and sample pictures."""

    def __init__(self, folder: Path, first: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.path = folder / LOG
        self._cut(first)
        self.board: Writer | None = _tensorboard(folder, first)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        if self.board is not None:
            self.board.close()

    def _cut(self, first: int) -> None:
        """Remove the lines of iterations that will be repeated, and an unfinished last line."""
        if not first:
            self.path.unlink(missing_ok=True)
        if not self.path.is_file():
            return
        header, *lines = self.path.read_text().splitlines()
        kept = lines[:first]
        with whole_file(self.path) as temporary:
            temporary.write_text("\n".join([header, *kept]) + "\n")

    def write(self, step: TrainingStep) -> None:
        """Write one line."""
        values = {"iteration": step.iteration, "seconds": round(step.seconds, 3), **step.values}
        others = sorted(set(values) - set(FIRST_COLUMNS) - _SOMETIMES) + sorted(_SOMETIMES)
        fresh = not self.path.is_file()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, [*FIRST_COLUMNS, *others], restval="")
            if fresh:
                writer.writeheader()
            writer.writerow(values)
        if self.board is not None:
            for name, value in step.values.items():
                self.board.add_scalar(name, value, step.iteration)

    def picture(self, iteration: int, sheet: NDArray[np.uint8]) -> None:
        """Write samples/<iteration>.png."""
        write_picture(self.folder / "samples" / f"{iteration:06d}.png", sheet)


_SOMETIMES = {"segmentation_change", "core_change"}
"""Terms of video batches only, which come every other iteration."""


def _tensorboard(folder: Path, first: int) -> Writer | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    writer: Writer = SummaryWriter(str(folder), purge_step=first)
    return writer
