"""The probe on this kernel: what it finds, that it sees what is missing, and that it leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from enforcer.errors import HostError
from enforcer.linux import attempt, probe, probe_cgroups, probe_ids, probe_mounts, procfs
from enforcer.linux.cgroups import remove
from enforcer.linux.syscalls import call
from enforcer.plan.host import HostFacts, from_document, to_document

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STORE = "/var/lib/enforcer-is-not-here/store"  # every user can reach its nearest directory
ORDINARY = 65534
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def facts_in_child(enter: Callable[[], None]) -> HostFacts:
    """Facts that a child finds after `enter`."""
    read_end, write_end = os.pipe()

    def action() -> None:
        enter()
        os.write(write_end, json.dumps(to_document(probe.host_facts(STORE))).encode())

    child = attempt.start(action)
    os.close(write_end)
    with open(read_end, "rb") as answer:
        document = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    return from_document(json.loads(document))


def become_ordinary() -> None:
    os.setgroups([])
    os.setresgid(ORDINARY, ORDINARY, ORDINARY)
    os.setresuid(ORDINARY, ORDINARY, ORDINARY)
    call("prctl", 4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: else /proc/self belongs to root


@pytest.fixture(scope="module", name="facts")
def measured_facts() -> HostFacts:
    return probe.host_facts(STORE)


@root
def test_root_can_do_what_this_kernel_is_known_for(facts: HostFacts) -> None:
    assert facts.rootful
    assert facts.namespaces == {"user", "pid", "mount", "net", "ipc", "uts", "cgroup", "time"}
    assert facts.new_mount_api
    assert facts.overlay
    assert facts.overlay_userxattr
    assert facts.proc_subset
    assert facts.openat2
    assert facts.clone3
    assert facts.close_range
    assert facts.pidfd
    assert facts.seccomp_filter
    assert {"errno", "kill_process", "user_notif", "log"} <= facts.seccomp_actions
    assert facts.session_keyring
    assert facts.no_new_privs
    assert facts.ambient_capabilities
    assert {"memory", "pids", "cpu", "devices"} <= facts.cgroups.keys()
    assert all(os.path.isdir(directory) for directory in facts.cgroups.values())


@root
def test_an_ordinary_user_can_do_the_same_in_a_user_namespace_but_has_no_groups_or_ids() -> None:
    facts = facts_in_child(become_ordinary)
    assert not facts.rootful
    assert (facts.uid, facts.gid) == (ORDINARY, ORDINARY)
    assert facts.capabilities == frozenset()
    assert facts.namespaces == {"user", "pid", "mount", "net", "ipc", "uts", "cgroup", "time"}
    assert facts.overlay_userxattr
    assert facts.proc_subset
    assert facts.seccomp_filter
    assert facts.container_ids == (0, 0)
    assert not facts.idmapped_mounts
    assert not facts.cgroups
    assert not facts.tun


def test_a_host_without_user_namespaces_is_seen_as_such() -> None:
    """In a user namespace of its own a process may set how many can be made below it: none."""

    def forbid() -> None:
        attempt.enter_user_namespace()
        attempt.write("/proc/sys/user/max_user_namespaces", "0")

    facts = facts_in_child(forbid)
    assert "user" not in facts.namespaces
    assert not facts.overlay
    assert not facts.proc_subset
    assert not facts.idmapped_mounts


@pytest.mark.parametrize("kind", ["pid", "net", "uts", "ipc", "cgroup", "time"])
def test_each_namespace_is_tried_by_itself(kind: str) -> None:
    def forbid() -> None:
        attempt.enter_user_namespace()
        attempt.write(f"/proc/sys/user/max_{kind}_namespaces", "0")

    found = facts_in_child(forbid).namespaces
    assert found == {"user", "pid", "mount", "net", "ipc", "uts", "cgroup", "time"} - {kind}


def test_a_user_namespace_with_one_id_has_none_to_give() -> None:
    facts = facts_in_child(attempt.enter_user_namespace)
    assert facts.container_ids == (0, 0)


@root
def test_a_group_that_was_delegated_to_an_ordinary_user_is_found(facts: HostFacts) -> None:
    """What a service manager does with Delegate=yes, done by hand in one hierarchy: the group and its files get a new owner."""
    parent = facts.cgroups["pids"]
    group = f"{parent}/enforcer-test{os.getpid()}"
    os.mkdir(group)
    try:
        for name in ("", "cgroup.procs", "tasks", "cgroup.subtree_control"):
            if os.path.exists(f"{group}/{name}"):
                os.chown(f"{group}/{name}", ORDINARY, ORDINARY)

        def enter() -> None:
            attempt.write(f"{group}/cgroup.procs", str(os.getpid()))
            become_ordinary()

        if facts.cgroup_layout != "v2":
            assert facts_in_child(enter).cgroups == {"pids": group}
        assert facts_in_child(become_ordinary).cgroups == {}
    finally:
        remove(group)


@root
def test_the_v2_tree_is_measured_without_leaving_anything_switched_on(facts: HostFacts) -> None:
    if not facts.cgroup_v2:
        pytest.skip("no v2 hierarchy")

    def enabled() -> str:
        return procfs.read(f"{facts.cgroup_v2}/cgroup.subtree_control")

    before = enabled()
    usable, directory = probe_cgroups._measure_v2(facts.cgroup_v2, facts.cgroup_v2)
    assert directory == facts.cgroup_v2
    assert {"devices", "freezer"} <= usable
    assert enabled() == before


def test_probing_leaves_nothing(facts: HostFacts) -> None:
    def state() -> tuple[list[str], list[str], list[str]]:
        """Own groups by name: other tests make theirs at the same time."""
        names = [name for top in {*facts.cgroups.values(), facts.cgroup_v2} if top for name in os.listdir(top)]
        with open("/proc/self/mountinfo") as mounts:
            return [name for name in names if str(os.getpid()) in name], mounts.readlines(), os.listdir("/proc/self/fd")

    before = state()
    assert before[0] == []
    probe.host_facts(STORE)
    assert state() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_an_attempt_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "SECONDS", 1)
    started = time.monotonic()
    assert not attempt.holds(lambda: time.sleep(30))
    assert time.monotonic() - started < 5


def test_an_attempt_ends_with_who_made_it() -> None:
    read_end, write_end = os.pipe()

    def inside() -> None:
        child = attempt.start(signal.pause)
        os.write(write_end, str(child).encode())
        os.kill(os.getpid(), signal.SIGKILL)

    middle = attempt.start(inside)
    grandchild = int(os.read(read_end, 16))
    os.waitpid(middle, 0)
    process = f"/proc/{grandchild}/stat"
    for _ in range(200):
        try:
            with open(process) as stat:
                if ") Z " in stat.read():
                    break
        except OSError:
            break
        time.sleep(0.01)
    else:
        pytest.fail("the grandchild goes on")
    os.close(read_end)
    os.close(write_end)


def test_nothing_of_the_parent_runs_in_an_attempt(capfd: pytest.CaptureFixture[str]) -> None:
    assert not attempt.holds(lambda: 1 // 0)
    assert capfd.readouterr() == ("", "")


@root
def test_ids_that_the_caller_was_not_given_cannot_be_mapped() -> None:
    path = probe_ids.mapper("newuidmap", 0, probe_ids.NONE)
    if not path:
        pytest.skip("newuidmap is not installed")

    def action() -> None:
        become_ordinary()
        assert probe_ids.mapper("newuidmap", ORDINARY, (3_000_000_000, 65536)) == ""

    assert attempt.holds(action)


def test_a_store_that_is_not_there_yet_lies_where_its_ancestor_does(tmp_path: Path) -> None:
    assert probe_mounts.nearest_directory(str(tmp_path / "a" / "b")) == str(tmp_path)
    assert probe_mounts.nearest_directory("/") == "/"


def test_device_numbers_come_from_the_node() -> None:
    (rule,) = probe.device_rules(["/dev/null"])
    assert (rule.kind, rule.major, rule.minor, rule.access) == ("c", 1, 3, "rw")


@pytest.mark.parametrize("path", ["/dev/no-such-device", "/etc/passwd", "/dev"])
def test_what_is_no_device_is_refused(path: str) -> None:
    with pytest.raises(HostError):
        probe.device_rules([path])
