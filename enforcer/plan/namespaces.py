"""The namespaces that init is born into, and the process it is until it becomes the payload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.plan.host import Enforcement
from enforcer.plan.step import Packed, Ref, Slot, Step

if TYPE_CHECKING:
    from enforcer.plan.host import HostFacts
    from enforcer.policy.profile import Namespaces

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_CLEAR_SIGHAND = 0x100000000
CLONE_INTO_CGROUP = 0x200000000
SIGCHLD = 17
_CLONE_ARGS_SIZE = 88
_CGROUP_OFFSET = 80
_FLAGS = {"user": CLONE_NEWUSER, "pid": CLONE_NEWPID, "ipc": CLONE_NEWIPC, "uts": CLONE_NEWUTS, "time": CLONE_NEWTIME}
_CALLS = {
    "clone3 (Linux 5.3)": "clone3",
    "pidfd_open (Linux 5.3)": "pidfd",
    "close_range (Linux 5.9)": "close_range",
    "session keyrings (CONFIG_KEYS)": "session_keyring",
}


def decide(namespaces: Namespaces, facts: HostFacts) -> tuple[Enforcement, ...]:
    """Say how each private namespace but the user namespace holds, and the calls that every launch needs."""
    missing = [name for name, fact in _CALLS.items() if not getattr(facts, fact)]
    verdicts = [_verdict(name, namespaces, facts) for name in ("pid", "ipc", "uts", "cgroup", "time")]
    mounts = _missing("mount", facts)
    if missing or mounts:
        why = mounts or f"this kernel lacks {', '.join(missing)}"
        verdicts.append(Enforcement("namespaces", "built in", "impossible", "CLONE_NEWNS", why))
    return tuple(verdicts)


def _verdict(name: str, namespaces: Namespaces, facts: HostFacts) -> Enforcement:
    path = f"namespaces.{name}"
    clause = namespaces.clauses.get(path)
    place = clause.place if clause else "built in"
    if name == "pid" and namespaces.pid == "host" and namespaces.user == "private":
        why = (
            "a user namespace cannot mount the /proc of a pid namespace that it does not own; write `user_namespace: host` too"
        )
        return Enforcement(path, place, "impossible", "the host's own, as written", why)
    if getattr(namespaces, name) == "host":
        return Enforcement(path, place, "enforced", "the host's own, as written")
    why = _missing(name, facts)
    return Enforcement(path, place, "impossible" if why else "enforced", f"CLONE_NEW{name.upper()}", why)


def _missing(name: str, facts: HostFacts) -> str:
    return "" if name in facts.namespaces else f"this host does not let the caller make a {name} namespace"


def flags(namespaces: Namespaces, *, network: bool) -> int:
    """Return the CLONE_NEW* word for clone3; the cgroup namespace follows once init is in its cgroup."""
    chosen = CLONE_NEWNS | (CLONE_NEWNET if network else 0)
    for name, flag in _FLAGS.items():
        chosen |= flag if getattr(namespaces, name) == "private" else 0
    return chosen


def clone(namespaces: Namespaces, *, network: bool, into_cgroup: bool) -> Step:
    """Make init, in all its namespaces at once, and in its control group where the kernel can do that too (result "cgroup")."""
    into = CLONE_INTO_CGROUP if into_cgroup else 0
    fields = [flags(namespaces, network=network) | CLONE_CLEAR_SIGHAND | into, 0, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, 0]
    group = ((_CGROUP_OFFSET, 8, Ref("cgroup")),) if into_cgroup else ()
    args = Packed(b"".join(word.to_bytes(8, "little") for word in fields), group)
    return Step("launcher", "clone3", (args, _CLONE_ARGS_SIZE), "namespaces", result="init")


def own_cgroup(namespaces: Namespaces) -> tuple[Step, ...]:
    """Make the cgroup that init was just put into the root of what it can see."""
    if namespaces.cgroup == "host":
        return ()
    return (Step("init", "unshare", (CLONE_NEWCGROUP,), "namespaces.cgroup"),)


def hostname(namespaces: Namespaces) -> tuple[Step, ...]:
    """Name the machine after the container."""
    if namespaces.uts == "host":
        return ()
    return (Step("init", "sethostname", (Slot("hostname"), Slot("hostname-length")), "namespaces.uts"),)
