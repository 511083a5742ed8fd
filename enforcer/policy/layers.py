"""Layers: what one profile says, and their union. A layer, unlike a policy, may leave things unsaid.

Grants unite by the order (`policy.compare`); what is unsaid on one side is the other's. Settings, which have no place in the
order, are the first layer's where it says them, so the most derived profile stands first.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from enforcer.errors import ProfileError
from enforcer.policy import order_syscalls
from enforcer.policy.compare import join
from enforcer.policy.order_syscalls import COMPLAIN
from enforcer.policy.places import normalised
from enforcer.policy.profile import (
    BUILT_IN,
    Clause,
    Environment,
    Filesystem,
    Mount,
    Namespaces,
    Network,
    PathGrant,
    Paths,
    Phase,
    Policy,
    Resources,
    Run,
    SyscallGrant,
    Syscalls,
    WrittenFilesystem,
    WrittenSyscalls,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enforcer.policy.profile import Profile

UNNAMED = "unnamed"
NO_PATHS = Paths(frozenset(), frozenset(), frozenset())
_BOUNDS = tuple(field.name for field in fields(Resources) if field.name != "clauses")


@dataclass(frozen=True, slots=True)
class Layer:
    """grants: what is granted; its run, violation and phases mean nothing. The rest is None, or False, when unsaid."""

    grants: Policy
    name: str | None = None
    user: str | None = None
    user_clause: Clause | None = None
    init: bool | None = None
    cwd: str | None = None
    violation: str | None = None
    phases: Phase | None = None
    says_paths: bool = False


def layer_of(profile: Profile, directory: str) -> Layer:
    """What the profile itself says, without its bases; relative bind sources start from `directory`.

    Raises ProfileError when a bind source is relative and `directory` is "".
    """
    written, run = profile.filesystem or WrittenFilesystem(), profile.run
    syscalls = profile.syscalls or WrittenSyscalls()
    grants = Policy(
        profile.name or UNNAMED,
        Run(),
        profile.environment or Environment(),
        _granted(syscalls),
        profile.capabilities or frozenset(),
        Filesystem(
            written.root or "read-only",
            frozenset(_located(mount, directory) for mount in written.mounts),
            written.paths or NO_PATHS,
            written.devices,
            written.root_clause if written.root else Clause("filesystem.root"),
        ),
        profile.network or Network(frozenset(), frozenset(), share_clause=Clause("network.share")),
        profile.namespaces or Namespaces(),
        profile.resources or Resources(),
    )
    return Layer(
        grants,
        profile.name,
        run.user if run else None,
        run.clause if run and run.user else None,
        run.init if run else None,
        run.cwd if run else None,
        syscalls.violation,
        profile.phases,
        written.paths is not None,
    )


def _granted(written: WrittenSyscalls) -> Syscalls:
    allowed: dict[str, SyscallGrant] = {}
    for name, match, clause in written.allow:
        first = allowed.get(name)
        allowed[name] = (
            SyscallGrant(first.matches | {match}, first.clause) if first else SyscallGrant(frozenset({match}), clause)
        )
    clause = written.clause if written.clause.path else Clause("syscalls")
    return Syscalls(MappingProxyType(allowed), written.architectures, clause=clause)


def _located(mount: Mount, directory: str) -> Mount:
    if mount.kind != "bind":
        return mount
    return replace(mount, source=located(mount.source, directory, mount.clause))


def located(path: str, directory: str, clause: Clause) -> str:
    """Make a path of a profile absolute. Raises ProfileError when it is relative and there is no directory."""
    if path.startswith("/"):
        return path
    if not directory.startswith("/"):
        why = "this profile was not read from a directory of its own"
        raise ProfileError(f"the path {path!r} is relative", where=clause.place, why=why, hint="write an absolute path")
    return normalised(f"{directory}/{path}")


def union(first: Layer, second: Layer) -> Layer:
    """What either grants, with the first's settings where it says them.

    Raises ProfileError when the two mount different things at one place.
    """
    ours, theirs = _fill_paths(first, second), _fill_paths(second, first)
    ours, theirs = _fill_bounds(ours, theirs), _fill_bounds(theirs, ours)
    joined = join(ours, theirs)
    mounts = _united((*first.grants.filesystem.mounts, *second.grants.filesystem.mounts))
    joined = replace(joined, filesystem=replace(joined.filesystem, mounts=mounts), phases=None)
    violations = (first.violation, second.violation)
    return Layer(
        joined,
        first.name or second.name,
        first.user or second.user,
        first.user_clause if first.user else second.user_clause,
        first.init if first.init is not None else second.init,
        first.cwd or second.cwd,
        COMPLAIN if COMPLAIN in violations else first.violation or second.violation,
        first.phases or second.phases,
        first.says_paths or second.says_paths,
    )


def _fill_paths(layer: Layer, other: Layer) -> Policy:
    if layer.says_paths or not other.says_paths:
        return layer.grants
    return replace(layer.grants, filesystem=replace(layer.grants.filesystem, paths=other.grants.filesystem.paths))


def _fill_bounds(policy: Policy, other: Policy) -> Policy:
    """An unsaid bound, unlike one that the top of the order stands for, is the other's."""
    ours, theirs = policy.resources, other.resources
    unsaid = {name: getattr(theirs, name) for name in _BOUNDS if getattr(ours, name) is None}
    return replace(policy, resources=replace(ours, **unsaid))


