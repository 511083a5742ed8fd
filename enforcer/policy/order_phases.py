"""The order of phases: rights that end when the application is ready.

A policy with a phase allows one thing before its event and less after it; without one, the same always. A is within B when at
every moment what A allows is within what B allows. Events that are not the same may come in any order, so a right that ends
with A's event counts as lasting when B's ends with another; "after N" ends no later than "after M" when N <= M.

Policies whose phases wait for the same event, or have none, form a lattice. Of two that wait for different events no single
phase is the exact union or intersection: `join` then keeps the rights for ever and `meet` ends them at once, so that both
remain bounds.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from enforcer.policy import order_network, order_syscalls
from enforcer.policy.order_syscalls import COMPLAIN
from enforcer.policy.profile import Network, Phase, Policy, Syscalls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enforcer.policy.counterexample import Counterexample

Rights = tuple[Syscalls, Network]


def early(policy: Policy) -> Rights:
    """What is allowed until the event."""
    return policy.syscalls, policy.network


def late(policy: Policy) -> Rights:
    """What is left after the event. A phase only ends rights: an egress that was not there before does not appear."""
    syscalls, network, phase = policy.syscalls, policy.network, policy.phases
    if phase is None:
        return syscalls, network
    if syscalls.violation != COMPLAIN:
        kept = {name: grant for name, grant in syscalls.allowed.items() if name not in phase.deny_syscalls}
        syscalls = replace(syscalls, allowed=MappingProxyType(kept))
    if phase.egress is not None and network.share != "host":
        network = replace(network, egress=order_network.meet_egress(phase.egress, network.egress))
    return syscalls, network


def effective(policy: Policy) -> Phase | None:
    """The phase, when it ends anything."""
    return policy.phases if any(beyond(late(policy), early(policy))) else None


def beyond(bound: Rights, other: Rights) -> Iterator[Counterexample]:
    """What the other rights allow and the bound does not."""
    yield from order_syscalls.beyond(bound[0], other[0])
    yield from order_network.beyond(bound[1], other[1])


def phase_beyond(bound: Policy, other: Policy) -> Iterator[Counterexample]:
    """What `other` still allows when `bound`'s event has come, of that which `bound` allows before it."""
    ours, theirs = effective(bound), effective(other)
    if ours is None:
        return
    ended = theirs is not None and _no_later(theirs, ours)
    syscalls, network = late(other) if ended else early(other)
    ending = order_syscalls.meet(syscalls, bound.syscalls), order_network.meet(network, bound.network)
    found = next(beyond(late(bound), ending), None)
    if found is not None:
        when = "after" if ended else "not ended by"
        yield replace(found, section="phases", what=f"{found.what}, {when} {' '.join(ours.ready)}")


def _no_later(first: Phase, second: Phase) -> bool:
    same = first.ready == second.ready
    return same or (first.ready[0] == second.ready[0] == "after" and int(first.ready[1]) <= int(second.ready[1]))


def join_phases(first: Policy, second: Policy, joined: Policy) -> Policy:
    """`joined`, the union of both before their events, with a phase that ends what neither allows later."""
    ours, theirs = effective(first), effective(second)
    phase = ours or theirs
    if phase is None:
        return joined
    if ours and theirs:
        if _no_later(ours, theirs):
            phase = replace(ours, ready=theirs.ready)
        elif not _no_later(theirs, ours):
            return joined
    lasting = late(first), late(second)
    return _ending(joined, phase, order_syscalls.join(*_first(lasting)), order_network.join(*_second(lasting)))


def meet_phases(first: Policy, second: Policy, met: Policy) -> Policy:
    """`met`, the intersection of both before their events, with a phase that ends what either ends."""
    ours, theirs = effective(first), effective(second)
    phase = ours or theirs
    if phase is None:
        return met
    lasting = late(first), late(second)
    syscalls, network = order_syscalls.meet(*_first(lasting)), order_network.meet(*_second(lasting))
    if ours and theirs:
        if _no_later(theirs, ours):
            phase = replace(ours, ready=theirs.ready)
        elif not _no_later(ours, theirs):
            return replace(met, syscalls=syscalls, network=network)
    return _ending(met, phase, syscalls, network)


def _first(rights: tuple[Rights, Rights]) -> tuple[Syscalls, Syscalls]:
    return rights[0][0], rights[1][0]


def _second(rights: tuple[Rights, Rights]) -> tuple[Network, Network]:
    return rights[0][1], rights[1][1]


def _ending(policy: Policy, phase: Phase, syscalls: Syscalls, network: Network) -> Policy:
    """The policy with a phase whose later rights are these."""
    denied = frozenset() if syscalls.violation == COMPLAIN else policy.syscalls.allowed.keys() - syscalls.allowed.keys()
    lasting = order_network.egress_beyond(network.egress, policy.network.egress) is None or network.share == "host"
    egress = None if lasting else network.egress
    phased = replace(policy, phases=replace(phase, deny_syscalls=frozenset(denied), egress=egress))
    return phased if denied or egress is not None else policy
