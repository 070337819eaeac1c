# SPDX-License-Identifier: Apache-2.0
"""Reads which licences may be used on this machine, and shows a model's terms once to each user.

A policy prevents mistakes; it does not stop a user who means to get around it. It is read from
  MATANYONE_ENGINE_ALLOWED_LICENSES     licence ids, separated by commas (blank counts as not set)
  settings.json                         {"allowed_licenses": ["Apache-2.0"]} in the machine's and in the user's
                                        configuration folders (site_config_dir and user_config_dir of platformdirs)

Rules of this file:
1. A licence must be allowed by every source that exists: a user can narrow the studio's policy, never widen it.
2. A settings file that cannot be read is an error; it does not mean that there is no policy.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import PlatformDirs

from matanyone_engine.errors import LicenceRefused, SettingError

APP = "matanyone-engine"
ALLOWED_VARIABLE = "MATANYONE_ENGINE_ALLOWED_LICENSES"
ALLOWED_SETTING = "allowed_licenses"

UNKNOWN = "unknown"
"""The licence id of a file that is not a registered model; a policy may list it."""

_log = logging.getLogger("matanyone_engine")


@dataclass(frozen=True)
class Allowance:
    """Holds the licences that one source of the policy allows."""

    source: str
    licences: tuple[str, ...]

    def allows(self, licence: str) -> bool:
        return licence.casefold() in {allowed.casefold() for allowed in self.licences}


@dataclass(frozen=True)
class LicencePolicy:
    """Holds all sources of the policy on this machine; without any, every licence is allowed."""

    allowances: tuple[Allowance, ...]

    def allows(self, licence: str) -> bool:
        return all(allowance.allows(licence) for allowance in self.allowances)

    def require(self, licence: str, what: str) -> None:
        """Raise LicenceRefused, naming the source that does not allow the licence of `what`."""
        for allowance in self.allowances:
            if not allowance.allows(licence):
                raise LicenceRefused(
                    expected=f"a licence allowed by {allowance.source}: {', '.join(allowance.licences) or 'none'}",
                    came=f"{what}, whose licence is {licence}",
                    action="Use another model (matanyone-engine weights list), or ask whoever keeps the policy.",
                )


def read_policy() -> LicencePolicy:
    """Return this machine's policy. Raises SettingError for a settings file that cannot be read."""
    variable = os.environ.get(ALLOWED_VARIABLE, "")
    allowances = (
        [Allowance(f"the environment variable {ALLOWED_VARIABLE}", _split(variable))] if variable.strip() else []
    )
    found = (_read_settings(file) for file in settings_files())
    return LicencePolicy((*allowances, *(allowance for allowance in found if allowance)))


def settings_files() -> list[Path]:
    """List the paths at which settings are looked for, the machine's first. The files need not exist."""
    folders = PlatformDirs(APP, appauthor=False, multipath=True)
    machine = [Path(folder) for folder in folders.site_config_dir.split(os.pathsep)]
    return [folder / "settings.json" for folder in [*machine, folders.user_config_path]]


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _read_settings(file: Path) -> Allowance | None:
    try:
        settings = json.loads(file.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise _settings_error(file, f"a file that cannot be read ({error})") from error
    if not isinstance(settings, dict):
        raise _settings_error(file, f"a {type(settings).__name__}")
    # A misspelt name must not switch the policy off.
    unknown = sorted(settings.keys() - {ALLOWED_SETTING})
    if unknown:
        raise _settings_error(file, f"the unknown name {unknown[0]!r}")
    if ALLOWED_SETTING not in settings:
        return None
    allowed = settings[ALLOWED_SETTING]
    if not isinstance(allowed, list) or not all(isinstance(licence, str) for licence in allowed):
        raise _settings_error(file, f"{ALLOWED_SETTING}: {json.dumps(allowed)[:80]}")
    return Allowance(str(file), tuple(allowed))


def _settings_error(file: Path, came: str) -> SettingError:
    return SettingError(
        expected=f'{file} to hold a JSON object like {{"{ALLOWED_SETTING}": ["Apache-2.0"]}}',
        came=came,
        action="Correct the file or ask whoever keeps it; until then no model is loaded.",
    )


def show_terms_once(name: str, terms: str) -> None:
    """Log a model's terms as a warning, the first time this user loads the model.

    A file in the user's data folder records that. Where it cannot be written, the terms are logged every time.
    """
    marker = user_data_folder() / "terms-shown" / f"{name}.txt"
    try:
        if marker.read_text(encoding="utf-8") == terms:
            return
    except (OSError, ValueError):
        pass  # they were not shown yet, or the record cannot be read
    _log.warning("%s", terms)
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(terms, encoding="utf-8")
    except OSError as error:
        _log.debug("cannot remember that the terms of %s were shown: %s", name, error)


def user_data_folder() -> Path:
    """Return this user's folder for the engine's data."""
    return PlatformDirs(APP, appauthor=False).user_data_path
