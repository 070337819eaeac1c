# SPDX-License-Identifier: Apache-2.0
"""Runs the command line as python -m matanyone_engine."""

import sys

from matanyone_engine.cli.main import main

sys.exit(main())
