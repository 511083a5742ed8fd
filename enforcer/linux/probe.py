"""Measures what this host can enforce for this caller. Nothing is read off a version number: each mechanism is tried.

What changes something is tried in a child (`attempt`), so a probe leaves nothing. It takes some tens of milliseconds;
the result is good until the next boot or a change of the caller's rights, and can be kept as `plan.host.to_document` has it.
"""

from __future__ import annotations

import json
import os
import stat
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from enforcer.errors import HostError
from enforcer.linux import attempt, probe_cgroups, probe_ids, probe_mounts, procfs
from enforcer.linux.attempt import holds
from enforcer.linux.syscalls import address, buffer, call, openat2
from enforcer.plan import namespaces
from enforcer.plan.cgroup_devices import DeviceRule
from enforcer.plan.host import HostFacts, from_document, to_document
from enforcer.policy.names import CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NAMESPACES = {
    "pid": namespaces.CLONE_NEWPID,
    "mount": namespaces.CLONE_NEWNS,
    "net": namespaces.CLONE_NEWNET,
    "ipc": namespaces.CLONE_NEWIPC,
    "uts": namespaces.CLONE_NEWUTS,
    "cgroup": namespaces.CLONE_NEWCGROUP,
    "time": namespaces.CLONE_NEWTIME,
}
# include/uapi/linux/seccomp.h
SECCOMP_SET_MODE_FILTER, SECCOMP_GET_ACTION_AVAIL = 1, 2
SECCOMP_ACTIONS = {
    "kill_process": 0x80000000,
    "kill_thread": 0x00000000,
    "trap": 0x00030000,
    "errno": 0x00050000,
    "user_notif": 0x7FC00000,
    "trace": 0x7FF00000,
    "log": 0x7FFC0000,
    "allow": 0x7FFF0000,
}
SECCOMP_RET_ALLOW_ALWAYS = bytes.fromhex("0600 0000 0000ff7f")  # one struct sock_filter: BPF_RET | BPF_K, SECCOMP_RET_ALLOW
LANDLOCK_CREATE_RULESET_VERSION = 1
KEYCTL_JOIN_SESSION_KEYRING = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4


def host_facts(store: str) -> HostFacts:
    """Everything HostFacts has, for the calling process and a store at this directory (it need not exist yet).

    Raises HostError where /proc cannot be read: nothing could be trusted then.
    """
    status = procfs.parse_status(procfs.read("/proc/self/status"))
    if "CapEff" not in status:
        raise HostError("/proc cannot be read", where="/proc/self/status", hint="mount /proc: mount -t proc proc /proc")
    uid, gid = os.geteuid(), os.getegid()
    capabilities = _capabilities(int(status["CapEff"], 16))
    rootful = uid == 0 and "SYS_ADMIN" in capabilities and probe_mounts.own_mounts(store)
    uids, gids = (probe_ids.NONE, probe_ids.NONE) if rootful else _subordinate(uid)
    layout, cgroups, cgroup_v2 = probe_cgroups.measure()
    return HostFacts(
        machine=os.uname().machine,
        kernel=os.uname().release,
        rootful=rootful,
        uid=uid,
        gid=gid,
        capabilities=capabilities,
        namespaces=_namespaces(rootful=rootful),
        subordinate_uids=uids,
        subordinate_gids=gids,
        newuidmap=probe_ids.mapper("newuidmap", uid, uids),
        newgidmap=probe_ids.mapper("newgidmap", gid, gids),
        container_ids=probe_ids.container_ids() if rootful else probe_ids.NONE,
        idmapped_mounts=rootful and probe_mounts.idmapped_mounts(store),
        overlay=probe_mounts.overlay(store, userxattr=False),
        overlay_userxattr=probe_mounts.overlay(store, userxattr=True),
        new_mount_api=probe_mounts.new_mount_api(),
        openat2=_answers(lambda: os.close(openat2(-100, "/", os.O_PATH))),
        close_range=_answers(lambda: call("close_range", 2**31 - 1, 2**31 - 1, 0)),
        clone3=_answers(lambda: call("clone3", None, 0)),
        pidfd=_answers(lambda: os.close(os.pidfd_open(os.getpid()))),
        proc_subset=probe_mounts.proc_subset(),
        landlock_abi=_landlock_abi(),
        seccomp_filter=holds(_filter_system_calls),
        seccomp_actions=frozenset(name for name, value in SECCOMP_ACTIONS.items() if _seccomp_action(value)),
        cgroup_layout=layout,
        cgroups=MappingProxyType(cgroups),
        cgroup_v2=cgroup_v2,
        session_keyring=holds(lambda: call("keyctl", KEYCTL_JOIN_SESSION_KEYRING, None)),
        no_new_privs=holds(lambda: call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)),
        ambient_capabilities=holds(lambda: call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)),
        tun=_opens("/dev/net/tun"),
        last_capability=int(procfs.read("/proc/sys/kernel/cap_last_cap") or "40"),
        other_groups=any(group != gid for group in os.getgroups()),
    )


