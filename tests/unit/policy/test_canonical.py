from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from enforcer.policy.canonical import canonical, digest, to_document
from enforcer.policy.parse import parse_profile
from enforcer.policy.profile import ArgumentCondition, SyscallGrant
from tests.unit.policy.test_parse import WHOLE
from tests.unit.policy.test_resolve import policy
from tests.unit.policy.test_schema import VALIDATOR

if TYPE_CHECKING:
    from enforcer.policy.profile import Policy

BASES = {"base/python": "syscalls: {base: default}"}


@pytest.fixture(scope="module")
def whole() -> Policy:
    return policy(parse_profile(WHOLE.encode(), "web.yaml"), BASES, directory="/srv")


def again(found: Policy) -> Policy:
    return policy(parse_profile(json.dumps(to_document(found)).encode(), "again.json"))


def test_the_document_resolves_to_the_same_policy(whole: Policy) -> None:
    assert again(whole) == whole
    assert again(policy("")) == policy("")


def test_the_document_is_valid(whole: Policy) -> None:
    VALIDATOR.validate(to_document(whole))


def test_nothing_is_left_unsaid() -> None:
    document = to_document(policy(""))
    assert document == {
        "profile": "enforcer/v1",
        "name": "unnamed",
        "run": {"user": "65532:65532", "init": False},
        "environment": {"pass": [], "set": {}},
        "syscalls": {"base": "none", "architectures": [], "allow": ["exit_group", "read", "write"], "violation": "errno EPERM"},
        "capabilities": [],
        "filesystem": {
            "root": "read-only",
            "mounts": [],
            "paths": {"read": ["/"], "write": ["/"], "execute": ["/"]},
            "devices": [],
        },
        "network": {"egress": [], "ingress": [], "share": "none"},
        "user_namespace": "auto",
        "namespaces": dict.fromkeys(("cgroup", "ipc", "pid", "time", "uts"), "private"),
        "resources": {},
    }


def test_conditional_system_calls_stand_together() -> None:
    args = "args: [{index: 0, op: '&==', mask: 6, value: 0}, {index: 1, op: ==, value: 1}]"
    bpf = "{names: [bpf], args: [{index: 0, op: '>', value: 2}]}"
    assert to_document(policy(f"syscalls: {{base: none, allow: [{{names: [open, creat], {args}}}, {bpf}]}}"))["syscalls"][
        "allow"
    ] == [
        {"names": ["bpf"], "args": [{"index": 0, "op": ">", "value": 2}]},
        {
            "names": ["creat", "open"],
            "args": [{"index": 0, "op": "&==", "value": 0, "mask": 6}, {"index": 1, "op": "==", "value": 1}],
        },
    ]


def test_one_condition_written_in_two_orders_is_one() -> None:
    first, second = ArgumentCondition(0, "==", 1), ArgumentCondition(1, "==", 2)
    grant = SyscallGrant(frozenset({(first, second), (second, first), (first, second, first)}))
    found = policy("syscalls: {base: none}")
    found = replace(found, syscalls=replace(found.syscalls, allowed={"bpf": grant}))
    assert [entry["names"] for entry in to_document(found)["syscalls"]["allow"]] == [["bpf"]]
    assert to_document(again(found)) == to_document(found)


def test_the_digest_does_not_depend_on_how_it_is_written() -> None:
    first = [
        "capabilities: [KILL, CHOWN]",
        "network: {egress: [{host: a.b, ports: [2, 1]}]}",
        "resources: {cpus: 1.50, memory: 1MiB}",
    ]
    second = ["resources: {memory: 1024KiB, cpus: 1.5}", "capabilities: [CAP_CHOWN, KILL]"]
    second += ["network: {egress: [{host: a.b, ports: [1, 2/tcp]}]}"]
    one, two = policy("\n".join(first)), policy("\n".join(second))
    assert digest(one) == digest(two)
    assert digest(one).startswith("sha256:")
    assert canonical(one) == canonical(two)


@pytest.mark.parametrize(
    "text",
    [
        "name: other",
        "run: {init: true}",
        "environment: {set: {A: ''}}",
        "syscalls: {allow: [bpf]}",
        "syscalls: {violation: kill}",
        "syscalls: {architectures: [x86]}",
        "capabilities: [KILL]",
        "filesystem: {root: ephemeral}",
        "filesystem: {paths: {read: [/], write: [/]}}",
        "network: {share: host}",
        "user_namespace: host",
        "namespaces: {time: host}",
        "resources: {time: 5s}",
        "phases: {ready: {after: 5s}, then: {syscalls: {deny: [read]}}}",
    ],
)
def test_every_difference_changes_the_digest(text: str) -> None:
    assert digest(policy(text)) != digest(policy(""))


def test_bounds_that_no_float_holds_exactly() -> None:
    for cpus in (10, 15, 333, 1001, 4_095_999):
        bounded = policy("")
        bounded = replace(bounded, resources=replace(bounded.resources, cpus=cpus))
        assert again(bounded).resources.cpus == cpus
