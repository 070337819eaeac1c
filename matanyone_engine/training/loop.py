# SPDX-License-Identifier: Apache-2.0
"""A stage from its first iteration to its last: optimiser, schedule, average, checkpoints, logs.

Rules of this file:
1. A run is a folder: checkpoint.pt to go on from, log.csv, pictures, and weights.safetensors when it is done.
2. Killed at any moment, a run goes on from its last checkpoint with the same losses an uninterrupted one has: all that
   is random is a function of the iteration (data.py), all that is carried is in the checkpoint.
3. One process or several under torchrun: the same clips, the same steps.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import time
from collections.abc import Callable, Generator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import BadResult, SettingError
from matanyone_engine.model.checkpoint import save_checkpoint
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.training.data import Steps, seeded
from matanyone_engine.training.passes import PASSES, Answer, Batch, Terms
from matanyone_engine.training.pictures import sample_sheet
from matanyone_engine.training.recipe import MattingData, Pass, Rate, Stage

CHECKPOINT, LOG, WEIGHTS = "checkpoint.pt", "log.csv", "weights.safetensors"
FIRST_COLUMNS = ("iteration", "seconds", "rate", "norm", "total", "alpha_l1")


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; nothing here changes what is learnt."""

    folder: Path
    device: torch.device | str = "cpu"
    workers: int = 0
    """Processes that prepare clips ahead of the step."""
    checkpoint_every: int = 250
    picture_every: int = 500
    stop_after: int | None = None
    """Iterations to do in this sitting."""


class Step(NamedTuple):
    """What one iteration came to."""

    iteration: int
    iterations: int
    seconds: float
    values: dict[str, float]


class Share(NamedTuple):
    """This process among those that train together."""

    rank: int
    processes: int
    local: int = 0
    """Number on this machine: which GPU is its own."""


def share_of_processes() -> Share:
    """This process's place as torchrun says; joins the group on the first call."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Share(int(os.environ.get("RANK", "0")), processes, int(os.environ.get("LOCAL_RANK", "0")))


def train(network: MatAnyone, stage: Stage, data: Path, options: RunOptions) -> Generator[Step, None, None]:
    """Run a stage, from its checkpoint in the run's folder where there is one; a Step after every iteration.

    Closing the iterator leaves a checkpoint; anything worse leaves the last one to go on from.
    Raises DatasetError before the first step, BadResult where a loss is no number.
    """
    share = share_of_processes()
    steps = Steps(data, stage, share.rank, share.processes)
    trainer = Trainer(network.to(options.device), stage, share)
    first = trainer.resume(options.folder)
    last = stage.iterations if options.stop_after is None else min(stage.iterations, first + options.stop_after)
    batches = DataLoader(steps, batch_size=None, sampler=range(first, last), num_workers=options.workers)
    with Log(options.folder, first) if share.rank == 0 else nullcontext() as log:
        for iteration, batch in zip(range(first, last), batches, strict=True):
            started = time.monotonic()
            values, answers = trainer.step(iteration, batch)
            step = Step(iteration, stage.iterations, time.monotonic() - started, values)
            if log is not None:
                _keep(trainer, log, step, batch[Pass.MATTING], answers, options, last)
            try:
                yield step
            except GeneratorExit:  # asked to stop: what was done is kept
                if log is not None:
                    trainer.save(options.folder, iteration + 1)
                raise
    if share.rank == 0 and last == stage.iterations:
        save_checkpoint(trainer.result(), options.folder / WEIGHTS, {"stage": stage.name})


def _keep(
    trainer: Trainer, log: Log, step: Step, batch: Batch, answers: list[Answer], options: RunOptions, last: int
) -> None:
    """What is left on disk after an iteration."""
    log.write(step)
    done = step.iteration + 1
    if done % options.picture_every == 0:
        log.picture(done, sample_sheet(batch, answers))
    if done % options.checkpoint_every == 0 or done == last:
        trainer.save(options.folder, done)


class Passes(nn.Module):
    """The passes as one module, so that DDP sees a forward()."""

    def __init__(self, network: MatAnyone, stage: Stage) -> None:
        super().__init__()
        self.network, self.stage = network, stage

    def forward(self, kind: Pass, batch: Batch, iteration: int) -> tuple[Terms, list[Answer]]:
        """One pass; every process draws the same random choices."""
        rng = seeded(self.stage.seed, iteration, list(Pass).index(kind))
        with torch.autocast(batch.plates.device.type, torch.bfloat16, enabled=self.stage.bf16):
            return PASSES[kind](self.network, batch, self.stage, iteration, rng)


class Trainer:
    """A network with its optimiser and its average."""

    def __init__(self, network: MatAnyone, stage: Stage, share: Share) -> None:
        self.network, self.stage = network, stage
        network.train().requires_grad_(requires_grad=True)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth faster on CPUs
        if not stage.learns_norms:
            freeze_norms(network)
        passes: nn.Module = Passes(network, stage)
        # Heads take turns, so some weights have no gradient in some passes.
        self.passes = DistributedDataParallel(passes, find_unused_parameters=True) if share.processes > 1 else passes
        self.optimiser = torch.optim.AdamW(parameter_groups(network, stage), lr=stage.rate, eps=1e-8)
        average = get_ema_multi_avg_fn(stage.average)
        self.average = AveragedModel(network, multi_avg_fn=average, use_buffers=True) if stage.average else None

    def step(self, iteration: int, batches: dict[Pass, Batch]) -> tuple[dict[str, float], list[Answer]]:
        """All passes of one iteration, an optimiser step each; their terms, and the answers of the matting pass."""
        values = {"rate": rate_at(self.stage, iteration)}
        for kind in self.stage.passes:
            batch = batches[kind].to(self.network.device)
            terms, answers = self.passes(kind, batch, iteration)
            total = torch.stack(list(terms.values())).sum()
            norm = self._descend(iteration, total, kind)
            values |= {name: float(term.detach()) for name, term in terms.items()}
            if kind is Pass.MATTING:
                seen = answers
                values |= {"norm": norm, "total": float(total.detach()), "alpha_l1": _alpha_l1(answers, batch)}
        if self.average is not None:
            self.average.update_parameters(self.network)
        return values, seen

    def _descend(self, iteration: int, total: Tensor, kind: Pass) -> float:
        if not torch.isfinite(total):
            raise BadResult(
                expected="a loss that is a number",
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
        if torch.isfinite(norm):  # a step that overflowed is left out, the same in every process
            self.optimiser.step()
        return float(norm)

    def result(self) -> MatAnyone:
        """The network to keep: the average where there is one."""
        if self.average is None:
            return self.network
        return self.average.module  # type: ignore[return-value]

    def save(self, folder: Path, iteration: int) -> None:
        """Everything that is carried from iteration to iteration, atomically."""
        state = {
            "stage": dataclasses.asdict(self.stage),
            "iteration": iteration,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }
        with whole_file(folder / CHECKPOINT) as temporary:
            torch.save(plain(state), temporary)

    def resume(self, folder: Path) -> int:
        """Take up the folder's checkpoint; the iteration to go on with, 0 where there is none.

        Raises SettingError where it belongs to other stage settings.
        """
        path = folder / CHECKPOINT
        if not path.is_file():
            return 0
        state = torch.load(path, map_location=self.network.device, weights_only=True)
        if state["stage"] != plain(dataclasses.asdict(self.stage)):
            raise SettingError(
                expected=f"a run of stage {state['stage']['name']} with its own settings in {folder}",
                came=f"stage {self.stage.name}, or other settings",
                action="Give this run a folder of its own.",
            )
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        return int(state["iteration"])


def plain(value: Any) -> Any:
    """Tuples and enums as what torch's safe reader gives back."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value.value if isinstance(value, (Pass, Rate, MattingData)) else value


