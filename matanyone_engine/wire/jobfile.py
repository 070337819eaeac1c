# SPDX-License-Identifier: Apache-2.0
"""Reads and writes job files: a host writes them, `matanyone-engine run` runs them on any machine (docs/job_file.md).

    {"format": "matanyone-job", "version": 1,
     "roots": [{"linux": "/mnt/show", "windows": "P:/show"}],
     "job": {"plate": "P:/show/sh010/plate.####.exr", "mask": "roto.exr", "mask_frame": 1001, "out": "out/a.####.exr"}}

Rules of this file:
1. `job` is messages.Job without what belongs to one run of it (RUN_FIELDS): a new field of Job is a field of job files.
2. What comes in is checked as strictly as a message: a field nobody knows is an error, since an alpha without what was
   asked for would be a wrong one.
3. A path means the same on every machine: relative to the file's folder, or found through roots; else it is an error.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from .codec import from_fields, non_default_fields, read_object
from .errors import Code, WireError
from .limits import check_values
from .messages import Job

FORMAT = "matanyone-job"
VERSION = 1
RUN_FIELDS = ("nonce", "resume")
"""Fields of Job that are not in a file: whoever runs it fills them."""
BYTE_ORDER_MARK = "\ufeff"
"""Some editors on Windows begin every text file with it."""
LICENCES = ("any", "commercial")
"""What Job.licence may be."""


@dataclass(frozen=True)
class Root:
    """Holds the names of one folder on the machines of a studio. Below each of them, the same path is the same file."""

    linux: Optional[str] = None
    macos: Optional[str] = None
    windows: Optional[str] = None


@dataclass(frozen=True)
class PathRule:
    """Translates the beginning of a path for this machine. It comes from the farm, not from the job file."""

    source: str
    destination: str


@dataclass(frozen=True)
class JobFile:
    """Holds the contents of a job file."""

    job: Job
    """Its nonce is '' and it does not resume."""
    roots: tuple[Root, ...] = ()
    written_by: str = ""
    """The program that wrote it, for people."""


def read_job_file(text: str) -> JobFile:
    """Read a job file's text, also with a byte order mark. Raises WireError (bad-input) for anything not right."""
    try:
        fields = read_object(text.removeprefix(BYTE_ORDER_MARK))
    except (ValueError, RecursionError) as error:
        raise _bad(f"no JSON object: {str(error)[:120]}") from error
    _check_format(fields)
    job = fields.get("job")
    if isinstance(job, dict):
        own = sorted(set(job) & set(RUN_FIELDS))
        if own:
            raise _bad(f"job.{own[0]}, which belongs to one run of a job")
        fields["job"] = {**job, "nonce": ""}
    try:
        file: JobFile = from_fields(JobFile, fields, "the file")
        check_values(file)
    except WireError as error:
        raise _bad(error.message.replace("the file.", "")) from error
    _check_licence(file.job.licence)
    return file


def write_job_file(file: JobFile) -> str:
    """Return the text of a job file; fields at their default are left out."""
    fields: dict[str, Any] = {"format": FORMAT, "version": VERSION, **non_default_fields(file)}
    fields["job"] = {name: value for name, value in non_default_fields(file.job).items() if name not in RUN_FIELDS}
    return json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False, default=non_default_fields) + "\n"


def _check_format(fields: dict[str, Any]) -> None:
    form, version = fields.pop("format", None), fields.pop("version", None)
    if form != FORMAT:
        raise _bad(f"format {form!r:.60}, not {FORMAT!r}")
    if type(version) is not int or version < 1:
        raise _bad(f"version {version!r:.60}")
    if version > VERSION:
        raise WireError(
            Code.BAD_INPUT,
            f"expected a job file of version 1 to {VERSION}, got {version}",
            "Update matanyone-engine on this machine: a newer one wrote the file.",
        )


def _check_licence(licence: str) -> None:
    if licence not in LICENCES:
        raise _bad(f"job.licence {licence!r:.60}, not {' or '.join(map(repr, LICENCES))}")


def _bad(came: str) -> WireError:
    action = "Correct it (docs/job.schema.json), or write it again: matanyone-engine matte ... --save-job FILE."
    return WireError(Code.BAD_INPUT, f"expected a job file, got {came}", action)


# ------------------------------------------------------------------------------------------------ paths


