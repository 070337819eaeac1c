# SPDX-License-Identifier: Apache-2.0
"""Installs a file of weights in the user's folder under a registered name.

Rules of this file:
1. A file gets a model's name only after its checksum was compared and its weights were loaded strictly.
2. A file that no checksum confirms is installed only if the user accepts it; the receipt records that.
"""

from __future__ import annotations

from pathlib import Path

from matanyone_engine.errors import CheckpointError, SettingError
from matanyone_engine.model.registry import Model, mismatch, recognise, user_weights_folder
from matanyone_engine.model.weights_file import SUFFIXES, Receipt, measure, place, refuse_impostor


def examine(file: Path, model: Model, *, source: str, accept_unverified: bool) -> Receipt:
    """Check that a file may carry the model's name; return the receipt that says so.

    Raises CheckpointError: a web page, a Git LFS pointer, other bytes than known (unless accepted), or a file that does
    not load strictly.
    """
    refuse_impostor(file)
    found = measure(file)
    other = recognise(found)
    if other and other.name != model.name:
        raise _other_model(file, model, f"which is {other.name} by its checksum")
    if not model.published.matches(found) and not accept_unverified:
        raise mismatch(
            model,
            file,
            found,
            "The known value was reported by third parties. If you trust where the file came from, run the command "
            "again with --accept-unverified; else delete the file and get it again.",
        )
    _load_strictly(file, model)
    assert found.sha256 is not None
    return Receipt(model.name, found.sha256, source)


def _load_strictly(file: Path, model: Model) -> None:
    from matanyone_engine.model.checkpoint import build_network, read_checkpoint

    checkpoint = read_checkpoint(file)
    if checkpoint.dims != model.dims:
        raise _other_model(file, model, "whose network has other dimensions")
    build_network(checkpoint)


def _other_model(file: Path, model: Model, what: str) -> CheckpointError:
    return CheckpointError(
        expected=f"the weights of {model.name}",
        came=f"{file}, {what}",
        action="Weights of another model need no name: use them by their path, --model FILE.",
    )


def destination(model: Model, suffix: str) -> Path:
    """Return the path of the user's copy of a model.

    Raises SettingError where a file with the other suffix is there: only one of the two would be found.
    """
    folder = user_weights_folder()
    for kind in SUFFIXES:
        other = folder / f"{model.name}{kind}"
        if kind != suffix and other.exists():
            raise SettingError(
                expected=f"one file for {model.name} in {folder}",
                came=f"{other.name} there already, and a {suffix} file to put beside it",
                action=f"Remove {other} first.",
            )
    return folder / f"{model.name}{suffix}"


def import_file(file: Path, model: Model, *, accept_unverified: bool) -> Path:
    """Check a file of the user's, copy it into the folder of weights, and return the copy's path."""
    if file.suffix not in SUFFIXES:
        raise CheckpointError(
            expected=f"a file named {' or '.join(f'*{suffix}' for suffix in SUFFIXES)}",
            came=str(file),
            action="Give it the ending of what it is: .pth from torch.save, .safetensors otherwise.",
        )
    target = destination(model, file.suffix)
    receipt = examine(file, model, source=str(file.resolve()), accept_unverified=accept_unverified)
    place(file, target, receipt)
    return target
