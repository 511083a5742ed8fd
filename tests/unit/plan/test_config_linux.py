from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from enforcer.oci.seccomp import read
from enforcer.plan.cgroup_devices import DEFAULT_DEVICES, DeviceRule
from enforcer.policy import order_syscalls
from enforcer.policy.from_oci import granted
from tests import shipped
from tests.plans import HOST, SINGLE, SUBORDINATE, V1, plan

if TYPE_CHECKING:
    from enforcer.plan.host import HostFacts

ALL = {"mount", "user", "pid", "ipc", "uts", "cgroup", "time", "network"}


def linux(text: str = "", facts: HostFacts = HOST, **changed: Any) -> dict[str, Any]:
    found: dict[str, Any] = plan(text, facts, **changed).config["linux"]
    return found


def namespaces(text: str) -> set[str]:
    return {one["type"] for one in linux(text)["namespaces"]}


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("", set()),
        ("user_namespace: host\nnamespaces: {pid: host, time: host}", {"user", "pid", "time"}),
        ("network: {share: host}", {"network"}),
        ("user_namespace: host", {"user"}),
    ],
)
def test_private_namespaces_are_made(text: str, shared: set[str]) -> None:
    assert namespaces(text) == ALL - shared


def maps(facts: HostFacts, text: str = "") -> list[list[tuple[int, int, int]]]:
    section = linux(text, facts)
    names = [name for name in ("uidMappings", "gidMappings") if name in section]
    return [[(one["containerID"], one["hostID"], one["size"]) for one in section[name]] for name in names]


def test_ids_are_mapped_as_the_program_maps_them() -> None:
    assert maps(HOST) == [[(0, 1 << 20, 65536)]] * 2
    assert maps(SUBORDINATE) == [[(0, 1000, 1), (1, 100000, 65535)], [(0, 1000, 1), (1, 200000, 65535)]]
    assert maps(SINGLE) == [[(65532, 1000, 1)]] * 2
    assert maps(HOST, "user_namespace: host") == []


def test_the_filter_is_the_policys() -> None:
    """Read back, the document grants what the policy grants."""
    policy = shipped.policy("base/minimal").syscalls
    found = granted(read(linux("extends: base/minimal")["seccomp"], "config.json"))
    assert list(order_syscalls.beyond(found, policy)) == []
    assert list(order_syscalls.beyond(policy, found)) == []
    assert set(found.allowed) == set(policy.allowed)


def test_devices_are_refused_but_for_those_granted() -> None:
    rule = DeviceRule("c", 10, 229, "rw")
    section = linux("filesystem: {devices: [/dev/fuse]}", device_rules=(rule,))
    assert section["devices"] == [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]
    first, *allowed = section["resources"]["devices"]
    assert first == {"allow": False, "access": "rwm"}
    assert len(allowed) == len(DEFAULT_DEVICES) + 1
    assert all("m" not in one["access"] for one in allowed)
    assert allowed[-1] == {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}


@pytest.mark.parametrize("facts", [HOST, V1])
def test_bounds_are_control_groups(facts: HostFacts) -> None:
    found = linux("resources: {memory: 1MiB, pids: 9, cpus: 0.5}", facts)["resources"]
    more = {} if facts is HOST else {"kernelTCP": 1 << 20, "swappiness": 0}
    assert found["memory"] == {"limit": 1 << 20, "swap": 1 << 20, **more}  # swap: memory and swap together
    assert found["pids"] == {"limit": 9}
    assert found["cpu"] == {"period": 100_000, "quota": 50_000}
    assert set(linux("", facts)["resources"]) == {"devices"}


def test_nothing_of_proc_needs_a_mask() -> None:
    """subset=pid shows processes only, and /sys is not mounted."""
    assert linux()["maskedPaths"] == linux()["readonlyPaths"] == []
    assert linux("", replace(HOST, landlock_abi=0))["rootfsPropagation"] == "private"
