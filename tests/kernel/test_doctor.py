"""`enforcer doctor` on this host, and on one where something is missing."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from enforcer.cli import doctor
from enforcer.errors import UsageError
from enforcer.linux import attempt, probe
from enforcer.runtime import profiles

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT = "profile: enforcer/v1\nname: default\nsyscalls: {base: default}\n"
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root sees both columns")


@pytest.fixture(name="site", autouse=True)
def own_default_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped bases, below a default profile of the test's own; no ceiling."""
    monkeypatch.setattr(profiles, "SYSTEM", str(tmp_path))
    monkeypatch.setattr(profiles, "CEILING", str(tmp_path / "no-ceiling.yaml"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    (tmp_path / "default.yaml").write_text(DEFAULT)
    return tmp_path


def documented(capsys: pytest.CaptureFixture[str], expected: int) -> dict[str, Any]:
    assert doctor.run(["--format", "json"]) == expected
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@root
def test_root_sees_itself_and_an_ordinary_user(capsys: pytest.CaptureFixture[str]) -> None:
    rootful, rootless = documented(capsys, 0)["callers"]
    assert rootful["facts"]["rootful"]
    assert not rootless["facts"]["rootful"]
    assert rootless["facts"]["uid"] != 0
    assert rootful["default_profile"]["enforceable"]
    states = {mechanism["name"]: mechanism["state"] for mechanism in rootful["mechanisms"]}
    assert set(states.values()) == {"holds"}


@root
def test_text_has_a_line_for_each_mechanism_and_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:3] == ["memory", "limit", "holds"] for line in lines)
    assert any("systemd-run --user --scope" in line for line in lines)


@root
def test_a_bound_that_an_ordinary_user_cannot_have_fails_for_it_alone(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "default.yaml").write_text(DEFAULT + "resources: {memory: 64MiB}\n")
    rootful, rootless = documented(capsys, 0)["callers"]
    assert rootful["default_profile"]["enforceable"]
    assert not rootless["default_profile"]["enforceable"]
    (failing,) = [clause for clause in rootless["default_profile"]["clauses"] if clause["verdict"] != "enforced"]
    assert failing["path"] == "resources.memory"


def test_a_default_profile_that_cannot_be_read_is_no_traceback(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "default.yaml").write_text("profile: enforcer/v1\nname: default\nsycalls: {}\n")
    assert documented(capsys, 1)["callers"][0]["default_profile"]["error"].startswith(str(site))
    assert doctor.run([]) == 1
    assert "sycalls" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--format", "yaml"], ["here"], ["--frmat", "json"]])
def test_what_the_command_does_not_know_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError):
        doctor.run(words)


def test_a_host_without_user_namespaces_fails(capfd: pytest.CaptureFixture[str]) -> None:
    def forbidden() -> None:
        attempt.enter_user_namespace()
        attempt.write("/proc/sys/user/max_user_namespaces", "0")
        os.write(1, f"exit {doctor.run(['--format', 'text'])}\n".encode())

    assert attempt.holds(forbidden)
    assert "exit 1" in capfd.readouterr().out


@root
def test_the_ordinary_user_is_measured_as_it_is() -> None:
    facts = probe.host_facts_as(65534, 65534, "/nonexistent/store")
    assert facts is not None
    assert (facts.uid, facts.rootful, facts.other_groups) == (65534, False, False)
    assert "user" in facts.namespaces
