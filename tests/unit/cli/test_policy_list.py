from __future__ import annotations

import json
from typing import TYPE_CHECKING

from enforcer.cli import policy_list
from tests import shipped
from tests.unit.cli.conftest import write

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_every_profile_is_there_with_what_it_is_for(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(place / "system/web.yaml", "description: a shop\nmatch: [{image: nginx:1.*}, {image: host}]\n")
    assert policy_list.run(["--format", "json"]) == 0
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(found) == {*shipped.NAMES, "web"}
    assert found["web"] == {
        "name": "web",
        "path": str(path),
        "description": "a shop",
        "matches": ["nginx:1.*", "host"],
        "error": "",
    }
    assert policy_list.run([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "DESCRIPTION", "FOR", "WHERE"]
    (row,) = [line for line in lines if line.startswith("web ")]
    assert row.split("  ")[-1].strip() == str(path)
    assert len({line.index("/") for line in lines[1:] if "nginx" not in line and not line.startswith("base/")}) == 1


def test_quiet_is_names_only(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert place
    assert policy_list.run(["--quiet"]) == 0
    assert capsys.readouterr().out.split() == shipped.NAMES


def test_a_broken_profile_is_shown_and_fails(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(place / "system/bad.yaml", "sycalls: {}\n")
    assert policy_list.run([]) == 125
    said = capsys.readouterr()
    assert "(broken)" in said.out
    assert "bad.yaml:3:1" in said.err
    assert "base/minimal" in said.out


def test_the_systems_profile_hides_a_shipped_one_of_its_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(place / "system/default.yaml")
    policy_list.run(["--format", "json"])
    (row,) = [row for row in json.loads(capsys.readouterr().out) if row["name"] == "default"]
    assert row["path"] == str(path)
