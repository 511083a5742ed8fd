"""docs/guide/profiles.md: each profile in it is one, and each figure is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from enforcer.oci.syscalls import NUMBERS
from enforcer.policy.parse import parse_profile
from tests import shipped

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "profiles.md"
TEXT = GUIDE.read_text()
PROFILES = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
INLINE = [code for code in re.findall(r"`([a-z]+: [^`]+)`", TEXT) if code.split(":")[0] != "exec"]
BASES = re.findall(r"^\| `((?:base/)?[a-z]+)` \|[^|]*\| (\d+) \|[^|]*\| (\d+) MiB, (\d+) \|$", TEXT, re.MULTILINE)


def test_there_is_something_to_test() -> None:
    assert len(PROFILES) == TEXT.count("```yaml") >= 7
    assert len(INLINE) >= 7
    assert {name for name, *_ in BASES} == {"default", "base/static", "base/shell", "base/python", "base/node"}


@pytest.mark.parametrize("text", PROFILES, ids=lambda text: re.findall(r"^name: (.*)$", text, re.MULTILINE)[0])
def test_each_profile_resolves(text: str) -> None:
    policy = shipped.resolved(text)
    assert "execve" in policy.syscalls.allowed


@pytest.mark.parametrize("text", INLINE)
def test_each_clause_is_one(text: str) -> None:
    assert parse_profile(f"profile: enforcer/v1\n{text}\n".encode(), "guide").sections


@pytest.mark.parametrize(("name", "calls", "memory", "pids"), BASES)
def test_the_table_of_bases_is_true(name: str, calls: str, memory: str, pids: str) -> None:
    policy = shipped.policy(name)
    assert int(calls) == sum(call in NUMBERS["x86_64"] for call in policy.syscalls.allowed)
    assert int(memory) << 20 == policy.resources.memory
    assert int(pids) == policy.resources.pids


def test_every_shipped_profile_has_its_command() -> None:
    named = set(re.findall(r"--policy ([a-z-]+) ", TEXT))
    assert named >= {name for name in shipped.NAMES if "/" not in name}


def test_every_command_of_a_profiles_head_is_in_the_guide() -> None:
    for name in shipped.NAMES:
        head = (shipped.POLICIES / f"{name}.yaml").read_text().partition("profile: enforcer/v1")[0]
        for used in re.findall(r"--policy (\S+)", head):
            assert used == name
