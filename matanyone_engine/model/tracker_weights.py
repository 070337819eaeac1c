# SPDX-License-Identifier: Apache-2.0
"""Knows the published weights of the trackers: where they come from, under which licence, and where they lie here.

A tracker's weights are a folder in the format of the package transformers (config.json, model.safetensors), named as
the tracker, in one of the weights folders of registry.py. 'weights fetch' puts it there, and `track` finds it.

Rules of this file:
1. Nobody of this project has had these files, so no checksum of them is known. It is said, and none is made up: what
   came is admitted only when the user has compared its checksum with the publisher's.
2. Nothing is admitted that is not what transformers calls this tracker, or that is no whole safetensors file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from matanyone_engine.errors import CheckpointError
from matanyone_engine.model.registry import user_weights_folder, weights_folders
from matanyone_engine.model.weights_file import CONFIG, WEIGHTS, Receipt, measure, refuse_impostor

README = "README.md"
"""The publisher's page about the weights; its head names their licence."""
_TERMS = (
    "{title}: weights by {authors}, published at {page} under the Apache License 2.0, which allows paid work and asks "
    "that its text and notices stay with every copy. Nobody of this project has downloaded or run them, and it knows "
    "no checksum of them."
)


@dataclass(frozen=True)
class TrackerWeights:
    """Describes the published weights of one tracker."""

    name: str
    """What commands call the tracker, and the folder that the weights lie in."""
    title: str
    kind: str
    """model_type in config.json."""
    authors: str
    page: str
    """Where a person finds them; the files are below it, at /resolve/main/."""
    size: int
    """Bytes of model.safetensors, approximately."""
    licence: str = "Apache-2.0"
    commercial: bool = True

    @property
    def terms(self) -> str:
        """Returns what the licence asks, in our own words."""
        return _TERMS.format(title=self.title, authors=self.authors, page=self.page)

    @property
    def by_hand(self) -> str:
        """Returns how the weights get to this machine without a network."""
        return (
            f"without a network: get {CONFIG}, {README} and {WEIGHTS} from {self.page} on another machine and put "
            f"them into {self.folder}, or into any folder and name that with --weights"
        )

    @property
    def folder(self) -> Path:
        """Returns the folder that 'weights fetch' fills."""
        return user_weights_folder() / self.name

    def source(self, file: str) -> str:
        """Return the address of one of its files."""
        return f"{self.page}/resolve/main/{file}"


TRACKER_WEIGHTS = {
    each.name: each
    for each in (
        TrackerWeights(
            name="sam2",
            title="SAM 2.1 hiera tiny, for video",
            kind="sam2_video",
            authors="Meta",
            page="https://huggingface.co/facebook/sam2.1-hiera-tiny",
            size=156_000_000,
        ),
        TrackerWeights(
            name="edgetam",
            title="EdgeTAM, for video",
            kind="edgetam_video",
            authors="Meta, converted by Yoni Gozlan of Hugging Face",
            page="https://huggingface.co/yonigozlan/EdgeTAM-hf",
            size=56_000_000,
        ),
    )
}
"""By the names that commands take. The addresses are those that transformers' own documentation names."""


def find_tracker_weights(name: str) -> Path | None:
    """Return the folder of a tracker's weights on this machine; None where there is none."""
    folders = (folder / name for folder in weights_folders())
    return next((each for each in folders if (each / CONFIG).is_file() and (each / WEIGHTS).is_file()), None)


def licence_said(folder: Path) -> str:
    """Return what the line 'license:' at the head of a folder's README.md says; '' where there is none."""
    readme = folder / README
    if readme.is_file():
        for line in readme.read_text(encoding="utf-8", errors="replace").splitlines()[:40]:
            name, colon, said = line.partition(":")
            if colon and name.strip().lower() in ("license", "licence") and said.strip():
                return said.strip()[:60]
    return ""


def check_config(weights: TrackerWeights, file: Path) -> None:
    """Raise CheckpointError unless a file is the config.json of a tracker."""
    refuse_impostor(file)
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        came = said.get("model_type") if isinstance(said, dict) else said
    except (ValueError, RecursionError) as error:
        came = f"no JSON ({error})"
    if came != weights.kind:
        raise CheckpointError(
            expected=f"a {CONFIG} with the model_type {weights.kind!r} at {weights.source(CONFIG)}",
            came=str(came)[:200],
            action=f"What is published there has changed: look at {weights.page}.",
        )


def check_weights(weights: TrackerWeights, file: Path, *, accept_unverified: bool) -> Receipt:
    """Check that a file is whole, and that the user has taken its bytes for the tracker's; return its receipt.

    Raises CheckpointError, which shows the checksum of what came.
    """
    refuse_impostor(file)
    try:
        with safe_open(file, "np") as opened:
            count = len(list(opened.keys()))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            expected=f"a whole safetensors file at {weights.source(WEIGHTS)}",
            came=f"{file} ({error})",
            action=f"Delete it and fetch again, or {weights.by_hand}.",
        ) from error
    found = measure(file)
    if not accept_unverified:
        raise CheckpointError(
            expected=f"{weights.name} with a checksum that is known; this engine knows none of it",
            came=f"{file} with {count} tensors, {found.size:,} bytes, sha256 {found.sha256}",
            action=f"Compare with what {weights.page}/blob/main/{WEIGHTS} shows. If it is the same, run the command "
            "again with --accept-unverified; nothing is downloaded twice.",
        )
    return Receipt(weights.name, found.sha256 or "", weights.source(WEIGHTS))
