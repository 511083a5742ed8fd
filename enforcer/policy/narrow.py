"""policy ∩ ceiling, and what was lost with the clauses of both sides.

The same narrows a policy by a profile that comes with an image.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from enforcer.errors import ProfileError
from enforcer.policy import order_filesystem, order_network, order_phases, order_settings, order_syscalls
from enforcer.policy.compare import meet
from enforcer.policy.layers import NO_PATHS, is_root
from enforcer.policy.profile import (
    Clause,
    Environment,
    Filesystem,
    Mount,
    Narrowing,
    Network,
    PathGrant,
    Paths,
    Policy,
    Run,
    Syscalls,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enforcer.policy.counterexample import Counterexample

PATH_RIGHTS = ("read", "write", "execute")


def narrow(policy: Policy, bound: Policy, sections: Mapping[str, Clause]) -> tuple[Policy, tuple[Narrowing, ...]]:
    """The policy within `bound`, and one narrowing for each grant lost, in the order of their places.

    sections: the clauses of the bounding profile (`Profile.sections`), for narrowings to name. Settings stay the policy's: a
    bound only takes. A policy that may not be root keeps no root user: it runs as the language's default user.
    Raises ProfileError when the bound takes a mount that covers part of another, since that part would appear.
    """
    met = meet(policy, bound)
    mounts = _common_mounts(policy, bound)
    met = replace(
        met,
        name=policy.name,
        run=_run(policy, bound),
        environment=replace(policy.environment, passed=met.environment.passed),
        filesystem=replace(met.filesystem, mounts=mounts),
    )
    _check_covers(policy, mounts)
    lost = sorted(_lost(policy, met), key=lambda found: (_line(found.clause.place), found.clause.path, found.what))
    return met, tuple(Narrowing(found.clause, bounding(found.section, sections), found.what) for found in lost)


def _line(place: str) -> tuple[str, int, int]:
    """A place as a key that sorts line 9 before line 10."""
    name, _, rest = place.partition(":")
    line, _, column = rest.rpartition(":")
    return (name, int(line), int(column)) if line.isdecimal() and column.isdecimal() else (place, 0, 0)


def _run(policy: Policy, bound: Policy) -> Run:
    root = policy.run.root and bound.run.root
    user = policy.run.user if root or not is_root(policy.run.user) else Run().user
    return replace(policy.run, root=root, user=user)


def bounding(section: str, sections: Mapping[str, Clause]) -> Clause:
    """The clause that speaks of the section, else of what it is part of, else the document."""
    path = section
    while path and path not in sections:
        path = path.rpartition(".")[0]
    return Clause(section, sections[path].place) if path in sections else Clause(section)


def _common_mounts(policy: Policy, bound: Policy) -> frozenset[Mount]:
    """What both grant of each mount, one mount a place. A mount inside another stays, although the order says it is covered."""
    kept: dict[str, Mount] = {}
    for mount in sorted(policy.filesystem.mounts, key=lambda mount: mount.at):
        common = [order_filesystem.common_mount(mount, other) for other in bound.filesystem.mounts]
        found = order_filesystem.maximal((one for one in common if one), order_filesystem.mount_covered)
        for one in sorted(found, key=lambda one: (one.at, one.access, one.execute, one.source)):
            if one.at not in kept or mount.at == one.at != kept[one.at].at:
                kept[one.at] = one
    return frozenset(kept.values())


def _check_covers(policy: Policy, mounts: frozenset[Mount]) -> None:
    places = {mount.at for mount in mounts}
    for lost in sorted(policy.filesystem.mounts, key=lambda mount: mount.at):
        above = [mount for mount in mounts if mount.at != lost.at and order_filesystem.below(lost.at, mount.at)]
        if lost.at not in places and above:
            why = f"it covers part of {above[0].at}, which would appear without it"
            hint = f"remove the mount at {above[0].at} too, or grant {lost.at} in the ceiling"
            raise ProfileError(f"the ceiling refuses the mount at {lost.at}", where=lost.clause.place, why=why, hint=hint)


def _lost(policy: Policy, met: Policy) -> Iterator[Counterexample]:
    """One counter-example for each grant of the policy that is gone or less."""
    yield from order_settings.run_beyond(met.run, policy.run)
    for name in policy.environment.passed:
        key = f"environment.pass.{name}"
        clauses = {key: policy.environment.clauses[key]} if key in policy.environment.clauses else {}
        one = Environment(frozenset({name}), clauses=MappingProxyType(clauses))
        yield from order_settings.environment_beyond(met.environment, one)
    yield from _lost_syscalls(policy.syscalls, met.syscalls)
    for capability in policy.capabilities:
        yield from order_settings.capabilities_beyond(met.capabilities, frozenset({capability}))
    yield from _lost_files(policy.filesystem, met.filesystem)
    yield from _lost_network(policy.network, met.network)
    yield from order_settings.namespaces_beyond(met.namespaces, policy.namespaces)
    yield from order_settings.resources_beyond(met.resources, policy.resources)
    yield from order_phases.phase_beyond(met, policy)


def _lost_syscalls(before: Syscalls, after: Syscalls) -> Iterator[Counterexample]:
    if before.violation == order_syscalls.COMPLAIN:
        yield from order_syscalls.beyond(after, before)
        return
    for name, grant in before.allowed.items():
        one = replace(before, allowed=MappingProxyType({name: grant}), architectures=frozenset())
        yield from order_syscalls.beyond(after, one)
    for architecture in before.architectures:
        one = replace(before, allowed=MappingProxyType({}), architectures=frozenset({architecture}))
        yield from order_syscalls.beyond(after, one)


def _lost_files(before: Filesystem, after: Filesystem) -> Iterator[Counterexample]:
    nothing = Filesystem("read-only", frozenset(), NO_PATHS, frozenset())
    yield from order_filesystem.beyond(after, replace(nothing, root=before.root, root_clause=before.root_clause))
    for mount in before.mounts:
        yield from order_filesystem.beyond(after, replace(nothing, mounts=frozenset({mount})))
    for device in before.devices:
        yield from order_filesystem.beyond(after, replace(nothing, devices=frozenset({device})))
    for right in PATH_RIGHTS:
        for path in getattr(before.paths, right):
            yield from order_filesystem.beyond(after, replace(nothing, paths=_only(right, path)))


def _only(right: str, path: PathGrant) -> Paths:
    return Paths(**{name: frozenset({path}) if name == right else frozenset() for name in PATH_RIGHTS})


def _lost_network(before: Network, after: Network) -> Iterator[Counterexample]:
    if before.share == "host":
        yield from order_network.beyond(after, before)
        return
    for egress in before.egress:
        yield from order_network.beyond(after, replace(before, egress=frozenset({egress}), ingress=frozenset()))
    for ingress in before.ingress:
        yield from order_network.beyond(after, replace(before, egress=frozenset(), ingress=frozenset({ingress})))
