# SPDX-License-Identifier: Apache-2.0
"""First masks on a real engine: the file that is made without one, while sessions go on."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import prompted
import pytest
from engines import RAW, SIZE, Engine, expected, mask, numbers, pixels, plate, running
from shots import read_image, write_image

from matanyone_engine.cli.main import main
from matanyone_engine.client.client import EngineClient
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.errors import Code, WireError

STROKES = (say.Stroke(prompted.ON.points),)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    sam2 = ("--sam2", str(folder / "no weights"))
    with running(folder, "--root", str(folder), "--map", f"P:/shots={folder}", *sam2) as started:
        yield started


@pytest.fixture
def client(engine: Engine) -> Iterator[EngineClient]:
    engine.accident()
    with engine.client() as client:
        yield client
    engine.accident()


def prompt(folder: Path, **changes: object) -> say.Prompt:
    fields = {
        "nonce": secrets.token_hex(16),
        "plate": prompted.write_plate(folder),
        "out": str(folder / "mask.exr"),
        "box": prompted.BOX,
        "strokes": STROKES,
    }
    return say.Prompt(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_mask_is_the_one_that_is_made_without_an_engine(engine: Engine, client: EngineClient) -> None:
    folder = engine.folder / "same"
    assert client.call(say.Status())
    assert client.pump.welcome is not None
    assert client.pump.welcome.backends == ("grabcut", "sam2")
    told = client.make_mask(prompt(folder, frame=1002, plate=f"P:/shots/{folder.name}/plate.####.exr"))
    assert (told.path, told.frame) == (str(folder / "mask.exr"), 1002)
    assert told.covers == pytest.approx(prompted.disc().mean(), rel=0.15)
    x, y = prompted.ON.points
    alone = folder / "alone.exr"
    words = ["--box", "34,8,80,54", "--stroke", f"{x[0]},{x[1]} {y[0]},{y[1]},+", "--out", str(alone)]
    assert main(["mask", f"{folder}/plate.####.exr@1002", *words]) == 0
    assert np.array_equal(read_image(alone), read_image(folder / "mask.exr"))


def test_the_command_hands_it_to_an_engine(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    folder = engine.folder / "command"
    words = ["mask", prompted.write_plate(folder), "--out", str(folder / "new" / "mask.exr")]
    words += ["--endpoint", str(engine.file)]
    assert main([*words, "--box", "34,8,80,54"]) == 0
    assert f"--mask {folder}/new/mask.exr@1001" in capsys.readouterr().out
    assert prompted.overlap(read_image(folder / "new" / "mask.exr")[..., 3], prompted.disc()) > 0.9
    assert main([*words, "--point", "6,60,-"]) == 2
    assert "a stroke on it" in capsys.readouterr().err
    assert main([*words, "--box", "34,8,80,54", "--sam2", str(folder)]) == 2


def test_a_repeated_request_is_answered_without_making_the_mask_again(engine: Engine, client: EngineClient) -> None:
    asked = prompt(engine.folder / "again")
    first = client.make_mask(asked)
    Path(first.path).unlink()
    assert client.make_mask(asked) == first
    assert not Path(first.path).exists()


def test_sessions_go_on_while_masks_are_made(engine: Engine, client: EngineClient) -> None:
    """Three masks are asked for, the first of which is not made before the session has all its answers."""
    answer = expected()
    engine.accident("mask", "wait", **{"for": 300.0})
    asked = [prompt(engine.folder / f"beside {number}") for number in range(3)]
    requests = [client.pump.ask(each) for each in asked]
    shot = client.open_shot(SIZE, RAW)
    assert pixels(shot.matte(numbers(), plate, mask())) == answer
    shot.close()
    assert not Path(asked[0].out).exists(), "the session did not wait for the first mask"
    engine.accident()
    told = [client.wait(request).message for request in requests]
    assert [answer.path for answer in told if isinstance(answer, say.Masked)] == [each.out for each in asked]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"box": (200, 0, 300, 40)}, "a box on the plate, 96x64 pixels"),
        ({"box": None, "strokes": ()}, "neither"),
        ({"frame": 2000}, "2000"),
        ({"out": "/tmp/elsewhere.exr"}, "roots"),
        ({"plate": "/etc/plate.####.exr"}, "roots"),
        ({"nonce": "no"}, "32 hexadecimal digits"),
        ({"backend": "magic"}, "magic"),
        ({"backend": "sam2"}, "no config.json and no model.safetensors"),
    ],
)
def test_impossible_prompts_are_answered_with_an_error(
    client: EngineClient, engine: Engine, changes: dict[str, object], said: str
) -> None:
    asked = prompt(engine.folder / "bad", **changes)
    with pytest.raises(WireError, match=said) as told:
        client.make_mask(asked)
    assert told.value.code is Code.BAD_INPUT
    assert not list((engine.folder / "bad").glob("mask*"))


def test_a_mask_is_corrected_near_the_clicks(engine: Engine, client: EngineClient) -> None:
    """The start has a square too much; a click takes it away, and all that is far from the click stays, bit for bit."""
    folder = engine.folder / "corrected"
    asked = prompt(folder, box=None, strokes=(say.Stroke(((8.5, 8.5),), subject=False),), start=str(folder / "a.exr"))
    start = prompted.disc()[..., None].copy()
    start[2:14, 2:14] = 1.0
    write_image(folder / "a.exr", start, ("A",))
    made = read_image(Path(client.make_mask(asked).path))[..., 3]
    assert np.abs(made[2:14, 2:14]).max() < 0.05
    assert np.array_equal(made[:, 48:], start[:, 48:, 0].astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(
    ("start", "said"), [("/etc/hostname", "roots"), ("none.exr", "none.exr"), ("small.exr", "96x64")]
)
def test_impossible_corrections_are_answered_with_an_error(
    client: EngineClient, engine: Engine, start: str, said: str
) -> None:
    folder = engine.folder / "not corrected"
    asked = prompt(folder, start=start if start.startswith("/") else str(folder / start))
    write_image(folder / "small.exr", np.ones((8, 8, 1), np.float32), ("A",))
    with pytest.raises(WireError, match=said) as told:
        client.make_mask(asked)
    assert told.value.code is Code.BAD_INPUT
    assert not (folder / "mask.exr").exists()


def test_a_link_out_of_the_roots_is_refused(engine: Engine, client: EngineClient, tmp_path: Path) -> None:
    prompted.write_plate(tmp_path)
    folder = engine.folder / "links"
    folder.mkdir()
    (folder / "plate.1001.exr").symlink_to(tmp_path / "plate.1001.exr")
    with pytest.raises(WireError, match="roots"):
        client.make_mask(prompt(folder, plate=str(folder / "plate.1001.exr")))
