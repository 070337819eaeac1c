# SPDX-License-Identifier: Apache-2.0
"""Starts real engine processes with toy weights, and computes what the library answers to the same pixels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import accidents
import forked
import numpy as np
import torch
from shots import HEIGHT, WIDTH
from toy import disc, plates, toy_network

from matanyone_engine.client.client import EngineClient, ReceivedAlpha
from matanyone_engine.client.launcher import find_engine, is_alive
from matanyone_engine.client.transport import ClientKeys
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.model import save_checkpoint
from matanyone_engine.model.registry import load_network
from matanyone_engine.sizes import Resolution
from matanyone_engine.wire.arrays import Payload, describe_raw
from matanyone_engine.wire.errors import WireError
from matanyone_engine.wire.messages import Options

SIZE = Resolution(WIDTH, HEIGHT)
FRAMES = 9
FIRST = 1001
RAW = Options(warm_up_passes=1, colorspace="sRGB", reply="f4")


@dataclass
class Engine:
    """Holds an engine that tests may kill."""

    folder: Path
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | forked.ForkedProcess | None = None
    largest_file: int | None = None
    """Bytes: writing more fails, as on a full disk. On Linux alone."""
    model: str | None = None
    """None: toy weights."""

    @property
    def file(self) -> Path:
        return self.folder / "run" / "engine.json"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def accident(self, moment: str = "", what: str = "", **more: object) -> None:
        """Say what is to happen in it from now on (accidents.py); without arguments nothing does any more."""
        planned = self.folder / ".accidents.tmp"
        planned.write_text(json.dumps({moment: {"what": what, **more}} if moment else {}))
        planned.replace(self.folder / "accidents.json")

    def start(self) -> Engine:
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.accident()
        arguments = [str(self.folder / "accidents.json"), "serve"]
        arguments += ["--connection", str(self.file), "--state", str(self.state), "--device", "cpu"]
        arguments += ["--model", self.model or str(toy_weights(self.folder)), *self.options]
        # A cache of its own: what it answers it has computed, not an earlier test or whoever it is held against.
        env = {
            **os.environ,
            "OMP_NUM_THREADS": str(torch.get_num_threads()),
            "MATANYONE_ENGINE_CACHE": str(self.folder / "cache"),
        }
        log = self.folder / "engine.log"
        if forked.IS_POSSIBLE:
            self.process = forked.ForkedProcess(arguments, log, env, self.largest_file)
        else:
            command = [sys.executable, accidents.__file__, *arguments]
            self.process = subprocess.Popen(command, stderr=log.open("ab"), env=env)
        deadline = time.monotonic() + 240  # a machine that many share may be slow
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.said()
            try:
                if (connection := find_engine(self.file)).pid == self.process.pid and (
                    connection.server_key or is_alive(connection)
                ):
                    return self
            except WireError:
                pass
            time.sleep(0.05)
        raise AssertionError(self.said())

    def said(self) -> str:
        return (self.folder / "engine.log").read_text()

    def kill(self) -> None:
        """Kill the process, as a crash would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Stop it as a user would, and return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        return self.process.wait(60)

    def client(self, timeout_s: float = 30.0, keys: ClientKeys | None = None) -> EngineClient:
        return EngineClient(lambda: find_engine(self.file), "test", keys, timeout_s)


@contextmanager
def running(folder: Path, *options: str, largest_file: int | None = None, model: str | None = None) -> Iterator[Engine]:
    engine = Engine(folder, options, largest_file=largest_file, model=model)
    try:
        yield engine.start()
    finally:
        engine.stop()


def toy_weights(folder: Path) -> Path:
    path = folder / "toy.safetensors"
    if not path.exists():
        save_checkpoint(toy_network(), path)
    return path


@cache
def shown() -> list[np.ndarray]:
    """Return a plate as the network sees it, (H, W, 3) float32 sRGB 0..1."""
    return [np.ascontiguousarray(plate.permute(1, 2, 0).numpy()) for plate in plates(FRAMES, HEIGHT, WIDTH)]


@cache
def expected() -> dict[int, bytes]:
    """Return what the library answers, as raw floats."""
    with tempfile.TemporaryDirectory() as folder:
        network = load_network(toy_weights(Path(folder)), "cpu")
    session = MattingSession(network, warm_up_passes=RAW.warm_up_passes)
    alphas = {}
    for number, plate in enumerate(shown()):
        planes = plate.transpose(2, 0, 1)
        alpha = session.seed(planes, disc(HEIGHT, WIDTH)) if number == 0 else session.advance(planes)
        alphas[FIRST + number] = alpha.numpy().tobytes()
    return alphas


def raw(name: str, pixels: np.ndarray) -> tuple[Payload, bytes]:
    data = pixels.astype("<f4").tobytes()
    return describe_raw(name, data, "f4", pixels.shape), data


def plate(frame: int) -> tuple[Payload, bytes]:
    return raw("plate", shown()[frame - FIRST])


def mask() -> tuple[Payload, bytes]:
    return raw("mask", disc(HEIGHT, WIDTH).numpy()[..., None])


def numbers(first: int = 0, count: int = FRAMES) -> list[int]:
    return list(range(FIRST + first, FIRST + min(count, FRAMES)))


def pixels(alphas: Any) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for alpha in alphas:
        assert isinstance(alpha, ReceivedAlpha)
        assert alpha.frame not in found
        found[alpha.frame] = bytes(alpha.data)
    return found
