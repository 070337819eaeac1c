# SPDX-License-Identifier: Apache-2.0
"""Reads --overwrite and --accept-doubt, the options about existing files and about results that cannot be trusted."""

from __future__ import annotations

import argparse
from dataclasses import replace

from matanyone_engine.wire import messages as say


def add_result_options(parser: argparse._ActionsContainer) -> None:
    """Add --overwrite and --accept-doubt to a parser."""
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="Replace alphas that somebody has changed, and files that this engine did not write. Without it, "
        "changed alphas are kept, and files of others are an error.",
    )
    add_accept_doubt(parser)


def add_accept_doubt(parser: argparse._ActionsContainer) -> None:
    """Add --accept-doubt to a parser."""
    parser.add_argument(
        "--accept-doubt",
        action="store_true",
        help="End with exit code 0, not 13, when the confidence of an object is near zero on most of its frames.",
    )


def with_result_options(job: say.Job, args: argparse.Namespace) -> say.Job:
    """Return the job with --overwrite and --accept-doubt of the command line added."""
    overwrite = job.overwrite or getattr(args, "overwrite", False)
    return replace(job, overwrite=overwrite, accept_doubt=job.accept_doubt or args.accept_doubt)
