"""A filter document of the OCI runtime spec, of Docker or of Podman → the system calls that it grants.

What an entry refuses is simply not granted: the answer to it is the policy's `violation`, whatever errno the entry names.
Docker's conditions are decided here, for every machine and kernel alike, since a policy means the same everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.errors import ProfileError
from enforcer.oci import seccomp
from enforcer.oci.syscalls import NUMBERS
from enforcer.policy.arguments import intersection, minimise
from enforcer.policy.names import errnos
from enforcer.policy.profile import ArgumentCondition, Clause, Match, Operator, SyscallGrant, Syscalls

if TYPE_CHECKING:
    from collections.abc import Collection

_OPERATORS: dict[str, Operator] = {"==": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "&==": "&=="}
# The launcher itself needs clone3, openat2 and close_range: no older kernel runs a policy.
OLDEST_KERNEL = (5, 9)


def syscalls_of_filter(
    data: bytes, source: str, *, capabilities: Collection[str] = (), clause: Clause | None = None
) -> Syscalls:
    """Read the filter document `data`, named `source` in errors.

    capabilities: those that are granted, without CAP_: entries that ask for another one are left out. clause: where the filter
    is named, for the grants that come of it; the filter itself when it is left out.
    Raises ProfileError for what `oci.seccomp.parse` refuses, for entries that contradict one another, and for conditions that
    would make the policy another one on another machine or kernel.
    """
    return granted(seccomp.parse(data, source), capabilities=capabilities, clause=clause)


def granted(document: seccomp.Seccomp, *, capabilities: Collection[str] = (), clause: Clause | None = None) -> Syscalls:
    """Return what a filter document grants; see `syscalls_of_filter`."""
    entries = [entry for entry in document.entries if _counts(entry, frozenset(capabilities))]
    allowed: dict[str, set[Match]] = {}
    for entry in entries:
        for name in entry.names if entry.action == "allow" else ():
            allowed.setdefault(name, set()).add(_match(entry))
    for entry in entries:
        if entry.action != "allow":
            _refuse(entry, allowed)
    here = Clause("syscalls", document.source) if clause is None else clause
    return Syscalls(
        allowed={name: SyscallGrant(minimise(matches), here) for name, matches in allowed.items() if _exists(name)},
        architectures=_foreign(document),
        violation="kill" if document.default == "kill" else f"errno {_errno_name(document)}",
        clause=here,
    )


def _errno_name(document: seccomp.Seccomp) -> str:
    name = next((name for name, number in errnos().items() if number == document.default_errno), None)
    if name is None:
        raise ProfileError(f"no error has the number {document.default_errno}", where=f"{document.source}: defaultErrnoRet")
    return name


def _foreign(document: seccomp.Seccomp) -> frozenset[str]:
    """Return the ABIs beside the native one that the document enters. Raises ProfileError when it enters no native one."""
    named = document.architectures
    if named is not None and not named & seccomp.GOARCH.keys():
        raise ProfileError(
            "this filter is for no machine that we know",
            where=f"{document.source}: architectures",
            why="on every other machine it ends the process at its first system call",
            hint="add SCMP_ARCH_X86_64 or SCMP_ARCH_AARCH64",
        )
    mapped = (document.foreign.get(native, frozenset()) for native in seccomp.GOARCH)
    return frozenset().union(named or (), *mapped) - seccomp.GOARCH.keys()


def _exists(name: str) -> bool:
    return any(name in table for table in NUMBERS.values())


def _match(entry: seccomp.Entry) -> Match:
    conditions = []
    for each in entry.args:
        value, mask = (each.value_two, each.value) if each.op == "&==" else (each.value, 2**64 - 1)
        conditions.append(ArgumentCondition(each.index, _OPERATORS[each.op], value, mask))
    return tuple(sorted(set(conditions), key=lambda each: (each.index, each.op, each.value, each.mask)))


def _refuse(entry: seccomp.Entry, allowed: dict[str, set[Match]]) -> None:
    """Take away what an entry refuses. Runtimes differ in which of two entries they follow: here the refusal goes before.

    Raises ProfileError when it takes away a part of another entry's arguments, which a profile has no words for.
    """
    refused = _match(entry)
    for name in entry.names:
        if not refused:
            allowed.pop(name, None)
        elif intersection(frozenset({refused}), frozenset(allowed.get(name, ()))):
            raise ProfileError(
                f"{name} is both allowed and refused with the same arguments",
                where=entry.where,
                why="another entry allows it, and runtimes differ in which of the two they follow",
                hint="write the comparisons so that only one of the entries holds",
            )


def _counts(entry: seccomp.Entry, capabilities: frozenset[str]) -> bool:
    """Whether the conditions of an entry hold, for an entry of any native machine."""
    includes, excludes = entry.includes, entry.excludes
    if not includes.capabilities <= capabilities or excludes.capabilities & capabilities:
        return False
    _check_kernel(includes, entry)
    _check_kernel(excludes, entry)
    if excludes.minimum_kernel:
        return False
    machines = {
        machine
        for machine, name in seccomp.GOARCH.items()
        if (not includes.arches or name in includes.arches) and name not in excludes.arches
    }
    without = seccomp.GOARCH.keys() - machines
    if machines and any(name in NUMBERS[machine] for name in entry.names for machine in without):
        raise ProfileError(
            "this entry makes the filter another one on another machine",
            where=entry.where,
            why=f"it does not count on {' and '.join(sorted(without))}, which has some of its system calls",
            hint="remove the condition on arches, or the entry",
        )
    return bool(machines)


def _check_kernel(condition: seccomp.Condition, entry: seccomp.Entry) -> None:
    """Refuse a kernel version that some supported kernels have and others do not. All have what is left."""
    if condition.minimum_kernel > OLDEST_KERNEL:
        raise ProfileError(
            "this entry makes the filter another one on another kernel",
            where=entry.where,
            why=f"minKernel is newer than {'.'.join(map(str, OLDEST_KERNEL))}, the oldest kernel that is supported",
            hint="remove minKernel, or the entry",
        )