def host_facts_as(uid: int, gid: int, store: str) -> HostFacts | None:
    """The facts that a user without rights finds, measured in a child that becomes it; None when they cannot be.

    Only root can call this.
    """
    read_end, write_end = os.pipe()

    def action() -> None:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        call("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0)  # after a change of ids /proc/self, with uid_map, would be root's
        document = json.dumps(to_document(host_facts(store))).encode()
        while document:
            document = document[os.write(write_end, document) :]

    child = attempt.start(action)
    os.close(write_end)
    with open(read_end, "rb") as answer:
        document = answer.read()
    return from_document(json.loads(document)) if os.waitpid(child, 0)[1] == 0 else None


def device_rules(paths: Iterable[str]) -> tuple[DeviceRule, ...]:
    """The device numbers behind device nodes, for `plan.cgroups.steps`.

    Raises HostError for a path that is absent or not a device.
    """
    return tuple(_device_rule(path) for path in sorted(paths))


def _device_rule(path: str) -> DeviceRule:
    try:
        status = os.stat(path)
    except OSError as error:
        raise HostError(f"there is no device {path}", where="filesystem.devices", why=error.strerror or "") from error
    kinds = [kind for kind, test in (("c", stat.S_ISCHR), ("b", stat.S_ISBLK)) if test(status.st_mode)]
    if not kinds:
        raise HostError(f"{path} is not a device", where="filesystem.devices", hint="grant a file with filesystem.mounts")
    return DeviceRule("c" if kinds[0] == "c" else "b", os.major(status.st_rdev), os.minor(status.st_rdev), "rw")


def _capabilities(mask: int) -> frozenset[str]:
    return frozenset(name for bit, name in enumerate(CAPABILITIES) if mask >> bit & 1)


def _subordinate(uid: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return probe_ids.subordinate("/etc/subuid", uid), probe_ids.subordinate("/etc/subgid", uid)


def _namespaces(*, rootful: bool) -> frozenset[str]:
    """Those that can be made: by root directly, by others together with a user namespace."""
    found = {name for name, flag in NAMESPACES.items() if holds(partial(_enter, flag, rootful=rootful))}
    return frozenset(found | ({"user"} if holds(attempt.enter_user_namespace) else set()))


def _enter(flag: int, *, rootful: bool) -> None:
    if not rootful:
        attempt.enter_user_namespace()
    call("unshare", flag)


def _answers(action: Callable[[], object]) -> bool:
    """A system call that exists may still refuse these arguments; one that is absent or filtered away does not count.

    Engines' seccomp profiles answer ENOSYS or EPERM for what they do not let through; clone3 with no arguments gives EINVAL.
    """
    try:
        action()
    except OSError as error:
        return error.errno not in (1, 38)  # EPERM, ENOSYS
    return True


def _landlock_abi() -> int:
    """landlock_create_ruleset(2): the ABI version; EOPNOTSUPP when Landlock was not chosen at boot."""
    try:
        return call("landlock_create_ruleset", None, 0, LANDLOCK_CREATE_RULESET_VERSION)
    except OSError:
        return 0


def _filter_system_calls() -> None:
    """Load a filter that allows everything."""
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    code = buffer(SECCOMP_RET_ALLOW_ALWAYS)
    program = (1).to_bytes(8, "little") + address(code).to_bytes(8, "little")  # struct sock_fprog, padded
    call("seccomp", SECCOMP_SET_MODE_FILTER, 0, program)


def _seccomp_action(value: int) -> bool:
    try:
        call("seccomp", SECCOMP_GET_ACTION_AVAIL, 0, value.to_bytes(4, "little"))
    except OSError:
        return False
    return True


def _opens(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True
