# SPDX-License-Identifier: Apache-2.0
"""Writes the files of tests/compat/0.1.0 with the code of that version. README.md there says how to run this.

Run it on a checkout of the old version, never on today's code: the point of the files is that old code wrote them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import shots
import torch
from blender_extension import import_extension
from engines import running
from matanyone_engine.service.job import MatteJob, plan_matte
from matanyone_engine.service.run import run_matte, view_digest
from toy import disc, plates

import matanyone_engine
from matanyone_engine.cli.main import main
from matanyone_engine.model import Dims, MatAnyone, save_checkpoint
from matanyone_engine.model.registry import load_vetted
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.arrays import describe_raw

CHECKOUT = Path(matanyone_engine.__file__).parent
SIDE, FIRST, COUNT = 32, 1001, 4
TINY = Dims(
    trunk="resnet18",
    trunk_width=1,
    feature_dims=(4, 2, 1, 1, 3),
    pixel_dim=4,
    key_dim=4,
    value_dim=4,
    sensory_dim=4,
    embed_dim=4,
    mask_trunk="resnet18",
    mask_trunk_width=1,
    mask_final_dim=4,
    transformer_blocks=1,
    transformer_heads=1,
    transformer_ff_dim=4,
    num_queries=2,
    decoder_dims=(4, 2, 2, 2, 1),
)


def tiny_weights(path: Path) -> None:
    """Write random weights that give alphas between 0 and 1."""
    generator = torch.Generator().manual_seed(7)
    network = MatAnyone(TINY).requires_grad_(requires_grad=False)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
            tensor.copy_(0.7 + 0.6 * torch.rand(tensor.shape, generator=generator))
        elif tensor.is_floating_point() and not name.endswith("inv_freq"):
            fan_in = max(1, tensor[0].numel()) if tensor.dim() > 1 else 25
            tensor.copy_(torch.randn(tensor.shape, generator=generator) / fan_in**0.5)
    network.mask_decoder.pred_mat.bias.fill_(0.4)
    save_checkpoint(network.eval(), path)


def write_shot(out: Path) -> None:
    """Write plates, a mask and weights."""
    for number, plate in enumerate(plates(COUNT, SIDE, SIDE)):
        pixels = plate.permute(1, 2, 0).numpy()
        shots.write_image(out / f"plate.{FIRST + number}.exr", pixels, ("R", "G", "B"))
    shots.write_image(out / "mask.exr", disc(SIDE, SIDE, 9).numpy()[..., None], ("Y",), oiio.FLOAT)
    tiny_weights(out / "weights.safetensors")


def arguments(out: Path, name: str, *more: str) -> list[str]:
    """Return a command line of matte; file names are relative, so that nothing depends on this machine."""
    command = ["matte", "plate.####.exr", "--mask", "mask.exr@1001", "--out", f"{name}/alpha.####.exr"]
    return [
        *command,
        "--model",
        "weights.safetensors",
        "--settle",
        "1",
        "--device",
        "cpu",
        "--precision",
        "exact",
        *more,
    ]


def write_run(out: Path) -> None:
    """Write a finished run with its sidecars and its cache, and the same job as a file."""
    os.environ["MATANYONE_ENGINE_CACHE"] = str(out / "cache")
    assert main(arguments(out, "finished")) == 0
    assert main([*arguments(out, "finished"), "--save-job", "job.json"]) == 0
    del os.environ["MATANYONE_ENGINE_CACHE"]


def write_stopped_run(out: Path) -> None:
    """Write a run that was stopped after two frames, with its resume point and no cache."""
    job = MatteJob("plate.####.exr", "mask.exr", "stopped/alpha.####.exr", mask_frame=FIRST, settle_passes=1)
    network, weights = load_vetted("weights.safetensors", "cpu", "exact")

    def two_are_written() -> bool:
        time.sleep(0.5)  # the file of a frame is written beside the next frame
        return Path("stopped/alpha.1002.exr").exists()

    list(run_matte(plan_matte(job), network, weights, cache={}, stopping=two_are_written))


def write_store(out: Path) -> dict[str, Any]:
    """Write the state of an engine that was stopped with a session of three frames."""
    options = say.Options(settle_passes=1, colorspace="sRGB", reply="f4")
    folder = out / "engine"
    with running(folder, model=str(out / "weights.safetensors")) as engine, engine.client() as client:
        opened = client.call(say.Open("7" * 32, (SIDE, SIDE), model="weights", options=options))
        alphas = []
        for number, plate in enumerate(plates(COUNT, SIDE, SIDE)[:3]):
            pixels = np.ascontiguousarray(plate.permute(1, 2, 0).numpy()).astype("<f4")
            payload = describe_raw("plate", pixels.tobytes(), "f4", pixels.shape)
            sent, data = [payload], [pixels.tobytes()]
            kind = say.Frame
            if number == 0:
                mask = disc(SIDE, SIDE, 9).numpy()[..., None].astype("<f4")
                sent.append(describe_raw("mask", mask.tobytes(), "f4", mask.shape))
                data.append(mask.tobytes())
                kind = say.Key
            request = client.pump.ask(kind(opened.session, number, FIRST + number), tuple(sent), tuple(data))
            alphas.append(client.wait(request).data[0])
    for path in folder.iterdir():
        if path.name != "state":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / "state" / "held").unlink(missing_ok=True)
    return {"session": opened.session, "means": [float(np.frombuffer(each, "<f4").mean()) for each in alphas]}


def write_script(out: Path) -> dict[str, Any]:
    """Write a Nuke script with a MatAnyone node, as the fake Nuke saves it, and what its knobs say."""
    from nuke_host import Host, installed

    with tempfile.TemporaryDirectory() as folder:
        host = Host(installed(Path(folder)))
        host.start(gui=True)
        read = host.read(Path("/shots/sh010/plate.####.exr"), FIRST, FIRST + COUNT - 1)
        mask = host.read(Path("/shots/sh010/mask.####.exr"), FIRST, FIRST)
        knobs = {"frames_from": "list", "frames": "1001-1003", "keys_from": "list", "keys": "1001", "mask_grow": 2}
        node = host.matanyone(read, mask, Path("/run/engine.json"), quality="720", region="follow", **knobs)
        node["matte"].setValue("/shots/sh010/matte.####.exr")
        host.nuke.scriptSave(str(out / "shot.nk"))
        from matanyone_nuke import knobs as of_node

        return dict(vars(of_node.settings(node)))


def write_blend(out: Path, blender: str) -> None:
    """Write a .blend file with the extension's properties."""
    with tempfile.TemporaryDirectory() as folder:
        import_extension(Path(folder))
        script = Path(__file__).parent / "in_blender.py"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [blender, str(script), "write", folder, str(out / "shot.blend")]
        subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    assert matanyone_engine.__version__ == "0.1.0"
    target = Path(sys.argv[1]).resolve()
    target.mkdir(parents=True, exist_ok=True)
    os.chdir(target)
    write_shot(target)
    write_run(target)
    write_stopped_run(target)
    write_blend(target, sys.argv[2])
    written = {
        "root": str(target),
        "engine": matanyone_engine.__version__,
        "torch": torch.__version__,
        "OpenImageIO": version("OpenImageIO"),
        "view": view_digest(plan_matte(MatteJob("plate.####.exr", "mask.exr", "x/a.####.exr", mask_frame=FIRST)).view),
        "store": write_store(target),
        "nuke": write_script(target),
        "commit": subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=CHECKOUT, text=True).strip(),
    }
    (target / "written.json").write_text(json.dumps(written, indent=1, default=str) + "\n")
