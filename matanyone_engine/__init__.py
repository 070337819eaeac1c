# SPDX-License-Identifier: Apache-2.0
"""MatAnyone Engine: one roto mask on one frame, an alpha for the whole shot.

Importing this package loads nothing heavy; torch arrives with the first name that needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from matanyone_engine.version import __version__

if TYPE_CHECKING:
    from matanyone_engine.matting.memory_policy import LongTermPolicy as LongTermPolicy
    from matanyone_engine.matting.memory_policy import MemoryPolicy as MemoryPolicy
    from matanyone_engine.matting.session import MattingSession as MattingSession
    from matanyone_engine.model.registry import load_network as load_network

# Public name -> the module that defines it.
_PUBLIC = {
    "MattingSession": "matanyone_engine.matting.session",
    "MemoryPolicy": "matanyone_engine.matting.memory_policy",
    "LongTermPolicy": "matanyone_engine.matting.memory_policy",
    "load_network": "matanyone_engine.model.registry",
}

__all__ = ["LongTermPolicy", "MattingSession", "MemoryPolicy", "__version__", "load_network"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
