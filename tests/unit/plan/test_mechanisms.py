from __future__ import annotations

from dataclasses import fields, replace
from types import MappingProxyType

import pytest

from enforcer.plan.host import HostFacts
from enforcer.plan.mechanisms import OTHER_NAMESPACES, Mechanism, judge

NAMES = ("memory", "pids", "cpu", "devices", "freezer")
EVERYTHING = HostFacts(
    "x86_64",
    "6.1.0",
    rootful=True,
    uid=0,
    gid=0,
    capabilities=frozenset(),
    namespaces=frozenset({"user", *OTHER_NAMESPACES}),
    container_ids=(65536, 65536 * 1024),
    idmapped_mounts=True,
    overlay=True,
    overlay_userxattr=True,
    new_mount_api=True,
    openat2=True,
    close_range=True,
    clone3=True,
    pidfd=True,
    proc_subset=True,
    landlock_abi=4,
    seccomp_filter=True,
    cgroup_layout="v2",
    cgroups=MappingProxyType(dict.fromkeys(NAMES, "/sys/fs/cgroup")),
    session_keyring=True,
    no_new_privs=True,
    ambient_capabilities=True,
)
ROOTLESS = replace(
    EVERYTHING, rootful=False, uid=1000, gid=1000, container_ids=(0, 0), idmapped_mounts=False, cgroups=MappingProxyType({})
)


def judged(facts: HostFacts, sysctls: dict[str, str] | None = None) -> dict[str, Mechanism]:
    return {mechanism.name: mechanism for mechanism in judge(facts, sysctls or {})}


def test_everything_holds_on_a_host_that_has_everything() -> None:
    assert {mechanism.state for mechanism in judge(EVERYTHING, {})} == {"holds"}
    assert not any(mechanism.why or mechanism.mend for mechanism in judge(EVERYTHING, {}))


OFF = {
    "overlay": "overlay root",
    "new_mount_api": "mounts by descriptor",
    "openat2": "mounts by descriptor",
    "close_range": "process calls",
    "clone3": "process calls",
    "pidfd": "process calls",
    "proc_subset": "private /proc",
    "landlock_abi": "Landlock",
    "seccomp_filter": "system call filter",
    "session_keyring": "session keyring",
    "no_new_privs": "capabilities",
    "ambient_capabilities": "capabilities",
    "idmapped_mounts": "idmapped mounts",
}


@pytest.mark.parametrize(("fact", "name"), OFF.items())
def test_what_is_missing_is_named_with_what_would_mend_it(fact: str, name: str) -> None:
    assert fact in {item.name for item in fields(HostFacts)}
    found = judged(replace(EVERYTHING, **{fact: 0 if fact == "landlock_abi" else False}))
    assert [mechanism.name for mechanism in found.values() if mechanism.state != "holds"] == [name]
    assert found[name].state == "missing"
    assert found[name].why
    assert found[name].mend


def test_a_rootless_caller_needs_subordinate_ids_and_a_delegated_group() -> None:
    found = judged(ROOTLESS)
    assert found["own ids"].state == "weaker"
    assert found["own ids"].mend.startswith("apt-get install uidmap; usermod --add-subuids")
    assert found["idmapped mounts"].state == "not used"
    assert found["memory limit"].state == found["processor limit"].state == "missing"
    assert "systemd-run --user --scope -p Delegate=yes" in found["memory limit"].mend
    assert "systemd-run" not in found["memory limit"].why
    assert (found["process limit"].state, found["process limit"].mend) == ("holds", "")


def test_newuidmap_without_ids_asks_for_ids_only() -> None:
    found = judged(replace(ROOTLESS, newuidmap="/usr/bin/newuidmap", newgidmap="/usr/bin/newgidmap"))
    assert found["own ids"].mend.startswith("usermod")


def test_subordinate_ids_give_a_range() -> None:
    helpers = {"newuidmap": "/usr/bin/newuidmap", "newgidmap": "/usr/bin/newgidmap"}
    ids = {"subordinate_uids": (100000, 65536), "subordinate_gids": (100000, 65536)}
    assert judged(replace(ROOTLESS, **helpers, **ids))["own ids"].state == "holds"  # type: ignore[arg-type]


def test_root_without_ids_to_spare_has_no_own_ids() -> None:
    assert judged(replace(EVERYTHING, container_ids=(0, 0)))["own ids"].state == "missing"


@pytest.mark.parametrize(
    ("sysctls", "mend"),
    [
        ({"user.max_user_namespaces": "0"}, "sysctl -w user.max_user_namespaces=15000"),
        ({"kernel.unprivileged_userns_clone": "0"}, "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            {"user.max_user_namespaces": "9", "kernel.apparmor_restrict_unprivileged_userns": "1"},
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_the_setting_that_forbids_user_namespaces_is_named(sysctls: dict[str, str], mend: str) -> None:
    assert judged(replace(EVERYTHING, namespaces=frozenset(OTHER_NAMESPACES)), sysctls)["user namespace"].mend == mend
    found = judged(replace(EVERYTHING, namespaces=frozenset({"user"})), sysctls)["other namespaces"]
    assert (found.state, found.mend) == ("missing", mend)
    assert "pid mount net" in found.why
