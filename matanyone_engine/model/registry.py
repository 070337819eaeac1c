# SPDX-License-Identifier: Apache-2.0
"""Lists the models by name, finds the files of their weights, and loads networks from them.

Rules of this file:
1. Names, licences, addresses and checksums of models stand in MODELS and nowhere else.
2. Nothing here opens a network connection; fetch.py does, for the command 'weights fetch' only.
3. A licence belongs to the bytes, not to the name: a registered file that was renamed keeps its licence. Only a
   checksum can show that a file may be used commercially; a file name or metadata can only show that it may not.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from matanyone_engine.errors import CheckpointError, LicenceRefused, SettingError, WeightsNotFound, shortened
from matanyone_engine.model.device import choose_device
from matanyone_engine.model.dims import LITE, MATANYONE, Dims
from matanyone_engine.model.licences import UNKNOWN, read_policy, show_terms_once, user_data_folder
from matanyone_engine.model.weights_file import (
    SUFFIXES,
    Fingerprint,
    measure,
    read_receipt,
    refuse_impostor,
    safetensors_metadata,
)

if TYPE_CHECKING:
    import torch

    from matanyone_engine.model.matanyone import MatAnyone

FOLDERS_VARIABLE = "MATANYONE_ENGINE_WEIGHTS"
"""Environment variable with one or more weights folders, separated as in PATH."""

MODEL_METADATA = "model"
"""Name of the safetensors metadata entry that holds a registered model's name."""

_PACKAGE_FOLDER = Path(__file__).parent / "weights"
_log = logging.getLogger("matanyone_engine")


@dataclass(frozen=True)
class Model:
    """Describes a registered model."""

    name: str
    title: str
    licence: str
    """The SPDX id where there is one, which a studio's policy may list."""
    commercial: bool
    """Whether paid work may use it."""
    terms: str
    """What the licence asks for, in our own words."""
    dims: Dims
    """The dimensions of its network. A file with other ones is another model."""
    size: int
    """Bytes of the file: exact where `published` has a size, else approximate."""
    published: Fingerprint
    """The checksums that are known."""
    source: str | None = None
    """The address of the file for 'weights fetch'; None for a bundled model."""
    bundled: str | None = None
    """The file name in the package's weights folder; None for other models."""
    verified_fast: bool = False
    """Whether half precision was measured to be as good, on clips with true alphas (benchmarks/README.md)."""
    warm_up_passes: int | None = None
    """The best number of warm-up passes, where it was measured (benchmarks/README.md)."""


_S_LAB_TERMS = (
    "{title}: weights by its authors under the NTU S-Lab License 1.0, for non-commercial purposes only; the licence "
    "notice stays with every copy. Commercial use, paid film work included, needs written permission of the authors: "
    "see {page}."
)

# The md5 sums were reported by third parties and never checked against the authors' files. So a file with another sum
# is called unverified, not wrong: the user sees both sums and decides.
MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            name="mini",
            title="MatAnyone Engine mini",
            licence="Apache-2.0",
            commercial=True,
            terms="MatAnyone Engine mini: trained by this project on its own data, Apache-2.0; see its card, mini.md.",
            dims=LITE,
            size=5_709_880,
            published=Fingerprint(
                sha256="e87af3b1cc51d31e55534baef4a34f95f2a83bb516dac896f8b9db089d0900ef", size=5_709_880
            ),
            bundled="mini.safetensors",
            verified_fast=True,
            warm_up_passes=2,
        ),
        Model(
            name="matanyone",
            title="MatAnyone (CVPR 2025)",
            licence="S-Lab-1.0",
            commercial=False,
            terms=_S_LAB_TERMS.format(title="MatAnyone", page="https://github.com/pq-yang/MatAnyone"),
            dims=MATANYONE,
            size=141_300_000,
            published=Fingerprint(md5="a50eeaa149a37509feb45e3d6b06f41d"),
            source="https://github.com/pq-yang/MatAnyone/releases/download/v1.0.0/matanyone.pth",
        ),
        Model(
            name="matanyone2",
            title="MatAnyone 2",
            licence="S-Lab-1.0",
            commercial=False,
            terms=_S_LAB_TERMS.format(title="MatAnyone 2", page="https://github.com/pq-yang/MatAnyone2"),
            dims=MATANYONE,
            size=141_300_000,
            published=Fingerprint(md5="b1d3cfbb7596ecf3b88391198427ca95"),
            source="https://github.com/pq-yang/MatAnyone2/releases/download/v1.0.0/matanyone2.pth",
        ),
    )
}


@dataclass(frozen=True)
class FoundWeights:
    """Holds the path of a file of weights, and the model if the file was found by a registered name."""

    path: Path
    model: Model | None


