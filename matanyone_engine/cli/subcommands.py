# SPDX-License-Identifier: Apache-2.0
"""Adds commands below a command, such as `weights list`."""

from __future__ import annotations

import argparse


def add_subcommand(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, says: str
) -> argparse.ArgumentParser:
    """Add a command; the same sentence describes it in the list of commands and at the top of its own --help."""
    return commands.add_parser(name, help=says, description=says)
