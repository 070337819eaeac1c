# SPDX-License-Identifier: Apache-2.0
"""Writes the alphas of a frame to files, in the layout of the job.

Rules of this file:
1. A job whose files cannot be written is refused while it is planned.
2. A frame counts as done only after all its files are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.provenance import describe_confidence
from matanyone_engine.matting.confidence import Confidence
from matanyone_engine.media.images import PlateHeader
from matanyone_engine.media.layouts import (
    LAYOUTS,
    Delivery,
    FrameContent,
    check_delivery,
    compose,
    layer_names,
    raw_bytes,
)
from matanyone_engine.media.mattes import is_readable, least_bytes, write_picture
from matanyone_engine.media.output_names import shot_of, tokens_of, versions_taken, with_tokens
from matanyone_engine.media.plates import PlateSource
from matanyone_engine.media.sequence import OutputPattern
from matanyone_engine.runs.record import reserve
from matanyone_engine.runs.sidecars import Sidecars

ALL_OBJECTS = "all"
"""What {object} stands for if a file holds all objects."""


@dataclass(frozen=True)
class Outputs:
    """Names the files of a job's alphas and the objects in each of them."""

    delivery: Delivery
    objects: tuple[str, ...]
    patterns: Mapping[OutputPattern, tuple[str, ...]]
    """The objects in the files of each pattern."""
    padding: int
    """The plate's padding, for a pattern that does not set one."""
    versioned: bool = False
    """Whether this run makes a new version of the output."""

    @property
    def main(self) -> OutputPattern:
        """Returns the first pattern. It is the one that is printed, and the run's sidecars lie beside its files."""
        return next(iter(self.patterns))

    @property
    def sidecars(self) -> Sidecars:
        """Returns the sidecars of a run over all frames."""
        return Sidecars(self.main)

    @property
    def folders(self) -> list[Path]:
        """Returns the folders of all files, each once."""
        return list(dict.fromkeys(pattern.folder for pattern in self.patterns))

    def paths(self, frame: int) -> list[Path]:
        """Return the files of a frame."""
        return [pattern.path(frame, self.padding) for pattern in self.patterns]

    def check(self, frames: Sequence[int], inputs: Iterable[Path]) -> None:
        """Raise SettingError if the names cannot hold these frames, or if one of them is an input."""
        inputs = list(inputs)
        for pattern in self.patterns:
            pattern.check_frames(frames)
            pattern.check_not_plate(frames, self.padding, inputs)

    def least_bytes(self, frames: Sequence[int], header: PlateHeader) -> dict[Path, int]:
        """Return for each folder the least number of bytes that the new files will take; files that are replaced are
        not counted."""
        needed = dict.fromkeys(self.folders, 0)
        for pattern, objects in self.patterns.items():
            new = sum(not pattern.path(frame, self.padding).exists() for frame in frames)
            raw = raw_bytes(self.delivery, objects, header, pattern.file_suffix)
            needed[pattern.folder] += least_bytes(header, new, raw)
        return needed

    @staticmethod
    def are_readable(paths: Iterable[Path]) -> bool:
        """Return whether every existing file is a picture that can be read completely."""
        return all(is_readable(path) for path in paths if path.is_file())

    def reserve(self) -> None:
        """Reserve the new version, so that no other run takes it. Raises SettingError."""
        if self.versioned:
            reserve(self.sidecars.record, self.main.name)

    def write(
        self, frame: int, content: FrameContent, about: Mapping[str, str], confidences: Mapping[str, Confidence]
    ) -> list[Path]:
        """Write the files of a frame, each with the confidences of the objects in it. Raises BadResult, OutputError."""
        written = []
        for pattern, objects in self.patterns.items():
            path = pattern.path(frame, self.padding)
            own_confidences = {name: confidences[name] for name in objects if name in confidences}
            provenance = {**about, **describe_confidence(own_confidences)}
            write_picture(path, compose(self.delivery, content, objects, provenance, path.suffix))
            written.append(path)
        return written


def plan_outputs(
    out: str,
    delivery: Delivery,
    objects: Sequence[str],
    source: PlateSource,
    header: PlateHeader,
    *,
    linear: bool,
    resume: bool = False,
) -> Outputs:
    """Resolve the output name, and check that the files can hold their contents.

    header: that of a plate frame; linear: whether the plate is in linear light; resume: whether to continue the last
    version. Raises SettingError.
    """
    named = _named(out, delivery, source, resume)
    check_delivery(delivery, OutputPattern.parse(named).file_suffix, header, linear=linear)
    if LAYOUTS[delivery.layout].holds_all:
        patterns = {OutputPattern.parse(with_tokens(named, object=ALL_OBJECTS)): tuple(objects)}
    else:
        _check_one_object(delivery, named, objects)
        layers = layer_names(objects)
        patterns = {OutputPattern.parse(with_tokens(named, object=layers[name])): (name,) for name in objects}
    for pattern in patterns:
        pattern.check_portable()
    versioned = "version" in tokens_of(out) and not resume
    return Outputs(delivery, tuple(objects), patterns, source.padding, versioned)


def _named(out: str, delivery: Delivery, source: PlateSource, resume: bool) -> str:
    """Return the output name with {shot} and {version} replaced."""
    tokens = tokens_of(out)
    for token, given in (("shot", delivery.shot), ("version", delivery.version)):
        if given is not None and token not in tokens:
            raise SettingError(
                expected=f"{{{token}}} in the output name, to stand for {given!r}",
                came=out,
                action=f"Write it where the {token} belongs, or leave --{token} out.",
            )
    folder = source.paths(source.frames[:1])[0].parent
    named = with_tokens(out, shot=delivery.shot or shot_of(source.name, folder))
    return with_tokens(named, version=_version(named, delivery.version, resume)) if "version" in tokens else named


def _version(named: str, asked: int | None, resume: bool) -> int:
    """Return the version that was asked for, or else the next free one; for a run that is continued, its own."""
    taken = versions_taken(named)
    if asked is not None and (asked < 0 or (asked in taken and not resume)):
        raise SettingError(
            expected="a version that has no files yet",
            came=f"version {asked} of {named}",
            action="Leave --version out for the next free one, or go on with that run: --resume.",
        )
    if asked is not None:
        return asked
    if resume:
        return taken[-1] if taken else 1
    return taken[-1] + 1 if taken else 1


def _check_one_object(delivery: Delivery, named: str, objects: Sequence[str]) -> None:
    if len(objects) > 1 and "object" not in tokens_of(named):
        raise SettingError(
            expected=f"{{object}} in the output name: layout '{delivery.layout}' writes a file for each object",
            came=f"{len(objects)} objects for {named!r}",
            action="Write {object} where the object's name belongs, or take --layout layers or cryptomatte.",
        )


def next_version(out: str, delivery: Delivery, source: PlateSource) -> int | None:
    """Return the version that a new run would take; None if the output's name has no {version}. Raises SettingError."""
    if "version" not in tokens_of(out):
        return None
    folder = source.paths(source.frames[:1])[0].parent
    named = with_tokens(out, shot=delivery.shot or shot_of(source.name, folder))
    return _version(named, delivery.version, resume=False)
