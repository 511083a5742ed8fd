"""System calls: what a policy's filter must decide. `linux.seccomp` has libseccomp compile it, `plan.bpf` says what came out.

What a call gets, in this order:

1. An ABI that is neither native nor granted ends the process: 32-bit entries (int 0x80, sysenter) and x32 numbers on x86-64,
   arm on aarch64. No call of such an ABI is reachable, whatever its number (CVE-2026-31431's socket filter was passed by i386).
2. A number above every one that `oci.syscalls` knows gets ENOSYS, as from a kernel that does not have it. Nothing can be known
   about such a call, and a program that tries a new call first takes the older one only then.
3. A call that the policy grants, with arguments that it grants, is allowed.
4. A call of `TRIED_FIRST` that no clause names gets ENOSYS, for the reason of 2 (docs/decisions/0003-enosys-for-clone3.md).
5. Everything else gets the policy's `violation`. When that is "complain", 2 and 4 do not apply: the call is made and logged.

Arguments are compared as the kernel hands them to the filter: 64 bits, of which a 32-bit ABI has the lower half.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from enforcer.errors import PlanError
from enforcer.oci import seccomp as oci
from enforcer.oci.syscalls import NUMBERS, X32_BIT
from enforcer.plan import bpf
from enforcer.plan.step import Filter as FilterProgram
from enforcer.plan.step import Step
from enforcer.policy import arguments
from enforcer.policy.names import errnos
from enforcer.policy.profile import ALWAYS, MAX_U64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from enforcer.policy.profile import ArgumentCondition, Match, Syscalls

# Machine → its own ABI's AUDIT_ARCH_*, and the other ABIs that its kernels have.
_MACHINES: Mapping[str, tuple[str, ...]] = {"x86_64": ("x86", "x32"), "aarch64": ("arm",)}
AUDIT_ARCH: Mapping[str, int] = {
    "x86_64": bpf.AUDIT_ARCH_X86_64,
    "x32": bpf.AUDIT_ARCH_X86_64,
    "x86": bpf.AUDIT_ARCH_I386,
    "aarch64": bpf.AUDIT_ARCH_AARCH64,
    "arm": bpf.AUDIT_ARCH_ARM,
}
NARROW_ABIS = frozenset({"x86", "arm"})  # their arguments have 32 bits

# Calls that libraries make first and replace by older ones when, and only when, the kernel says ENOSYS: glibc from 2.34 on for
# threads and posix_spawn (clone3), faccessat and fchmodat with flags, statx; musl for the last three; gnulib, Go and libpathrs
# for openat2.
TRIED_FIRST = frozenset({"clone3", "faccessat2", "fchmodat2", "openat2", "statx"})

ENOSYS = 38
SECCOMP_SET_MODE_FILTER = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """One granted system call: its number on each ABI of the filter that has it, and when it is allowed (any of `matches`)."""

    name: str
    numbers: tuple[tuple[str, int], ...]
    matches: tuple[Match, ...]

    @property
    def plain(self) -> bool:
        """Whether the call is allowed whatever its arguments are."""
        return ALWAYS in self.matches


@dataclass(frozen=True, slots=True)
class Filter:
    """What a policy says about every system call, for one machine.

    native, foreign: ABIs ("x86_64"; "x86", "x32") that may be entered.
    default: the answer to what no rule allows, and beyond: to a number that nobody knows; SECCOMP_RET_* with its data.
    tried_first: the calls that get ENOSYS; their rules have no match.
    """

    native: str
    foreign: tuple[str, ...]
    default: int
    beyond: int
    rules: tuple[Rule, ...]
    tried_first: tuple[Rule, ...] = ()

    @property
    def abis(self) -> tuple[str, ...]:
        """The native ABI and the granted others."""
        return (self.native, *self.foreign)


def decide(syscalls: Syscalls, machine: str) -> Filter:
    """Decide the filter of a policy for `machine` (uname -m).

    An ABI that the machine's kernels do not have and a call that an ABI does not have need no rule: they cannot be reached.
    Raises PlanError when the machine is not one that we know the system calls of.
    """
    if machine not in _MACHINES:
        raise PlanError(
            f"system calls cannot be filtered on {machine}",
            where=syscalls.clause.place,
            why="their numbers are known for " + " and ".join(_MACHINES),
            hint="run on one of these machines",
        )
    foreign = tuple(abi for abi in _MACHINES[machine] if abi in syscalls.architectures)
    abis = (machine, *foreign)
    default = _default(syscalls.violation)
    granted = ((name, tuple(sorted(grant.matches, key=_order))) for name, grant in sorted(syscalls.allowed.items()))
    complain = default == bpf.SECCOMP_RET_LOG
    tried_first = set() if complain else TRIED_FIRST - set(syscalls.allowed)
    return Filter(
        native=machine,
        foreign=foreign,
        default=default,
        beyond=default if complain else bpf.SECCOMP_RET_ERRNO | ENOSYS,
        rules=tuple(_rules(granted, abis)),
        tried_first=tuple(_rules(((name, ()) for name in sorted(tried_first)), abis)),
    )


def _default(violation: str) -> int:
    """SECCOMP_RET_* for a policy's `violation`."""
    kind, _, name = violation.partition(" ")
    if kind == "errno":
        return bpf.SECCOMP_RET_ERRNO | errnos()[name]
    return bpf.SECCOMP_RET_KILL_PROCESS if kind == "kill" else bpf.SECCOMP_RET_LOG


