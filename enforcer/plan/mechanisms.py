"""What a host can enforce, mechanism by mechanism, in words: the judgement behind `enforcer doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from enforcer.plan import cgroups
from enforcer.policy.profile import Resources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enforcer.plan.host import HostFacts

State = Literal["holds", "weaker", "missing", "not used"]
OTHER_NAMESPACES = ("pid", "mount", "net", "ipc", "uts", "cgroup", "time")
RANGE = 65536


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One mechanism on one host for one caller.

    by: in the kernel's words, what was tried and works. why: for "weaker" and "missing", what that costs. mend: a command or
    a boot parameter that would change it; "" where none would.
    """

    name: str
    state: State
    by: str = ""
    why: str = ""
    mend: str = ""


def judge(facts: HostFacts, sysctls: Mapping[str, str]) -> tuple[Mechanism, ...]:
    """Every mechanism, in the order of a launch. sysctls: those named in `SYSCTLS` that exist, with their values."""
    return (
        _user_namespace(facts, sysctls),
        _own_ids(facts),
        _namespaces(facts, sysctls),
        _process_calls(facts),
        _flag(
            "mounts by descriptor",
            by="fsopen, mount_setattr, openat2",
            holds=facts.new_mount_api and facts.openat2,
            mend=_kernel(5, 12),
        ),
        _flag(
            "overlay root", by="overlay in a user namespace", holds=facts.overlay, mend="modprobe overlay; " + _kernel(5, 11)
        ),
        _idmapped(facts),
        _flag(
            "private /proc",
            by="proc, subset=pid",
            holds=facts.proc_subset,
            mend=f"{_kernel(5, 8)}; not below another engine's masked /proc",
        ),
        *_limits(facts),
        _devices(facts),
        _capabilities(facts),
        _flag(
            "session keyring",
            by="KEYCTL_JOIN_SESSION_KEYRING",
            holds=facts.session_keyring,
            mend="CONFIG_KEYS, or no seccomp filter above that refuses keyctl",
        ),
        _landlock(facts),
        _seccomp(facts),
    )


SYSCTLS = ("user.max_user_namespaces", "kernel.unprivileged_userns_clone", "kernel.apparmor_restrict_unprivileged_userns")


def _kernel(major: int, minor: int) -> str:
    return f"a kernel of at least Linux {major}.{minor}"


def _flag(name: str, *, by: str, holds: bool, mend: str) -> Mechanism:
    return Mechanism(name, "holds", by) if holds else Mechanism(name, "missing", why=f"{by}: refused by this kernel", mend=mend)


def _user_namespace(facts: HostFacts, sysctls: Mapping[str, str]) -> Mechanism:
    if "user" in facts.namespaces:
        return Mechanism("user namespace", "holds", "CLONE_NEWUSER")
    return Mechanism("user namespace", "missing", why="this caller cannot make one", mend=_allow_user_namespaces(sysctls))


def _allow_user_namespaces(sysctls: Mapping[str, str]) -> str:
    if sysctls.get("user.max_user_namespaces") == "0":
        return "sysctl -w user.max_user_namespaces=15000"
    if sysctls.get("kernel.unprivileged_userns_clone") == "0":
        return "sysctl -w kernel.unprivileged_userns_clone=1"
    if sysctls.get("kernel.apparmor_restrict_unprivileged_userns") == "1":
        return "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    return "a kernel with CONFIG_USER_NS, and no seccomp filter above that refuses unshare and clone3"


def _own_ids(facts: HostFacts) -> Mechanism:
    name = "own ids"
    if facts.rootful and facts.container_ids[1] >= RANGE:
        first, count = facts.container_ids
        return Mechanism(name, "holds", f"{count // RANGE} ranges of {RANGE} from {first}")
    if facts.rootful:
        return Mechanism(
            name, "missing", why="no 65536 unused ids are left in this user namespace", mend="start under a wider id map"
        )
    helpers = facts.newuidmap and facts.newgidmap
    if helpers and facts.subordinate_uids[1] and facts.subordinate_gids[1]:
        return Mechanism(name, "holds", f"newuidmap, {facts.subordinate_uids[1]} ids from {facts.subordinate_uids[0]}")
    ids = "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER"
    mend = ids if helpers else f"apt-get install uidmap; {ids}"
    return Mechanism(
        name, "weaker", "the caller's single id", "a container has one user, and shares its id with the caller", mend
    )


def _namespaces(facts: HostFacts, sysctls: Mapping[str, str]) -> Mechanism:
    missing = [name for name in OTHER_NAMESPACES if name not in facts.namespaces]
    if not missing:
        return Mechanism("other namespaces", "holds", " ".join(OTHER_NAMESPACES))
    return Mechanism(
        "other namespaces", "missing", why=f"cannot make: {' '.join(missing)}", mend=_allow_user_namespaces(sysctls)
    )


def _process_calls(facts: HostFacts) -> Mechanism:
    by = "clone3, pidfd_open, close_range"
    return _flag("process calls", by=by, holds=facts.clone3 and facts.pidfd and facts.close_range, mend=_kernel(5, 9))


def _idmapped(facts: HostFacts) -> Mechanism:
    name, by = "idmapped mounts", "MOUNT_ATTR_IDMAP"
    if not facts.rootful:
        return Mechanism(name, "not used", "only root can make them")
    return _flag(name, by=by, holds=facts.idmapped_mounts, mend=f"keep the store on ext4, xfs or btrfs; {_kernel(5, 12)}")


def _limits(facts: HostFacts) -> tuple[Mechanism, ...]:
    verdicts = cgroups.decide(Resources(memory=1, pids=1, cpus=1), frozenset(), facts)
    found = []
    for name, verdict in zip(("memory limit", "process limit", "processor limit"), verdicts, strict=True):
        why, _, mend = verdict.why.partition("; ")
        state: State = "holds" if verdict.verdict == "enforced" else "missing"
        found.append(Mechanism(name, state, verdict.by, "" if state == "holds" else why, "" if state == "holds" else mend))
    return tuple(found)


def _devices(facts: HostFacts) -> Mechanism:
    by = "no mknod in a user namespace, MS_NODEV"
    if "devices" in facts.cgroups:
        by += ", BPF_CGROUP_DEVICE" if facts.cgroup_layout == "v2" else ", devices.deny"
    return Mechanism("device refusal", "holds", by)


def _capabilities(facts: HostFacts) -> Mechanism:
    name, by = "capabilities", "capset, PR_CAP_AMBIENT, PR_SET_NO_NEW_PRIVS"
    return _flag(name, by=by, holds=facts.ambient_capabilities and facts.no_new_privs, mend=_kernel(4, 3))


def _landlock(facts: HostFacts) -> Mechanism:
    if facts.landlock_abi:
        return Mechanism("Landlock", "holds", f"ABI {facts.landlock_abi}")
    why = "a profile that narrows filesystem.paths cannot be run"
    return Mechanism("Landlock", "missing", why=why, mend=f"boot with lsm=landlock,… ; {_kernel(5, 13)}")


def _seccomp(facts: HostFacts) -> Mechanism:
    mend = "a kernel with CONFIG_SECCOMP_FILTER"
    return _flag("system call filter", by="SECCOMP_SET_MODE_FILTER", holds=facts.seccomp_filter, mend=mend)
