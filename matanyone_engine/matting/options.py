# SPDX-License-Identifier: Apache-2.0
"""Names the options of a session, as they are stored in jobs, messages and snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from matanyone_engine.errors import SettingError
from matanyone_engine.matting.geometry import Geometry
from matanyone_engine.matting.held_frames import LARGEST_TOLERANCE
from matanyone_engine.matting.learned_refine import NAME as LEARNED
from matanyone_engine.matting.learned_refine import refined_size
from matanyone_engine.matting.refine import GuidedFilter
from matanyone_engine.matting.region import Region
from matanyone_engine.sizes import Resolution


class SessionOptions(Protocol):
    """Lists the keyword arguments of MattingSession, where they are explained."""

    @property
    def warm_up_passes(self) -> int | None: ...
    @property
    def working_size(self) -> int | None: ...
    @property
    def refine(self) -> bool: ...
    @property
    def region(self) -> Region | str | None: ...
    @property
    def hold_tolerance(self) -> float | None: ...


def keywords(options: SessionOptions) -> dict[str, Any]:
    """Return the options as keyword arguments for MattingSession and check_options."""
    return {
        "warm_up_passes": options.warm_up_passes,
        "working_size": options.working_size,
        "refine": options.refine,
        "region": options.region,
        "hold_tolerance": options.hold_tolerance,
    }


NAMES_OF_0_1_0 = {"settle_passes": "warm_up_passes"}
"""Names of options in snapshots of version 0.1.0, and their names now."""


def options_of_snapshot(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a snapshot under their present names."""
    return {NAMES_OF_0_1_0.get(name, name): value for name, value in options.items()}


def check_options(
    warm_up_passes: int | None,
    working_size: int | None,
    refine: bool,
    region: Region | str | None,
    hold_tolerance: float | None,
) -> Region:
    """Raise SettingError for invalid options; return the region, parsed if it was given as text."""
    if warm_up_passes is not None:
        _check_option("warm_up_passes", warm_up_passes, minimum=0)
    if working_size is not None:
        _check_option("working_size", working_size, minimum=16)
    if hold_tolerance is not None and not 0 <= hold_tolerance <= LARGEST_TOLERANCE:
        raise SettingError(
            expected=f"a hold tolerance from 0 to {LARGEST_TOLERANCE}, where 1 is display white",
            came=str(hold_tolerance),
            action="Leave it at 0 to find exact repeats only; 0.004 is one 8-bit step.",
        )
    return region if isinstance(region, Region) else Region.parse(region)


def check_region(region: Region, plate: Resolution, working_size: int | None) -> None:
    """Raise SettingError for a region outside of plates of this size."""
    region.check(Geometry.of(plate.size, working_size))


def describe_density(options: SessionOptions, plate: Resolution, core_size: int | None, *, learned: bool) -> str:
    """Return a text about the working size and the way back to the plate's size: '1920x1080 of 3840x2160, refined
    (...)'.

    core_size: that of the network; learned: whether the network has a refiner.
    """
    geometry = Geometry.of(plate.size, options.working_size, core_size)
    refined = f"refined ({LEARNED if learned else GuidedFilter().name})" if options.refine else ""
    if not geometry.scaled:
        return f"{plate}, every pixel" + (f", {refined}" if refined and learned else "")
    if geometry.enlarged:
        return f"{plate}, enlarged to {geometry.working}" + (f", {refined}" if refined and learned else "")
    if refined and learned and (at := refined_size(geometry.working, plate.size, core_size)) != plate.size:
        refined += f" at {at}"
    return f"{geometry.working} of {plate}, {refined or 'enlarged bilinearly'}"


def _check_option(name: str, value: int, *, minimum: int) -> None:
    if value < minimum:
        raise SettingError(expected=f"{name} of at least {minimum}", came=str(value), action="Correct the option.")
