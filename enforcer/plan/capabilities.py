"""Capabilities: nothing in all five sets, or exactly what was granted; securebits locked; the payload's ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.plan.host import Enforcement
from enforcer.plan.step import Packed, Step
from enforcer.policy.names import CAPABILITIES

if TYPE_CHECKING:
    from enforcer.plan.host import HostFacts
    from enforcer.policy.profile import Capability

# The kernel asks for these in the initial user namespace only: inside another one they permit nothing.
_HOST_ONLY = frozenset(
    "LINUX_IMMUTABLE SYS_MODULE SYS_RAWIO SYS_PACCT SYS_BOOT SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_CONTROL "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF".split()
)
CLAUSE = "capabilities"
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4
_VERSION_3 = 0x20080522
# SECBIT_NOROOT, NO_SETUID_FIXUP and their locks, KEEP_CAPS_LOCKED; then NO_CAP_AMBIENT_RAISE and its lock.
_SECUREBITS = 0x01 | 0x02 | 0x04 | 0x08 | 0x20
_SECUREBITS_AMBIENT = _SECUREBITS | 0x40 | 0x80


def decide(granted: frozenset[Capability], facts: HostFacts, *, host_users: bool) -> tuple[Enforcement, ...]:
    """Say how each granted capability, and the refusal of the others, holds."""
    by = "capset, PR_CAPBSET_DROP, PR_CAP_AMBIENT_CLEAR_ALL, PR_SET_SECUREBITS, PR_SET_NO_NEW_PRIVS"
    missing = [] if facts.ambient_capabilities else ["ambient capabilities (Linux 4.3)"]
    missing += [] if facts.no_new_privs else ["PR_SET_NO_NEW_PRIVS (Linux 3.5)"]
    why = f"this kernel lacks {', '.join(missing)}" if missing else ""
    verdicts = [Enforcement(CLAUSE, "built in", "impossible" if missing else "enforced", by, why)]
    for capability in sorted(granted, key=lambda one: one.name):
        path = capability.clause.path or f"{CLAUSE}[{capability.name}]"
        why = ""
        if capability.name in _HOST_ONLY and not host_users:
            why = f"CAP_{capability.name} permits nothing inside a user namespace; it would need `user_namespace: host`"
        elif host_users and capability.name not in facts.capabilities:
            why = f"the launcher itself does not hold CAP_{capability.name}"
        by, place = "capset, PR_CAP_AMBIENT_RAISE", capability.clause.place
        verdicts.append(Enforcement(path, place, "impossible" if why else "enforced", by, why))
    return tuple(verdicts)


def steps(
    granted: frozenset[Capability], user: tuple[int, int], groups: tuple[int, ...], last: int, *, single: bool
) -> tuple[Step, ...]:
    """Become the payload's user, and give up every capability that no clause grants.

    user:   (uid, gid) inside the user namespace. groups: its supplementary groups, exactly.
    last:   the highest capability number of this kernel. single: one id is mapped, so setgroups(2) is denied.
    Securebits go first: with SECBIT_NO_SETUID_FIXUP the change of ids moves no capability, and capset alone decides.
    """
    numbers = frozenset(CAPABILITIES.index(capability.name) for capability in granted)
    drop = [n for n in range(last + 1) if n not in numbers]
    return (
        *(Step("init", "prctl", (PR_CAPBSET_DROP, n, 0, 0, 0), CLAUSE, note=_name(n)) for n in drop),
        Step("init", "prctl", (PR_SET_SECUREBITS, _SECUREBITS, 0, 0, 0), CLAUSE),
        *_identity(user, groups, single=single),
        Step("init", "prctl", (PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), CLAUSE),
        *(_raise(numbers) if numbers else ()),
        Step("init", "prctl", (PR_SET_SECUREBITS, _SECUREBITS_AMBIENT, 0, 0, 0), CLAUSE),
        _capset(numbers),
    )


def _identity(user: tuple[int, int], groups: tuple[int, ...], *, single: bool) -> tuple[Step, ...]:
    uid, gid = user
    packed = b"".join(group.to_bytes(4, "little") for group in groups)
    exact = () if single else (Step("init", "setgroups", (len(groups), packed), "run.user", note="exactly these groups"),)
    return (
        *exact,
        Step("init", "setresgid", (gid, gid, gid), "run.user"),
        Step("init", "setresuid", (uid, uid, uid), "run.user"),
    )


def _raise(numbers: frozenset[int]) -> tuple[Step, ...]:
    """Ambient capabilities survive execve of an ordinary program; to lock them afterwards takes CAP_SETPCAP."""
    raised = [(n, (PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, n, 0, 0)) for n in sorted(numbers)]
    return (
        _capset(numbers | {CAPABILITIES.index("SETPCAP")}, inheritable=numbers),
        *(Step("init", "prctl", args, CLAUSE, note=_name(n)) for n, args in raised),
    )


def _capset(numbers: frozenset[int], inheritable: frozenset[int] | None = None) -> Step:
    header = _VERSION_3.to_bytes(4, "little") + bytes(4)
    permitted = sum(1 << n for n in numbers)
    inherited = sum(1 << n for n in (numbers if inheritable is None else inheritable))
    data = b"".join(
        (word >> shift & 0xFFFFFFFF).to_bytes(4, "little") for shift in (0, 32) for word in (permitted, permitted, inherited)
    )
    return Step("init", "capset", (Packed(header), data), CLAUSE, note="effective, permitted and inheritable at once")


def _name(n: int) -> str:
    return f"CAP_{CAPABILITIES[n]}" if n < len(CAPABILITIES) else str(n)
