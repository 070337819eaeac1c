# SPDX-License-Identifier: Apache-2.0
"""The command line: reads the arguments, does the work, and prints results, errors and exit codes."""