Standing = Literal["verified", "accepted", "unverified", "unregistered"]
"""verified: a known checksum confirms the bytes. accepted: none does, but the user has accepted these bytes.
unverified: name or metadata say that it is the model, and neither of the two holds. unregistered: no known model."""


@dataclass(frozen=True)
class VettedWeights:
    """Holds what is known about a file of weights; the last four fields, about the network made from it."""

    path: Path
    model: Model | None
    found: Fingerprint
    standing: Standing
    precision: str = "exact"
    """The value of the precision.Precision in which the network computes."""
    core_size: int | None = None
    """The network's MatAnyone.core_size."""
    warm_up_passes: int | None = None
    """The network's MatAnyone.warm_up_passes; None before there is a network."""
    refiner: bool = False
    """Whether the network has a refiner."""

    @property
    def licence(self) -> str:
        return self.model.licence if self.model else UNKNOWN

    @property
    def label(self) -> str:
        """Returns the name of the weights in messages, and in the records of runs."""
        return self.model.name if self.model else self.path.name


def user_weights_folder() -> Path:
    """Return the folder that 'weights fetch' and 'weights import' put files into."""
    return user_data_folder() / "weights"


def weights_folders() -> list[Path]:
    """List the folders that are searched for weights: those of the environment variable, the user's, the package's."""
    listed = os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)
    return [*(Path(part).expanduser() for part in listed if part.strip()), user_weights_folder(), _PACKAGE_FOLDER]


def locate(name_or_path: str | os.PathLike[str]) -> FoundWeights:
    """Find the file of a registered model, or the file at a path.

    Raises WeightsNotFound, which names the folders that were searched and the command that helps.
    """
    text = os.fspath(name_or_path)
    if text in MODELS:
        return FoundWeights(_search(MODELS[text]), MODELS[text])
    path = Path(text).expanduser()
    reason = _why_no_file(path)
    if not reason:
        return FoundWeights(path, None)
    raise WeightsNotFound(
        expected=f"a model's name ({', '.join(MODELS)}) or the path of a weights file",
        came=f"{shortened(text)!r}, {reason}",
        action="See what there is with: matanyone-engine weights list",
    )


def _why_no_file(path: Path) -> str:
    """Return why a path is not a file, as the end of a sentence; '' where it is one."""
    try:
        if path.is_file():
            return ""
        if path.exists():
            return "which is a folder" if path.is_dir() else "which is no ordinary file"
        if path.is_symlink():
            return "which is a link to a file that is not there"
    except (OSError, ValueError) as error:
        return f"which cannot be opened ({getattr(error, 'strerror', None) or error})"
    return f"and there is no such {'file' if _looks_like_path(path) else 'model or file'}"


def _looks_like_path(path: Path) -> bool:
    return path.suffix in SUFFIXES or len(path.parts) > 1


def _search(model: Model) -> Path:
    folders = weights_folders()
    for folder in folders:
        for suffix in SUFFIXES:
            file = folder / f"{model.name}{suffix}"
            if file.is_file():
                return file
    raise WeightsNotFound(
        expected=f"{model.name}{f' or {model.name}'.join(SUFFIXES)} on this machine",
        came=f"none in {', '.join(str(folder) for folder in folders)}",
        action=f"Run: matanyone-engine weights fetch {model.name}"
        f" (or, without a network: matanyone-engine weights import FILE --name {model.name})",
    )


def vet(weights: FoundWeights) -> VettedWeights:
    """Examine a file without loading it: which model it is, and whether a checksum or the user confirms that.

    Raises CheckpointError for a web page, a Git LFS pointer or an unreadable file.
    """
    path = weights.path
    refuse_impostor(path)
    found = measure(path)
    model = weights.model or identify(path, found)
    return VettedWeights(path, model, found, _standing(path, model, found))


def identify(path: Path, found: Fingerprint) -> Model | None:
    """Return the registered model that a file holds, or None.

    A checksum tells it. If there is none, receipt, metadata and file name are asked, but only for models that may not
    be used commercially (rule 3).
    """
    known = recognise(found)
    if known:
        return known
    receipt = read_receipt(path)
    accepted = receipt.model if receipt and receipt.sha256 == found.sha256 else None
    for name in (accepted, safetensors_metadata(path).get(MODEL_METADATA), path.stem):
        model = MODELS.get(name) if name else None
        if model and not model.commercial:
            return model
    return None


def recognise(found: Fingerprint) -> Model | None:
    """Return the registered model whose checksum a file has, or None."""
    return next((model for model in MODELS.values() if model.published.matches(found)), None)