def freeze_norms(network: MatAnyone) -> None:
    """Batch norm of encoders and change head stays at its stored statistics (spec section 7)."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def parameter_groups(network: MatAnyone, stage: Stage) -> list[dict[str, Any]]:
    """No decay for the object queries, a rate of its own for the image trunk (spec section 7)."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        decay = 0.0 if ".query_init." in name or ".query_emb." in name else stage.weight_decay
        factor = stage.trunk_rate if name.startswith("pixel_encoder.") else 1.0
        groups.setdefault((decay, factor), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "factor": factor}
        for (decay, factor), parameters in groups.items()
    ]


def rate_at(stage: Stage, iteration: int) -> float:
    """The learning rate of an iteration."""
    if iteration < stage.warm_up:
        return stage.rate * (iteration + 1) / stage.warm_up
    if stage.schedule is Rate.CONSTANT:
        return stage.rate
    done = (iteration - stage.warm_up) / max(1, stage.iterations - stage.warm_up)
    return stage.rate * max(0.01, 0.5 + 0.5 * math.cos(math.pi * done))


def learns_from_stills(stage: Stage, kind: Pass, iteration: int) -> bool:
    """Whether the change head must not learn from this pass: moved stills teach it nothing about video."""
    if kind is Pass.MATTING:
        return stage.matting is MattingData.STILLS
    return kind is Pass.SEGMENTATION and iteration % 2 == 1


def _alpha_l1(answers: list[Answer], batch: Batch) -> float:
    """What the artist would see: mean absolute error of the clamped alphas after the first frame."""
    alphas = torch.stack([answer.alpha.remembered.detach() for answer in answers[1:]], dim=1)
    return float((alphas - batch.alphas[:, 1:]).abs().mean())


class Writer(Protocol):
    """What is used of TensorBoard's writer."""

    def add_scalar(self, tag: str, value: float, step: int) -> None: ...
    def close(self) -> None: ...


class Log:
    """log.csv, TensorBoard's event file where that package is there, and sample pictures."""

    def __init__(self, folder: Path, first: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.path = folder / LOG
        self._cut(first)
        self.board: Writer | None = _tensorboard(folder)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        if self.board is not None:
            self.board.close()

    def _cut(self, first: int) -> None:
        """Take away lines of iterations that will be done again."""
        if not self.path.is_file():
            return
        header, *lines = self.path.read_text().splitlines()
        kept = [line for line in lines if int(line.split(",")[0]) < first]
        with whole_file(self.path) as temporary:
            temporary.write_text("\n".join([header, *kept]) + "\n")

    def write(self, step: Step) -> None:
        """One line."""
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

    def picture(self, iteration: int, write: Callable[[Path], None]) -> None:
        """samples/<iteration>.png."""
        (self.folder / "samples").mkdir(exist_ok=True)
        write(self.folder / "samples" / f"{iteration:06d}.png")


_SOMETIMES = {"segmentation_change", "core_change"}
"""Terms of video batches only, which come every other iteration."""


def _tensorboard(folder: Path) -> Writer | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    writer: Writer = SummaryWriter(str(folder))
    return writer