def _united(mounts: Iterable[Mount]) -> frozenset[Mount]:
    """Both's mounts; the same thing at the same place is one mount with the rights of both.

    The order would also drop a mount that another covers, but a read-only mount inside a writable one must stay.
    """
    kept: dict[str, Mount] = {}
    for mount in mounts:
        first = kept.setdefault(mount.at, mount)
        if (first.kind, first.source) != (mount.kind, mount.source):
            why = f"{_thing(first)} at {first.clause.place}, {_thing(mount)} at {mount.clause.place}"
            raise ProfileError(f"two mounts at {mount.at}", where=first.clause.place, why=why, hint="remove one of them")
        kept[mount.at] = replace(
            first,
            access="write" if "write" in {first.access, mount.access} else "read",
            execute=first.execute or mount.execute,
            size=max(first.size, mount.size),
            mode=first.mode | mount.mode,
        )
    return frozenset(kept.values())


def _thing(mount: Mount) -> str:
    return f"{mount.kind} {mount.source}".rstrip()


def with_syscalls(layer: Layer, base: Syscalls) -> Layer:
    """The layer with the system calls of its `syscalls.base` below its own."""
    violation = layer.violation or (base.violation if base.violation != Syscalls().violation else None)
    joined = order_syscalls.join(layer.grants.syscalls, replace(base, violation=Syscalls().violation))
    return replace(layer, grants=replace(layer.grants, syscalls=joined), violation=violation)


def without(layer: Layer, names: Iterable[str]) -> Layer:
    """The layer without some system calls."""
    gone = frozenset(names)
    allowed = {name: grant for name, grant in layer.grants.syscalls.allowed.items() if name not in gone}
    syscalls = replace(layer.grants.syscalls, allowed=MappingProxyType(allowed))
    return replace(layer, grants=replace(layer.grants, syscalls=syscalls))


def reaching(layer: Layer, mounts: Iterable[Mount]) -> Layer:
    """The layer whose `paths`, when it says them, reach these mounts too: a bind that Landlock hides grants nothing."""
    if not layer.says_paths:
        return layer
    paths = layer.grants.filesystem.paths
    read = {PathGrant(mount.at, mount.clause) for mount in mounts}
    write = {PathGrant(mount.at, mount.clause) for mount in mounts if mount.access == "write"}
    paths = Paths(paths.read | read, paths.write | write, paths.execute)
    return replace(layer, grants=replace(layer.grants, filesystem=replace(layer.grants.filesystem, paths=paths)))


def policy_of(layer: Layer) -> Policy:
    """The layer as a policy: what nobody said has the language's own default."""
    user = layer.user or Run().user
    run = Run(user, is_root(user), layer.init or False, layer.cwd, layer.user_clause or Clause("run.user"))
    filesystem = layer.grants.filesystem
    if not layer.says_paths:
        everything = frozenset({PathGrant("/", Clause("filesystem.paths", BUILT_IN))})
        filesystem = replace(filesystem, paths=Paths(everything, everything, everything))
    syscalls = replace(layer.grants.syscalls, violation=layer.violation or Syscalls().violation)
    return replace(
        layer.grants, name=layer.name or UNNAMED, run=run, filesystem=filesystem, syscalls=syscalls, phases=layer.phases
    )


def is_root(user: str) -> bool:
    """Whether a user as written is uid 0."""
    return user.partition(":")[0] == "0"
