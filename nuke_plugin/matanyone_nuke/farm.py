# SPDX-License-Identifier: Apache-2.0
"""Writes what a farm needs to matte without Nuke: the rendered inputs, and a job file for each view. Main thread only.

matanyone-engine run FILE carries it out, on a machine with a GPU and no Nuke licence; the comp then reads mattes.
"""

from __future__ import annotations

import dataclasses
import os
from typing import List

from . import export, plan
from .frames import with_view
from .guide_keys import with_keys_of_guides
from .jobs import job_of


def save_job_files(identity: str, planned: plan.Plan, written_by: str) -> List[str]:
    """Render all inputs, then write the files; their paths. Raises PlanError, ExportError, Cancelled."""
    jobfile = _jobfile()
    views = tuple(view or planned.scene.view for view in planned.views)
    for chunk in planned.chunks:
        export.render_all(identity, chunk.exports, views)
    planned = with_keys_of_guides(planned)
    paths = []
    for view in planned.views:
        job = dataclasses.replace(job_of(planned, planned.chunks[-1], view), nonce="")
        text = jobfile.write_job_file(jobfile.JobFile(job, (), written_by))
        paths.append(_written(with_view(job_path(planned, view), view), text))
    return paths


def job_path(planned: plan.Plan, view: object) -> str:
    """Return the job file beside the matte, by its name: alpha.job.json, alpha.left.job.json."""
    folder = plan.export_folder(planned.scene.matte)
    return folder[: -len("_export")] + ("" if view is None else ".%V") + ".job.json"


def _jobfile():  # type: ignore[no-untyped-def]
    try:
        from .engine.wire import jobfile
    except (ImportError, AttributeError):
        raise plan.PlanError("Nuke 14 or later, to save jobs", "an older Python", "Matte from Nuke instead.")
    return jobfile


def _written(path: str, text: str) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = path + ".tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)
    return path
