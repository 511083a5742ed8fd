"""Every profile that ships: what it must say, and what it must stay within. Its filter is compared in tests/unit/plan."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from enforcer.policy.compare import covers
from enforcer.policy.parse import parse_profile
from tests import shipped
from tests.unit.policy.test_parse_guide import PROFILES

LISTS = ("base/minimal", "base/default", "base/moby")  # system calls and nothing else
WHOLE = [name for name in shipped.NAMES if name not in LISTS]
BOUND = next(text for text in PROFILES if "name: shipped-bound\n" in text)


def within(inner: str, outer: str, *, section: str = "") -> list[str]:
    """What the first shipped profile grants beyond the second, in one section or in all."""
    found = covers(shipped.policy(outer), shipped.policy(inner))
    return [example.what for example in found if example.section.startswith(section)]


def test_what_the_issue_asks_for_is_there() -> None:
    bases = {"base/minimal", "base/shell", "base/python", "base/node", "base/static"}
    assert bases | {"default", "pip-install", "npm-install", "web-application", "data-conversion", "compiler"} <= {
        *shipped.NAMES
    }


@pytest.mark.parametrize("name", shipped.NAMES)
def test_it_says_what_it_is(name: str) -> None:
    text = (shipped.POLICIES / f"{name}.yaml").read_text()
    profile = parse_profile(text.encode(), name)
    assert profile.name == name.rpartition("/")[2]
    assert 20 <= len(profile.description) <= 100
    assert not profile.description.endswith(".")
    assert text.startswith("# ")
    assert profile.match == ()


@pytest.mark.parametrize("name", WHOLE)
def test_each_section_has_its_reason(name: str) -> None:
    """A comment stands above each section or within it; the header and what needs no word aside."""
    text = (shipped.POLICIES / f"{name}.yaml").read_text().partition("description:")[2]
    sections = re.split(r"\n(?=\n|#)", text)
    for section in sections:
        if re.search(r"^(syscalls|filesystem|network|capabilities):", section, re.MULTILINE):
            assert "#" in section, section


@pytest.mark.parametrize("name", WHOLE)
def test_it_grants_nothing_that_leads_out(name: str) -> None:
    policy = shipped.policy(name)
    assert policy.run.user == "65532:65532"
    assert policy.run.init
    assert not policy.capabilities
    assert not policy.network.egress
    assert policy.network.share == "none"
    assert {getattr(policy.namespaces, kind) for kind in ("user", "pid", "ipc", "uts", "cgroup", "time")} == {"private"}
    assert not policy.syscalls.architectures
    assert policy.syscalls.violation == "errno EPERM"
    assert not policy.filesystem.devices
    assert {mount.kind for mount in policy.filesystem.mounts} <= {"tmpfs", "volume"}


@pytest.mark.parametrize("name", WHOLE)
def test_nothing_that_can_be_written_can_be_executed(name: str) -> None:
    policy = shipped.policy(name)
    assert policy.filesystem.root == "read-only"
    assert [mount.at for mount in policy.filesystem.mounts if mount.access == "write" and mount.execute] == []


@pytest.mark.parametrize("name", WHOLE)
def test_it_has_bounds(name: str) -> None:
    resources = shipped.policy(name).resources
    assert None not in (resources.memory, resources.pids, resources.processes, resources.cpus, resources.open_files)


@pytest.mark.parametrize("name", WHOLE)
def test_it_stays_within_the_bound_of_the_guide(name: str) -> None:
    assert [example.what for example in covers(shipped.resolved(BOUND), shipped.policy(name))] == []


@pytest.mark.parametrize(
    "clause",
    [
        "capabilities: [NET_RAW]",
        "run: {user: 0:0}",
        "environment: {pass: [HOME]}",
        "syscalls: {allow: [ptrace]}",
        "filesystem: {root: ephemeral}",
        "filesystem: {mounts: [{bind: /etc, at: /host}]}",
        "filesystem: {devices: [/dev/fuse]}",
        "network: {egress: [{host: example.org, ports: [443]}]}",
        "network: {share: host}",
        "user_namespace: host",
        "resources: {memory: 4GiB}",
    ],
)
def test_the_bound_is_one(clause: str) -> None:
    wider = shipped.resolved(f"profile: enforcer/v1\nextends: default\n{clause}\n")
    assert len(covers(shipped.resolved(BOUND), wider)) == 1


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("base/minimal", "base/default"),
        ("base/default", "base/moby"),
        ("base/static", "base/minimal"),
        ("base/static", "base/shell"),
        ("base/shell", "base/default"),
        ("base/python", "base/default"),
        ("base/node", "base/default"),
        ("default", "base/default"),
        ("data-conversion", "base/default"),
        ("npm-install", "base/node"),
        ("pip-install", "base/python"),
    ],
)
def test_whose_system_calls_are_within_whose(inner: str, outer: str) -> None:
    assert within(inner, outer, section="syscalls") == []


def test_a_wider_list_is_seen() -> None:
    assert within("base/default", "base/minimal", section="syscalls")
    assert within("base/static", "base/shell") == []


def test_a_list_bounds_nothing_by_itself() -> None:
    for name in LISTS:
        policy = shipped.policy(name)
        assert replace(policy.resources, clauses={}) == replace(
            shipped.resolved("profile: enforcer/v1\n").resources, clauses={}
        )
