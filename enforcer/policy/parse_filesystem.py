"""The section `filesystem`: root, mounts, paths, devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.policy.places import absolute, device, host_path, mount_point, secret_source, volume
from enforcer.policy.profile import Access, Device, Mount, PathGrant, Paths, WrittenFilesystem
from enforcer.policy.quantities import mode, size
from enforcer.policy.shape import Fields, distinct, entries, fields, flag, word

if TYPE_CHECKING:
    from enforcer.policy.source import Node

KEYS = ("root", "mounts", "paths", "devices")
ACCESSES: tuple[Access, ...] = ("read", "write")
# Kind of a mount → the keys it takes beside its own, and those of them that it must have.
MOUNT_KEYS = {
    "bind": ("at", "access", "exec"),
    "volume": ("at", "access", "exec"),
    "tmpfs": ("at", "size", "access", "exec"),
    "secret": ("at", "from", "mode"),
}
REQUIRED = {"bind": ("at",), "volume": ("at",), "tmpfs": ("at", "size"), "secret": ("at", "from")}


def filesystem(node: Node) -> WrittenFilesystem:
    """Read the section."""
    found = fields(node, KEYS)
    mounts = distinct(found["mounts"], _mount, lambda mount: mount.at) if "mounts" in found else ()
    devices = distinct(found["devices"], lambda item: Device(device(item), item.clause)) if "devices" in found else ()
    return WrittenFilesystem(
        root=word(found["root"], ("read-only", "ephemeral")) if "root" in found else None,
        mounts=frozenset(mounts),
        paths=_paths(found["paths"]) if "paths" in found else None,
        devices=frozenset(devices),
        root_clause=found["root"].clause if "root" in found else node.clause,
    )


def _paths(node: Node) -> Paths:
    found = fields(node, ("read", "write", "execute"))
    return Paths(**{name: _grants(found, name) for name in ("read", "write", "execute")})


def _grants(found: Fields, name: str) -> frozenset[PathGrant]:
    if name not in found:
        return frozenset()
    return frozenset(distinct(found[name], lambda item: PathGrant(absolute(item), item.clause), lambda grant: grant.path))


def _mount(node: Node) -> Mount:
    keys = [key.text for key, _ in entries(node).entries]
    kinds = [kind for kind in MOUNT_KEYS if kind in keys]
    if len(kinds) != 1:
        what = f"a mount is one of {', '.join(MOUNT_KEYS)}" + (f", not {' and '.join(kinds)}" if kinds else "")
        raise node.refuse(what, hint="write for example {bind: ./data, at: /data, access: read}")
    kind = kinds[0]
    found = fields(node, (kind, *MOUNT_KEYS[kind]), required=REQUIRED[kind])
    return {"bind": _bind, "volume": _volume, "tmpfs": _tmpfs, "secret": _secret}[kind](found, node)


def _bind(found: Fields, node: Node) -> Mount:
    source = host_path(found["bind"])
    return Mount("bind", mount_point(found["at"]), source, _access(found, "read"), _execute(found), clause=node.clause)


def _volume(found: Fields, node: Node) -> Mount:
    source = volume(found["volume"])
    return Mount("volume", mount_point(found["at"]), source, _access(found, "read"), _execute(found), clause=node.clause)


def _tmpfs(found: Fields, node: Node) -> Mount:
    if not flag(found["tmpfs"]):
        raise found["tmpfs"].refuse("tmpfs is false", why="a mount that is not wanted is not written", hint="remove the entry")
    at, access = mount_point(found["at"]), _access(found, "write")
    return Mount("tmpfs", at, "", access, _execute(found), size(found["size"]), clause=node.clause)


def _secret(found: Fields, node: Node) -> Mount:
    bits = mode(found["mode"]) if "mode" in found else 0o400
    name, at = volume(found["secret"]), mount_point(found["at"])
    return Mount("secret", at, secret_source(found["from"]), mode=bits, name=name, clause=node.clause)


def _access(found: Fields, default: Access) -> Access:
    return word(found["access"], ACCESSES) if "access" in found else default


def _execute(found: Fields) -> bool:
    return flag(found["exec"]) if "exec" in found else False