def _order(match: Match) -> list[tuple[int, str, int, int]]:
    return [(condition.index, condition.op, condition.value, condition.mask) for condition in match]


def _rules(calls: Iterable[tuple[str, tuple[Match, ...]]], abis: Sequence[str]) -> Iterator[Rule]:
    for name, matches in calls:
        numbers = tuple((abi, NUMBERS[abi][name]) for abi in abis if name in NUMBERS[abi])
        if numbers:
            yield Rule(name, numbers, matches)


def last_number(abi: str) -> int:
    """Return the greatest number that we know a call for."""
    return max(NUMBERS[abi].values())


def abi_of(machine: str, arch: int, nr: int) -> str | None:
    """Name the ABI that a call with this AUDIT_ARCH_* and number comes from; None for one that `machine` does not have.

    The kernel tells x32 from x86-64 by a bit of the number (asm/unistd.h); -1, which a tracer leaves behind when it cancels a
    call, has that bit too and is no call of x32.
    """
    if arch == AUDIT_ARCH["x86_64"] and machine == "x86_64" and X32_BIT <= nr & bpf.WORD < bpf.WORD:
        return "x32"
    return next((abi for abi in (machine, *_MACHINES[machine]) if AUDIT_ARCH[abi] == arch), None)


def evaluate(decided: Filter, arch: int, nr: int, args: Sequence[int] = ()) -> int:
    """What the policy says to one call, as SECCOMP_RET_* with its data; it knows nothing of BPF.

    arch: AUDIT_ARCH_*. nr: taken modulo 2^32. args: up to six unsigned 64-bit numbers, those left out are 0.
    """
    return answers(decided, abi_of(decided.native, arch, nr))(nr, args)


def answers(decided: Filter, abi: str | None) -> Callable[[int, Sequence[int]], int]:
    """Prepare `evaluate` for many calls of one ABI, as `abi_of` names it."""
    if abi is None or abi not in decided.abis:
        return lambda _nr, _args: bpf.SECCOMP_RET_KILL_PROCESS
    rules, tried_first = numbered(decided.rules, abi), numbered(decided.tried_first, abi)
    last = last_number(abi)
    width = bpf.WORD if abi in NARROW_ABIS else MAX_U64

    def answer(nr: int, args: Sequence[int]) -> int:
        nr &= bpf.WORD
        if nr > last:
            return decided.beyond
        seen = [value & width for value in (*args, 0, 0, 0, 0, 0, 0)][: arguments.ARGUMENTS]
        if nr in rules and arguments.evaluate(rules[nr].matches, seen):
            return bpf.SECCOMP_RET_ALLOW
        return bpf.SECCOMP_RET_ERRNO | ENOSYS if nr in tried_first else decided.default

    return answer


def numbered(rules: Iterable[Rule], abi: str) -> Mapping[int, Rule]:
    """Number on one ABI → rule."""
    return MappingProxyType({number: rule for rule in rules for of, number in rule.numbers if of == abi})


def steps(code: bytes) -> tuple[Step, ...]:
    """Load the filter: the last step before execve, since what it does not allow ends here. no_new_privs is set before it.

    SECCOMP_FILTER_FLAG_LOG is not set: refusals go to the payload, not to the host's log, unless the policy complains.
    """
    return (
        Step(
            "init",
            "seccomp",
            (SECCOMP_SET_MODE_FILTER, 0, FilterProgram(code)),
            "syscalls",
            note="from here on only the calls that the policy grants",
        ),
    )


def document(decided: Filter) -> dict[str, object]:
    """Write the filter as config.json's linux.seccomp, for other runtimes and for people.

    It says the same to every call that is known; the document has no words for numbers that nobody knows (2 in the list above).
    """
    architectures = {abi: name for name, abi in oci.ARCHITECTURES.items()}
    default = _action(decided.default)
    plain = [rule.name for rule in decided.rules if rule.plain]
    refused = [rule.name for rule in decided.tried_first]
    calls: list[dict[str, object]] = [{"names": plain, "action": "SCMP_ACT_ALLOW"}] if plain else []
    calls += [
        {"names": [rule.name], "action": "SCMP_ACT_ALLOW", "args": [_comparison(condition) for condition in match]}
        for rule in decided.rules
        if not rule.plain
        for match in arguments.simplify(rule.matches)
    ]
    if refused:
        calls.append({"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS})
    return {
        "defaultAction": default,
        **({"defaultErrnoRet": decided.default & 0xFFFF} if default == "SCMP_ACT_ERRNO" else {}),
        "architectures": [architectures[abi] for abi in decided.abis],
        "syscalls": calls,
    }


def _action(answer: int) -> str:
    others = {bpf.SECCOMP_RET_KILL_PROCESS: "SCMP_ACT_KILL_PROCESS", bpf.SECCOMP_RET_LOG: "SCMP_ACT_LOG"}
    return others.get(answer, "SCMP_ACT_ERRNO")


def _comparison(condition: ArgumentCondition) -> dict[str, object]:
    operators = {op: name for name, op in oci.OPERATORS.items()}
    written: dict[str, object] = {"index": condition.index, "value": condition.value, "op": operators[condition.op]}
    return written if condition.op != "&==" else written | {"value": condition.mask, "valueTwo": condition.value}
