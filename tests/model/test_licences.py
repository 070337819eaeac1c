# SPDX-License-Identifier: Apache-2.0
"""The licence policy and the one-time notice, read from real files and variables."""

import json
import logging
import os

import pytest

from matanyone_engine.errors import LicenceRefused, SettingError
from matanyone_engine.model.licences import ALLOWED_VARIABLE, read_policy, show_terms_once


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """A machine of our own: site and user configuration, user data."""
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "site"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv(ALLOWED_VARIABLE, raising=False)
    return tmp_path


def settings(folder, content):
    file = folder / "matanyone-engine" / "settings.json"
    file.parent.mkdir(parents=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


def test_without_a_policy_every_licence_is_allowed():
    policy = read_policy()
    policy.require("S-Lab-1.0", "matanyone")
    policy.require("unknown", "some file")


def test_a_studio_policy_refuses_other_licences_and_names_the_file(folders):
    file = settings(folders / "site", {"allowed_licenses": ["Apache-2.0"]})
    policy = read_policy()
    policy.require("apache-2.0", "mini")
    with pytest.raises(LicenceRefused, match=r"matanyone, whose licence is S-Lab-1\.0") as refusal:
        policy.require("S-Lab-1.0", "matanyone")
    assert str(file) in refusal.value.expected


def test_a_user_can_narrow_the_studio_policy_but_not_widen_it(folders, monkeypatch):
    settings(folders / "site", {"allowed_licenses": ["Apache-2.0", "MIT"]})
    settings(folders / "user", {"allowed_licenses": ["Apache-2.0", "S-Lab-1.0"]})
    monkeypatch.setenv(ALLOWED_VARIABLE, "Apache-2.0, MIT ,S-Lab-1.0")
    policy = read_policy()
    assert policy.allows("Apache-2.0")
    assert not policy.allows("S-Lab-1.0")
    assert not policy.allows("MIT")


def test_the_variable_alone_is_a_policy_and_blank_is_none(monkeypatch):
    monkeypatch.setenv(ALLOWED_VARIABLE, "Apache-2.0")
    assert not read_policy().allows("unknown")
    monkeypatch.setenv(ALLOWED_VARIABLE, "  ")
    assert read_policy().allows("unknown")


def test_an_empty_list_allows_nothing(folders):
    settings(folders / "site", {"allowed_licenses": []})
    assert not read_policy().allows("Apache-2.0")


def test_every_machine_wide_folder_counts(folders, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_DIRS", os.pathsep.join([str(folders / "site"), str(folders / "second")]))
    settings(folders / "second", {"allowed_licenses": ["MIT"]})
    assert not read_policy().allows("Apache-2.0")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"allowed_licences": ["Apache-2.0"]}',  # a misspelt name must not switch the policy off
        '{"allowed_licenses": "Apache-2.0"}',
        '{"allowed_licenses": [1]}',
    ],
)
def test_a_malformed_settings_file_is_an_error_that_names_it(folders, content):
    file = settings(folders / "site", content)
    with pytest.raises(SettingError) as error:
        read_policy()
    assert str(file) in str(error.value)


def test_terms_are_shown_once_and_again_when_they_change(caplog):
    with caplog.at_level(logging.WARNING, logger="matanyone_engine"):
        for terms in ("for study only", "for study only", "for nobody"):
            show_terms_once("matanyone", terms)
    assert [record.message for record in caplog.records] == ["for study only", "for nobody"]


def test_terms_are_shown_every_time_where_nothing_can_be_remembered(folders, caplog):
    (folders / "data").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING, logger="matanyone_engine"):
        show_terms_once("matanyone", "for study only")
        show_terms_once("matanyone", "for study only")
    assert len(caplog.records) == 2
