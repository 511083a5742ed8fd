"""What this host can enforce, as a value. `linux.probe` measures it once; tests switch features off in it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from enforcer.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SETS = ("capabilities", "namespaces", "seccomp_actions")
_PAIRS = ("subordinate_uids", "subordinate_gids", "container_ids")


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Facts about the running kernel and about what this user may do on it.

    machine:            uname -m: "x86_64", "aarch64".
    kernel:             uname -r.
    rootful:            effective uid 0 with CAP_SYS_ADMIN in the user namespace that owns the mounts of the store.
    uid, gid:           of the caller. other_groups: it is in more groups than gid.
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
    other_groups: bool = False


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


def to_document(facts: HostFacts) -> dict[str, object]:
    """The facts as JSON values; sets are sorted, so that equal facts make equal documents."""
    document: dict[str, object] = {}
    for item in fields(facts):
        value = getattr(facts, item.name)
        if item.name in _SETS:
            document[item.name] = sorted(value)
        elif item.name in _PAIRS:
            document[item.name] = list(value)
        else:
            document[item.name] = dict(sorted(value.items())) if item.name == "cgroups" else value
    return document


def from_document(document: Mapping[str, object]) -> HostFacts:
    """The reverse of `to_document`.

    Raises HostError for anything else: a field that is missing, unknown or of another type.
    """
    template = to_document(_TEMPLATE)
    if document.keys() != template.keys() or any(not _same_type(document[name], old) for name, old in template.items()):
        raise HostError("this is no document of host facts", hint="remove the cached facts; they are measured again")
    values: dict[str, Any] = dict(document)
    values.update({name: frozenset(values[name]) for name in _SETS})
    values.update({name: (values[name][0], values[name][1]) for name in _PAIRS})
    values["cgroups"] = MappingProxyType(dict(values["cgroups"]))
    return HostFacts(**values)


def _same_type(value: object, template: object) -> bool:
    """Same type, same kinds inside: lists of pairs hold two integers, the others and the mapping hold strings."""
    if type(value) is not type(template):
        return False
    if isinstance(value, list):
        pair = template == [0, 0]
        return all(type(item) is (int if pair else str) for item in value) and (not pair or len(value) == 2)  # noqa: PLR2004
    return not isinstance(value, dict) or all(isinstance(text, str) for item in value.items() for text in item)


def digest(facts: HostFacts) -> str:
    """sha256, in hexadecimal, of the facts: part of the key under which a plan is cached."""
    document = json.dumps(to_document(facts), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(document.encode()).hexdigest()


_TEMPLATE = HostFacts("", "", rootful=False, uid=0, gid=0, capabilities=frozenset(), namespaces=frozenset())
