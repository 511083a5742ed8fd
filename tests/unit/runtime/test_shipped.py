from __future__ import annotations

from pathlib import Path

from enforcer.runtime import shipped


def test_profiles_and_checks_are_where_they_are_said_to_be() -> None:
    assert Path(shipped.policies(), "base/minimal.yaml").is_file()
    assert Path(shipped.policies()).is_absolute()
    assert Path(shipped.audits()).parent == Path(shipped.policies()).parent


def test_a_place_in_a_shipped_profile_is_said_shortly() -> None:
    assert shipped.short(f"{shipped.policies()}/base/minimal.yaml:9:7") == "base/minimal.yaml:9:7"
    assert shipped.short("/etc/enforcer/policies/x.yaml:1:1") == "/etc/enforcer/policies/x.yaml:1:1"
    assert shipped.short("built in") == "built in"