def with_paths(job: Job, change: Callable[[str], str]) -> Job:
    """Return the job with every path changed. Paths that are not given stay empty."""

    def new(path: Optional[str]) -> Optional[str]:
        return change(path) if path else path

    keys = tuple(dataclasses.replace(key, file=change(key.file)) for key in job.keys)
    objects = tuple(
        dataclasses.replace(
            each,
            inside=new(each.inside),
            outside=new(each.outside),
            guide=new(each.guide),
            refine_area=new(each.refine_area),
        )
        for each in job.objects
    )
    mask = change(job.mask) if job.mask else ""
    return dataclasses.replace(job, plate=change(job.plate), mask=mask, out=change(job.out), keys=keys, objects=objects)


def job_here(file: JobFile, folder: str, rules: Sequence[PathRule] = (), system: str = "") -> Job:
    """Return the job with absolute paths of this machine.

    folder: the file's own, for relative paths. rules: go before the file's roots, the longest first.
    system: 'linux', 'macos' or 'windows'; '' is this machine's. Raises WireError (bad-input).
    """
    system = system or _this_system()
    ordered = sorted(rules, key=lambda rule: -len(rule.source))

    def here(path: str) -> str:
        for rule in ordered:
            rest = _below(path, rule.source)
            if rest is not None:
                _check_inside(path, rest)
                return _joined(rule.destination, rest)
        found = _through_roots(path, file.roots, system)
        if found is not None:
            return found
        if not _is_absolute(path):
            return os.path.normpath(os.path.join(folder, path))  # noqa: PTH118 (text with #### in it, not a file)
        if _is_windows(path) != (system == "windows"):
            raise WireError(
                Code.BAD_INPUT,
                f"expected a path of this machine ({system}), got {path!r}",
                "Say in the job file's roots what its folder is called here, or run it with --path-rules.",
            )
        return path

    job = with_paths(file.job, here)
    return dataclasses.replace(job, model=here(job.model)) if is_file_name(job.model) else job


def is_file_name(model: str) -> bool:
    """Return whether a job's model is a file of weights, not a name that every machine knows."""
    return "/" in model or "\\" in model


def read_path_rules(text: str) -> tuple[PathRule, ...]:
    """Read path mapping rules of Open Job Description (pathmapping-1.0). Raises WireError (bad-input)."""
    try:
        rules = json.loads(text.removeprefix(BYTE_ORDER_MARK)).get("path_mapping_rules", [])
        return tuple(PathRule(str(rule["source_path"]), str(rule["destination_path"])) for rule in rules)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WireError(
            Code.BAD_INPUT,
            f"expected path mapping rules, got something else ({type(error).__name__}: {error})",
            "Give the file that {{Session.PathMappingRulesFile}} names.",
        ) from error


def _through_roots(path: str, roots: Sequence[Root], system: str) -> Optional[str]:
    for root in roots:
        ours = getattr(root, system)
        for theirs in (root.linux, root.macos, root.windows):
            rest = _below(path, theirs) if theirs and ours else None
            if rest is not None:
                _check_inside(path, rest)
                return _joined(ours, rest)
    return None


def _check_inside(path: str, rest: str) -> None:
    """Raise WireError for a path that leaves the folder that a rule or a root stands for."""
    if ".." in _slashed(rest).split("/"):
        raise WireError(
            Code.BAD_INPUT,
            f"expected a path inside the folder that is mapped, got {path!r} with '..'",
            "Write the path without '..'.",
        )


def _below(path: str, folder: str) -> Optional[str]:
    """Return what follows the folder in the path, '' for itself; None where it does not lie there. Names are taken
    whole.
    """
    windows = _is_windows(folder)
    names, above = (_names(path, windows), _names(folder, windows))
    fold = str.casefold if windows else str
    if len(names) < len(above) or any(fold(ours) != fold(theirs) for ours, theirs in zip(names, above)):
        return None
    return "/".join(names[len(above) :])


def _names(path: str, windows: bool) -> list[str]:
    """Split a path folder by folder; '' comes first for a path that begins with a slash."""
    return (_slashed(path) if windows else path).rstrip("/").split("/")


def _joined(folder: str, rest: str) -> str:
    folder = _slashed(folder) if _is_windows(folder) else folder
    return f"{folder.rstrip('/')}/{rest}" if rest else folder


def _slashed(path: str) -> str:
    return path.replace("\\", "/")


def _is_windows(path: str) -> bool:
    """Return whether it is a full path as Windows has them: P:/show, P:\\show, \\\\server\\share, //server/share."""
    return path[1:2] == ":" or path.startswith(("\\\\", "//"))


def _is_absolute(path: str) -> bool:
    return path.startswith("/") or _is_windows(path)


def _this_system() -> str:
    return {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")
