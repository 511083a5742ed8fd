"""The order of the `filesystem` section: root, mounts, paths and devices.

Mounts and paths are sets of grants, each of which allows everything below it: a grant covers another when it is at least as
wide in every field. Two different sources at one target are two grants; the plan refuses to mount both, the order keeps them.
Paths are compared by components: /data covers /data/a and not /database (CVE-2026-48785).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from enforcer.policy.counterexample import Counterexample, wider
from enforcer.policy.profile import Device, Filesystem, Mount, PathGrant, Paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Grant = TypeVar("Grant")
PATH_RIGHTS = ("read", "write", "execute")


def below(path: str, top: str) -> bool:
    """Whether an absolute, normalised path is `top` or under it."""
    return path == top or path.startswith(top.rstrip("/") + "/")


def deeper(first: str, second: str) -> str | None:
    """The one of two paths that is under the other; None when neither is."""
    if below(first, second):
        return first
    return second if below(second, first) else None


def maximal(grants: Iterable[Grant], covered: Callable[[Grant, Grant], bool]) -> frozenset[Grant]:
    """The grants that no other covers; of equally wide ones, the first."""
    kept: list[Grant] = []
    for grant in grants:
        if not any(covered(grant, other) for other in kept):
            kept = [other for other in kept if not covered(other, grant)]
            kept.append(grant)
    return frozenset(kept)


def join(first: Filesystem, second: Filesystem) -> Filesystem:
    """The least section that allows what either allows."""
    ephemeral = second if first.root == "read-only" else first
    return Filesystem(
        ephemeral.root,
        maximal((*_sorted(first.mounts), *_sorted(second.mounts)), mount_covered),
        Paths(*(maximal((*sorted(a), *sorted(b)), path_covered) for a, b in _rights(first, second))),
        first.devices | second.devices,
        ephemeral.root_clause,
    )


def meet(first: Filesystem, second: Filesystem) -> Filesystem:
    """The greatest section that allows only what both allow."""
    read_only = second if first.root == "ephemeral" else first
    mounts = (common_mount(a, b) for a in _sorted(first.mounts) for b in _sorted(second.mounts))
    return Filesystem(
        read_only.root,
        maximal((mount for mount in mounts if mount), mount_covered),
        Paths(*(_common_paths(a, b) for a, b in _rights(first, second))),
        frozenset(device for device in first.devices if device in second.devices),
        read_only.root_clause,
    )


def _sorted(mounts: Iterable[Mount]) -> list[Mount]:
    return sorted(mounts, key=lambda m: (m.at, m.kind, m.source, m.access, m.execute, m.size, m.mode, m.name))


def _rights(first: Filesystem, second: Filesystem) -> Iterator[tuple[frozenset[PathGrant], frozenset[PathGrant]]]:
    return ((getattr(first.paths, right), getattr(second.paths, right)) for right in PATH_RIGHTS)


def path_covered(grant: PathGrant, bound: PathGrant) -> bool:
    """Whether a path is at or under another."""
    return below(grant.path, bound.path)


def _common_paths(first: frozenset[PathGrant], second: frozenset[PathGrant]) -> frozenset[PathGrant]:
    pairs = ((deeper(a.path, b.path), a) for a in sorted(first) for b in sorted(second))
    return maximal((PathGrant(path, grant.clause) for path, grant in pairs if path is not None), path_covered)


def mount_covered(mount: Mount, bound: Mount) -> bool:
    """Whether all that a mount makes reachable is within another: source and target at or under the other's, rights no more."""
    return (
        mount.kind == bound.kind
        and _common_source(mount, bound) == mount.source
        and below(mount.at, bound.at)
        and (mount.access == "read" or bound.access == "write")
        and mount.execute <= bound.execute
        and mount.size <= bound.size
        and not mount.mode & ~bound.mode
    )


def _common_source(first: Mount, second: Mount) -> str | None:
    if first.kind == "bind":
        return deeper(first.source, second.source)
    return first.source if first.source == second.source else None


def common_mount(first: Mount, second: Mount) -> Mount | None:
    """The widest mount that both cover, under the first's clause and name; None when there is none."""
    if first.kind != second.kind:
        return None
    source, at = _common_source(first, second), deeper(first.at, second.at)
    if source is None or at is None:
        return None
    return replace(
        first,
        at=at,
        source=source,
        access="write" if first.access == second.access == "write" else "read",
        execute=first.execute and second.execute,
        size=min(first.size, second.size),
        mode=first.mode & second.mode,
    )


def beyond(bound: Filesystem, other: Filesystem) -> Iterator[Counterexample]:
    """What `other` allows and `bound` does not, one example for each part of the section."""
    if other.root == "ephemeral" and bound.root == "read-only":
        yield wider("filesystem.root", other.root_clause, "writing to the root file system", path="/", access="write")
    for mount in _sorted(other.mounts):
        if not any(mount_covered(mount, granted) for granted in bound.mounts):
            yield _mount_example(mount)
            break
    for right, (granted, wanted) in zip(PATH_RIGHTS, _rights(bound, other), strict=True):
        for path in sorted(wanted):
            if not any(path_covered(path, grant) for grant in granted):
                what = f"{right} access to {path.path} inside the container"
                yield wider(f"filesystem.paths.{right}", path.clause, what, path=path.path, access=right)
                break
    for device in sorted(other.devices - bound.devices, key=_device_path):
        yield wider("filesystem.devices", device.clause, f"the device {device.path}", path=device.path)
        break


def _device_path(device: Device) -> str:
    return device.path


def _mount_example(mount: Mount) -> Counterexample:
    source = f"tmpfs of {mount.size} bytes" if mount.kind == "tmpfs" else f"{mount.kind} {mount.source}"
    rights = f"{mount.access}, execute" if mount.execute else mount.access
    if mount.kind == "secret":
        rights += f", mode {mount.mode:04o}"
    return wider(
        "filesystem.mounts",
        mount.clause,
        f"the {source} at {mount.at} ({rights})",
        kind=mount.kind,
        source=mount.source,
        at=mount.at,
        access=mount.access,
        execute=int(mount.execute),
        size=mount.size,
        mode=mount.mode,
    )
