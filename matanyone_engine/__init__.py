# SPDX-License-Identifier: Apache-2.0
"""MatAnyone Engine turns one roto mask on one frame into an alpha for every frame of the shot.

    from matanyone_engine import matte
    matte("plate.####.exr", "mask.1001.exr@1001", "out/alpha.####.exr")

docs/python.md shows the rest. Importing this package loads no large library, so a host such as Nuke or Blender can
import it. torch is imported with the first name that needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from matanyone_engine.version import __version__

if TYPE_CHECKING:
    from matanyone_engine import errors as errors
    from matanyone_engine.client.client import EngineClient as EngineClient
    from matanyone_engine.client.launcher import find_engine as find_engine
    from matanyone_engine.jobs.job import MatteJob as MatteJob
    from matanyone_engine.jobs.job import plan_matte as plan_matte
    from matanyone_engine.jobs.one_call import matte as matte
    from matanyone_engine.jobs.run import run_matte as run_matte
    from matanyone_engine.matting.memory_policy import MemoryPolicy as MemoryPolicy
    from matanyone_engine.matting.session import MattingSession as MattingSession
    from matanyone_engine.media.color import NetworkView as NetworkView
    from matanyone_engine.media.masks import read_mask as read_mask
    from matanyone_engine.media.plates import open_plate as open_plate
    from matanyone_engine.memory.long_term import LongTermPolicy as LongTermPolicy
    from matanyone_engine.model.registry import load_network as load_network
    from matanyone_engine.model.registry import load_vetted as load_vetted

# Public name -> the module that defines it.
_PUBLIC = {
    "EngineClient": "client.client",
    "LongTermPolicy": "memory.long_term",
    "MatteJob": "jobs.job",
    "MattingSession": "matting.session",
    "MemoryPolicy": "matting.memory_policy",
    "NetworkView": "media.color",
    "find_engine": "client.launcher",
    "load_network": "model.registry",
    "load_vetted": "model.registry",
    "matte": "jobs.one_call",
    "open_plate": "media.plates",
    "plan_matte": "jobs.job",
    "read_mask": "media.masks",
    "run_matte": "jobs.run",
}

__all__ = [
    "EngineClient",
    "LongTermPolicy",
    "MatteJob",
    "MattingSession",
    "MemoryPolicy",
    "NetworkView",
    "__version__",
    "errors",
    "find_engine",
    "load_network",
    "load_vetted",
    "matte",
    "open_plate",
    "plan_matte",
    "read_mask",
    "run_matte",
]


def __getattr__(name: str) -> Any:
    """Import the module of a public name when the name is first used."""
    if name == "errors":
        return import_module("matanyone_engine.errors")
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"matanyone_engine.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, and the names that are loaded already."""
    return sorted({*globals(), *__all__})
