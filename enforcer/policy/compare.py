"""The order of policies: A is within B when B allows everything that A allows (profile.md, rule 3).

`join` is the union of two policies and `meet` their intersection; together with `covers` they form a lattice up to equivalence
(two policies that cover each other). Every section has its own order; a policy is within another when each section is, before
and after the events that end rights. Settings, such as the user or the working directory, are taken from the first policy
that says them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.policy import order_filesystem, order_network, order_phases, order_settings, order_syscalls
from enforcer.policy.counterexample import Counterexample
from enforcer.policy.profile import Policy

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Counterexample", "covers", "join", "meet"]


def join(a: Policy, b: Policy) -> Policy:
    """The least policy that allows what either allows, under a's name.

    Raises ProfileError when the argument conditions of a system call are too intricate to decide.
    """
    joined = Policy(
        a.name,
        order_settings.combine_run(a.run, b.run, root=a.run.root or b.run.root),
        order_settings.combine_environment(a.environment, b.environment, a.environment.passed | b.environment.passed),
        order_syscalls.join(a.syscalls, b.syscalls),
        a.capabilities | b.capabilities,
        order_filesystem.join(a.filesystem, b.filesystem),
        order_network.join(a.network, b.network),
        order_settings.join_namespaces(a.namespaces, b.namespaces),
        order_settings.join_resources(a.resources, b.resources),
    )
    return order_phases.join_phases(a, b, joined)


def meet(a: Policy, b: Policy) -> Policy:
    """The greatest policy that allows only what both allow, under a's name.

    Raises ProfileError when the argument conditions of a system call are too intricate to decide.
    """
    met = Policy(
        a.name,
        order_settings.combine_run(a.run, b.run, root=a.run.root and b.run.root),
        order_settings.combine_environment(a.environment, b.environment, a.environment.passed & b.environment.passed),
        order_syscalls.meet(a.syscalls, b.syscalls),
        order_settings.meet_capabilities(a.capabilities, b.capabilities),
        order_filesystem.meet(a.filesystem, b.filesystem),
        order_network.meet(a.network, b.network),
        order_settings.meet_namespaces(a.namespaces, b.namespaces),
        order_settings.meet_resources(a.resources, b.resources),
    )
    return order_phases.meet_phases(a, b, met)


def covers(a: Policy, b: Policy) -> tuple[Counterexample, ...]:
    """What b grants beyond a, one example for each section that is wider; empty when b grants nothing more.

    Raises ProfileError when the argument conditions of a system call are too intricate to decide.
    """
    return tuple(_beyond(a, b))


def _beyond(a: Policy, b: Policy) -> Iterator[Counterexample]:
    yield from order_settings.run_beyond(a.run, b.run)
    yield from order_settings.environment_beyond(a.environment, b.environment)
    yield from order_syscalls.beyond(a.syscalls, b.syscalls)
    yield from order_settings.capabilities_beyond(a.capabilities, b.capabilities)
    yield from order_filesystem.beyond(a.filesystem, b.filesystem)
    yield from order_network.beyond(a.network, b.network)
    yield from order_settings.namespaces_beyond(a.namespaces, b.namespaces)
    yield from order_settings.resources_beyond(a.resources, b.resources)
    yield from order_phases.phase_beyond(a, b)
