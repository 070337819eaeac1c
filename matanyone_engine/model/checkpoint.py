# SPDX-License-Identifier: Apache-2.0
"""Reads weights files into networks and writes them.

Rules of this file:
1. Loading is strict: an unknown or a missing key is an error that names it. No file is ever half loaded.
2. Pickled files are read by torch's weights_only reader alone. Only safetensors is written.
3. Names, licences and folders of models are in registry.py.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import CheckpointError
from matanyone_engine.model.dims import MATANYONE, Dims
from matanyone_engine.model.matanyone import MatAnyone

DIMS_METADATA = "dims"
"""Name of the safetensors metadata entry that holds Dims.to_json()."""

# Weights that were trained with several objects have one more input channel here, the last: the other objects.
_OBJECT_CHANNEL_KEYS = ("mask_encoder.conv1.weight", "pixel_fuser.sensory_compress.weight")


@dataclass(frozen=True)
class Checkpoint:
    """Holds the tensors and the metadata of a weights file."""

    path: Path
    state: dict[str, Tensor]
    dims: Dims
    """From the file's metadata. Published files have none there, and are read with those of MATANYONE."""
    metadata: dict[str, str]


def load_upstream_state(network: MatAnyone, state: Mapping[str, Tensor]) -> None:
    """Copy a state dict with the published key names into the network.

    Accepts what the published tools write: the state dict itself, or a training checkpoint that holds it under
    'weights'. Of weights that were trained with several objects, the extra input channel is dropped.

    Raises CheckpointError, which names the keys that are missing, unknown, of another shape, or hold infinities or
    NaN; the network is then unchanged.
    """
    given = _without_object_channel(_unwrap(state), network)
    wanted = network.state_dict()
    problems = [
        *_named("missing", [key for key in wanted if key not in given]),
        *_named("unknown", [key for key in given if key not in wanted]),
        *_named("of another shape", _reshaped(wanted, given)),
        *_named("with numbers that are not finite", [key for key in wanted if key in given and _broken(given[key])]),
    ]
    if problems:
        raise CheckpointError(
            expected=f"the {len(wanted)} keys of a {network.dims.trunk} MatAnyone network",
            came="; ".join(problems),
            action="Check that the file holds weights of this network, with the dims it was made for.",
        )
    network.load_state_dict(dict(given))


def _unwrap(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the state dict, which a training checkpoint holds under 'weights'."""
    inner = state.get("weights")
    return inner if isinstance(inner, Mapping) else state


def _without_object_channel(state: Mapping[str, Tensor], network: MatAnyone) -> dict[str, Tensor]:
    wanted = network.state_dict()
    trimmed = dict(state)
    for key in _OBJECT_CHANNEL_KEYS:
        if key in trimmed and trimmed[key].dim() == 4 and trimmed[key].shape[1] == wanted[key].shape[1] + 1:
            trimmed[key] = trimmed[key][:, :-1]
    return trimmed


def _broken(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())


def _reshaped(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{key} {tuple(given[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in wanted.items()
        if key in given and given[key].shape != tensor.shape
    ]


def _named(what: str, keys: list[str], shown: int = 5) -> list[str]:
    if not keys:
        return []
    rest = f" and {len(keys) - shown} more" if len(keys) > shown else ""
    return [f"{len(keys)} {what}: {', '.join(keys[:shown])}{rest}"]


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a .safetensors or .pth file on the CPU.

    Raises CheckpointError for a file that is missing, damaged, or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            expected="a weights file (.safetensors or .pth)",
            came=f"the folder {path}" if path.is_dir() else f"no file at {path}",
            action="Check the path, or name a registered model: matanyone-engine weights list.",
        )
    state, metadata = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pth(path)
    dims = Dims.from_json(metadata[DIMS_METADATA]) if DIMS_METADATA in metadata else MATANYONE
    return Checkpoint(path, state, dims, metadata)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, "a safetensors file", error) from error


def _read_pth(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch raises almost anything at files that are no checkpoints
        # torch's own text recommends switching its safety off, which nobody should read here.
        unsafe = isinstance(error, pickle.UnpicklingError)
        reason = ValueError("it holds more than plain tensors, or is no such file") if unsafe else error
        raise _damaged(path, "a file of plain tensors written by torch.save", reason) from error
    if not isinstance(state, dict):
        raise _damaged(path, "a dict of tensors", TypeError(f"it holds a {type(state).__name__}"))
    state = dict(_unwrap(state))
    others = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise _damaged(path, "a dict of tensors", TypeError(f"{others[0]!r} is no tensor"))
    return state, {}


def _damaged(path: Path, expected: str, error: Exception) -> CheckpointError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return CheckpointError(
        expected=expected,
        came=f"{path}, which cannot be read as one ({reason[:200]})",
        action="The file is damaged or of another kind: copy or fetch it again (matanyone-engine weights verify).",
    )


def build_network(checkpoint: Checkpoint, device: torch.device | str = "cpu") -> MatAnyone:
    """Return a network in evaluation mode, float32, on the device, with the checkpoint's weights, ready for
    inference.
    """
    network = MatAnyone(checkpoint.dims)
    load_upstream_state(network, checkpoint.state)
    return for_inference(network).to(device)


def for_inference(network: MatAnyone) -> MatAnyone:
    """Set evaluation mode, no gradients and channels-last convolutions (a third faster on CPUs, the same numbers)."""
    frozen = network.eval().requires_grad_(requires_grad=False)
    return frozen.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs


def save_checkpoint(
    network: MatAnyone, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write weights as safetensors with their dims, atomically.

    Matrices are kept in half precision, statistics and vectors in float32, as the bundled files are: a network that
    was read from such a file is saved without loss.
    """
    path = Path(path)
    state = {key: _compact(tensor) for key, tensor in network.state_dict().items()}
    with whole_file(path) as temporary:
        # safetensors' save_file makes files that only their owner can read, which is wrong for a shared folder.
        temporary.write_bytes(save(state, {**(metadata or {}), DIMS_METADATA: network.dims.to_json()}))


def _compact(tensor: Tensor) -> Tensor:
    kept = tensor.detach().cpu().contiguous()
    return kept.half() if kept.is_floating_point() and kept.dim() > 1 else kept


def network_digest(network: MatAnyone) -> str:
    """Return a sha256 over names and exact values of the weights. Networks of one digest compute the same numbers.

    For a network that precision.prepared() made, it is the digest of the weights as stored, with a prefix where the
    network is not exact.
    """
    if network.digest is not None:
        return network.digest
    digest = hashlib.sha256(network.dims.to_json().encode())
    for key, tensor in sorted(network.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