def _standing(path: Path, model: Model | None, found: Fingerprint) -> Standing:
    if model is None:
        return "unregistered"
    if model.published.matches(found):
        return "verified"
    receipt = read_receipt(path)
    # The checksum of a bundled model is certain, so a receipt cannot make another file count as that model.
    if not model.bundled and receipt and (receipt.model, receipt.sha256) == (model.name, found.sha256):
        return "accepted"
    return "unverified"


def mismatch(model: Model, path: Path, found: Fingerprint, action: str) -> CheckpointError:
    """Return the error for a file that does not have the model's known checksum; it shows both."""
    return CheckpointError(
        expected=f"{model.name} with {model.published}",
        came=f"{path} with {found}, which is unverified",
        action=action,
    )


def load_network(name_or_path: str | os.PathLike[str], device: str = "auto", precision: str = "auto") -> MatAnyone:
    """Load a network for inference, from a registered name or the path of a .pth or .safetensors file.

    device: as in choose_device(). precision: 'exact' is float32; 'fast' computes most of it in half precision; 'auto'
    is fast where the device was measured to gain by it and these weights were measured to lose nothing by it.
    Raises DeviceError, WeightsNotFound, LicenceRefused, CheckpointError; SettingError for an unreadable policy or a
    precision that the device does not have.
    """
    return load_vetted(name_or_path, device, precision)[0]


def load_vetted(
    name_or_path: str | os.PathLike[str], device: str = "auto", precision: str = "auto"
) -> tuple[MatAnyone, VettedWeights]:
    """Load as load_network does, and return what is known about the file, too, for the records of runs."""
    from matanyone_engine.model.precision import choose_precision, prepared

    target = choose_device(device)
    network, weights = _load(name_or_path, target)
    verified = weights.standing == "verified" and weights.model is not None and weights.model.verified_fast
    chosen = choose_precision(precision, target, verified)
    made = replace(
        weights,
        precision=chosen.value,
        core_size=network.core_size,
        warm_up_passes=network.warm_up_passes,
        refiner=network.refiner is not None,
    )
    return prepared(network, chosen), made


def load_trainable(name_or_path: str | os.PathLike[str]) -> MatAnyone:
    """Load a network on the CPU, unchanged, to train or save it. Raises what load_network raises."""
    return _load(name_or_path, choose_device("cpu"))[0]


def _load(name_or_path: str | os.PathLike[str], device: torch.device) -> tuple[MatAnyone, VettedWeights]:
    from matanyone_engine.model.checkpoint import build_network, read_checkpoint

    found = locate(name_or_path)
    weights = vet(found)
    read_policy().require(weights.licence, weights.label)
    if weights.standing == "unverified":
        _report_unverified(weights, asked_by_name=found.model is not None)
    _announce_licence(weights)
    network = build_network(read_checkpoint(weights.path), device)
    if weights.model is not None and weights.model.warm_up_passes is not None:
        network.warm_up_passes = weights.model.warm_up_passes
    return network, weights


def require_licence_class(weights: VettedWeights, wanted: str) -> None:
    """Check that a job may use these weights: 'any' allows all, 'commercial' only those that paid work may use.

    Raises LicenceRefused; SettingError for another class. The studio's policy is checked separately (licences.py).
    """
    if wanted not in ("any", "commercial"):
        raise SettingError(
            expected="licence: 'any' or 'commercial'",
            came=repr(wanted),
            action="Write one of the two in the job, or leave it out.",
        )
    if wanted == "commercial" and not (weights.model and weights.model.commercial):
        raise LicenceRefused(
            expected="weights whose licence allows paid work, as the job demands",
            came=f"{weights.label}, whose licence is {weights.licence}",
            action="Use --model mini, or licence 'any' in the job if you may use these weights for it.",
        )


def _report_unverified(weights: VettedWeights, asked_by_name: bool) -> None:
    """Raise CheckpointError where the user named a model; warn where the user gave the path of this file."""
    assert weights.model is not None
    name = weights.model.name
    if asked_by_name:
        raise mismatch(weights.model, weights.path, weights.found, _action_for_unverified(weights.model))
    _log.warning(
        "%s calls itself %s and no known checksum confirms it (known: %s; found: %s). Licence: %s.",
        weights.path,
        name,
        weights.model.published,
        weights.found,
        weights.licence,
    )


def _action_for_unverified(model: Model) -> str:
    if model.bundled:
        return "Remove that file, or use it by its path: only the file of the package has this name."
    return (
        "If you trust where it came from, run: "
        f"matanyone-engine weights import FILE --name {model.name} --accept-unverified"
    )


def _announce_licence(weights: VettedWeights) -> None:
    """Log non-commercial terms once for each user, and a warning about an unknown licence every time."""
    if weights.model is None:
        _log.warning("%s is no registered model: its licence is unknown to the engine.", weights.path)
    elif not weights.model.commercial:
        show_terms_once(weights.model.name, weights.model.terms)
