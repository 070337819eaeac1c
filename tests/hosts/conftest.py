# SPDX-License-Identifier: Apache-2.0
"""Gives the extension's tests their Blenders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from blender_extension import BLENDERS, Blender, extension_zip
from blender_host import Host
from flamenco_manager import Manager, manager_running


@pytest.fixture(scope="session")
def zip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return extension_zip(tmp_path_factory.mktemp("dist"))


def host_of(blender: Blender, request: pytest.FixtureRequest) -> Host:
    if blender.missing:
        pytest.skip(blender.missing)
    return Host(blender, request.getfixturevalue("zip_file"))


@pytest.fixture
def manager() -> Iterator[Manager]:
    with manager_running() as running:
        yield running


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Host:
    return host_of(BLENDERS[0], request)


@pytest.fixture(scope="module")
def host_of_module(request: pytest.FixtureRequest) -> Host:
    return host_of(BLENDERS[0], request)


@pytest.fixture(scope="module", params=BLENDERS, ids=lambda blender: blender.version)
def each_host(request: pytest.FixtureRequest) -> Host:
    return host_of(request.param, request)
