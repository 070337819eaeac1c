# SPDX-License-Identifier: Apache-2.0
"""Lists the published weights of the trackers (addresses, licences), and finds them on this machine.

A tracker's weights are a folder in the format of the package transformers (config.json, model.safetensors), with the
tracker's name, in one of the weights folders of registry.py. 'weights fetch' makes it, and `track` finds it.

Rules of this file:
1. Nobody of this project has had these files, so no checksum of them is known. Downloaded files are used only after
   the user has compared their checksum with the publisher's.
2. Files are refused if config.json names another network, or if the weights are not a complete safetensors file.
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
"""The publisher's page about the weights, whose first lines name their licence."""
_TERMS = (
    "{title}: weights by {authors}, published at {page} under the Apache License 2.0, which allows paid work and asks "
    "that its text and notices stay with every copy. Nobody of this project has downloaded or run them, and it knows "
    "no checksum of them."
)


@dataclass(frozen=True)
class TrackerWeights:
    """Describes the published weights of one tracker."""

    name: str
    """The tracker's name in commands, and the name of the folder of its weights."""
    title: str
    kind: str
    """model_type in config.json."""
    authors: str
    page: str
    """The publisher's web page; the files are below it, at /resolve/main/."""
    size: int
    """Bytes of model.safetensors, approximately."""
    licence: str = "Apache-2.0"
    commercial: bool = True

    @property
    def terms(self) -> str:
        """Returns what the licence asks for, in our own words."""
        return _TERMS.format(title=self.title, authors=self.authors, page=self.page)

    @property
    def by_hand(self) -> str:
        """Returns what to do where this machine has no network, as the end of a sentence."""
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
"""The weights by their names. The addresses are from the documentation of transformers."""


def find_tracker_weights(name: str) -> Path | None:
    """Return the folder of a tracker's weights on this machine; None where there is none."""
    folders = (folder / name for folder in weights_folders())
    return next((each for each in folders if (each / CONFIG).is_file() and (each / WEIGHTS).is_file()), None)


def licence_said(folder: Path) -> str:
    """Return what the line 'license:' near the top of a folder's README.md says; '' where there is none."""
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
    """Check that a file of weights is complete and that the user has accepted it, and return its receipt.

    Raises CheckpointError, which shows the file's checksum.
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
            expected=f"weights of {weights.name} that you have compared with the publisher's checksum: the engine "
            "knows none",
            came=f"{file} with {count} tensors, {found.size:,} bytes, sha256 {found.sha256}",
            action=f"Compare with what {weights.page}/blob/main/{WEIGHTS} shows. If it is the same, run the command "
            "again with --accept-unverified; nothing is downloaded twice.",
        )
    return Receipt(weights.name, found.sha256 or "", weights.source(WEIGHTS))
