"""What this host can enforce, as a value. `linux.probe` measures it once; tests switch features off in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Facts about the running kernel and about what this user may do on it.

    machine:            uname -m: "x86_64", "aarch64".
    kernel:             uname -r.
    rootful:            effective uid 0 with CAP_SYS_ADMIN in the user namespace that owns the mounts of the store.
    uid, gid:           of the caller.
    capabilities:       effective capability names of the caller without CAP_.
    namespaces:         of "user", "pid", "mount", "net", "ipc", "uts", "cgroup", "time", those that this caller can make
                        (tried in a child, inside a new user namespace unless rootful).
    subordinate_uids/gids: (first, count) for a rootless caller from /etc/subuid and /etc/subgid; (0, 0) when there is none.
    newuidmap, newgidmap: absolute paths, "" when missing.
    container_ids:      (first, count): the range of host ids that rootful containers get their own ranges from; a multiple
                        of 65536 at both ends, clear of /etc/subuid, /etc/subgid and the host's accounts.
    idmapped_mounts:    mount_setattr with MOUNT_ATTR_IDMAP works on the filesystem of the store.
    overlay:            an overlay can be mounted in the mount namespace a container gets.
    overlay_userxattr:  … with userxattr and a tmpfs upper layer.
    new_mount_api:      fsopen, open_tree, move_mount, mount_setattr.
    openat2, close_range, clone3, pidfd: the system calls answer other than ENOSYS.
    proc_subset:        a private /proc with subset=pid can be mounted.
    landlock_abi:       0 when Landlock is not enabled.
    seccomp_filter:     SECCOMP_MODE_FILTER; seccomp_actions: names from actions_avail.
    cgroup_layout:      "v1", "hybrid" (v1 controllers and an empty v2 tree), "v2", "none".
    cgroups:            controller → absolute directory under which this caller may make cgroups ("memory", "pids", "cpu",
                        "devices", "freezer"; on v2 each names the same directory). A controller that cannot be used is absent.
    cgroup_v2:          the v2 directory for CLONE_INTO_CGROUP and cgroup.kill, "" when unusable.
    session_keyring, no_new_privs, ambient_capabilities: the calls work.
    tun:                /dev/net/tun can be opened for reading and writing.
    """

    machine: str
    kernel: str
    rootful: bool
    uid: int
    gid: int
    capabilities: frozenset[str]
    namespaces: frozenset[str]
    subordinate_uids: tuple[int, int] = (0, 0)
    subordinate_gids: tuple[int, int] = (0, 0)
    newuidmap: str = ""
    newgidmap: str = ""
    container_ids: tuple[int, int] = (0, 0)
    idmapped_mounts: bool = False
    overlay: bool = False
    overlay_userxattr: bool = False
    new_mount_api: bool = False
    openat2: bool = False
    close_range: bool = False
    clone3: bool = False
    pidfd: bool = False
    proc_subset: bool = False
    landlock_abi: int = 0
    seccomp_filter: bool = False
    seccomp_actions: frozenset[str] = frozenset()
    cgroup_layout: Literal["v1", "hybrid", "v2", "none"] = "none"
    cgroups: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    cgroup_v2: str = ""
    session_keyring: bool = False
    no_new_privs: bool = False
    ambient_capabilities: bool = False
    tun: bool = False
    last_capability: int = 40


@dataclass(frozen=True, slots=True)
class Enforcement:
    """How one clause holds on this host. verdict "weaker" and "impossible" refuse to run unless the caller accepts them.

    clause: path and place ("resources.memory", "web.yaml:31:3"). by: the mechanism, in the kernel's words. why: for weaker
    and impossible, what is missing or how it is weaker, and what would help.
    """

    path: str
    place: str
    verdict: Literal["enforced", "weaker", "impossible"]
    by: str
    why: str = ""
