"""The order of the `syscalls` section.

A grant is a set of (name, six arguments). `architectures` multiplies it: each ABI that may be entered has all the calls of the
same names, so the order is that of pairs. `violation: complain` lets every call through, on every ABI, and is the top; "errno"
and "kill" refuse alike and have no place in the order.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from enforcer.policy.arguments import intersection, minimise, uncovered, union
from enforcer.policy.counterexample import Counterexample, wider
from enforcer.policy.names import constants
from enforcer.policy.profile import Match, SyscallGrant, Syscalls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

COMPLAIN = "complain"
KILL = "kill"
DEFAULT_VIOLATION = Syscalls().violation
LARGEST_DECIMAL = 65535
TAKE_FAMILY = ("socket", "socketpair")


def join(first: Syscalls, second: Syscalls) -> Syscalls:
    """The least section that allows what either allows."""
    names = first.allowed.keys() | second.allowed.keys()
    grants = {name: _either(first.allowed.get(name), second.allowed.get(name)) for name in sorted(names)}
    refusing = _refusing(first, second, COMPLAIN)
    return Syscalls(
        MappingProxyType({name: grant for name, grant in grants.items() if grant.matches}),
        first.architectures | second.architectures,
        refusing.violation,
        refusing.clause,
    )


def meet(first: Syscalls, second: Syscalls) -> Syscalls:
    """The greatest section that allows only what both allow."""
    if second.violation == COMPLAIN != first.violation:
        return first
    if first.violation == COMPLAIN != second.violation:
        return second
    refusing = _refusing(first, second, KILL)
    names = first.allowed.keys() & second.allowed.keys()
    grants = {name: _both(first.allowed[name], second.allowed[name]) for name in sorted(names)}
    return Syscalls(
        MappingProxyType({name: grant for name, grant in grants.items() if grant.matches}),
        first.architectures & second.architectures,
        refusing.violation,
        refusing.clause,
    )


def _refusing(first: Syscalls, second: Syscalls, strongest: str) -> Syscalls:
    """The section that says what a violation does: with the strongest answer, else the first unless it says nothing."""
    strong = next((section for section in (first, second) if section.violation == strongest), None)
    unsaid = first.violation == DEFAULT_VIOLATION != second.violation
    return strong or (second if unsaid else first)


def _either(first: SyscallGrant | None, second: SyscallGrant | None) -> SyscallGrant:
    if first is None or second is None:
        only = first or second or SyscallGrant(frozenset())
        return SyscallGrant(minimise(only.matches), only.clause)
    matches = union(first.matches, second.matches)
    # The line that is named is the one that did it: the first, unless it adds nothing.
    return SyscallGrant(matches, first.clause if matches & first.matches else second.clause)


def _both(first: SyscallGrant, second: SyscallGrant) -> SyscallGrant:
    return SyscallGrant(intersection(first.matches, second.matches), first.clause)


def beyond(bound: Syscalls, other: Syscalls) -> Iterator[Counterexample]:
    """What `other` allows and `bound` does not."""
    if bound.violation == COMPLAIN:
        return
    if other.violation == COMPLAIN:
        what = "every system call, since violations are only logged"
        yield wider("syscalls.violation", other.clause, what, violation=COMPLAIN)
        return
    for name, grant in sorted(other.allowed.items()):
        granted = bound.allowed.get(name)
        arguments = _first_uncovered(grant.matches, granted.matches if granted else frozenset())
        if arguments is not None:
            what = f"the system call {call(name, arguments, grant.matches, granted.matches if granted else ())}"
            yield wider("syscalls", grant.clause, what, name=name, args=arguments)
            break
    for architecture in sorted(other.architectures - bound.architectures):
        what = f"system calls of the {architecture} ABI"
        yield wider("syscalls.architectures", other.clause, what, architecture=architecture)
        break


def _first_uncovered(matches: frozenset[Match], bound: frozenset[Match]) -> tuple[int, ...] | None:
    found = (uncovered(match, bound) for match in sorted(matches, key=repr))
    return next((arguments for arguments in found if arguments is not None), None)


def call(name: str, arguments: tuple[int, ...], *unions: Iterable[Match]) -> str:
    """A call as a person writes it, up to the last argument that any condition looks at: "socket(AF_NETLINK, …)"."""
    looked_at = [condition.index for matches in unions for match in matches for condition in match]
    if not looked_at:
        return f"{name} with any arguments"
    shown = [str(a) if a <= LARGEST_DECIMAL else hex(a) for a in arguments[: max(looked_at) + 1]]
    if name in TAKE_FAMILY:
        shown[0] = _family(arguments[0]) or shown[0]
    return f"{name}({', '.join(shown)}{', …' if len(shown) < len(arguments) else ''})"


def _family(number: int) -> str | None:
    families = (name for name, value in constants().items() if name.startswith("AF_") and value == number)
    return next(families, None)
