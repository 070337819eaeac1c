# SPDX-License-Identifier: Apache-2.0
"""Adds a command below a command, such as `weights list`, whose own --help says what it does."""

from __future__ import annotations

import argparse


def add_subcommand(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, says: str
) -> argparse.ArgumentParser:
    """Add a command that says the same in the list of its neighbours and at the head of its own help."""
    return commands.add_parser(name, help=says, description=says)
