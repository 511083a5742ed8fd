"""Which mounts this caller can make: the new mount API, overlay, a private /proc, idmapped mounts. Each is really made.

Everything happens in the mount namespace of a child and ends with it. See fsopen(2), mount_setattr(2), overlayfs.rst, proc.rst.
"""

from __future__ import annotations

import os

from enforcer.linux.attempt import enter_mount_namespace, holds, start_in_user_namespace, stop, write
from enforcer.linux.syscalls import AT_EMPTY_PATH, AT_FDCWD, call
from enforcer.plan.namespaces import CLONE_NEWNS, CLONE_NEWPID

FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE = 1, 6
MOVE_MOUNT_F_EMPTY_PATH = 0x4
OPEN_TREE_CLONE = 0x1
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_IDMAP = 0x00100000
# Somewhere to mount on; it is only hidden in the child's own mount namespace.
PLACES = ("/tmp", "/var/tmp", "/mnt", "/run")  # noqa: S108  (nothing is written to the directory below)


def nearest_directory(path: str) -> str:
    """The path itself or its nearest ancestor that is a directory: where a store would be made lies on the same filesystem."""
    path = os.path.abspath(path)
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def new_mount_api() -> bool:
    """fsopen, fsconfig, fsmount, mount_setattr, open_tree and move_mount all work in a container's mount namespace."""

    def action() -> None:
        enter_mount_namespace()
        tree = _fsmount("tmpfs")
        _mount_setattr(tree, MOUNT_ATTR_RDONLY)
        copy = call("open_tree", tree, b"", OPEN_TREE_CLONE | AT_EMPTY_PATH)
        call("move_mount", copy, b"", AT_FDCWD, _place().encode(), MOVE_MOUNT_F_EMPTY_PATH)

    return holds(action)


def overlay(store: str, *, userxattr: bool) -> bool:
    """An overlay of the store's filesystem below a tmpfs can be mounted and written to inside a new user namespace.

    A store that is not there yet stands on an ancestor for now, which may have mounts below it: no overlay can be made of that
    in a user namespace, while the store itself will have none. Then a tmpfs stands for it.
    """
    return _overlay(store, userxattr=userxattr) or (not os.path.isdir(store) and _overlay("", userxattr=userxattr))


def _overlay(below: str, *, userxattr: bool) -> bool:
    """As `overlay`, of the directory `below` or its nearest ancestor; "" for one of a tmpfs."""

    def action() -> None:
        enter_mount_namespace()
        lower = os.open(nearest_directory(below), os.O_PATH | os.O_DIRECTORY) if below else -1
        place = _place()
        call("mount", b"tmpfs", place.encode(), b"tmpfs", 0, None)
        lowest, upper, work, merged = (os.path.join(place, name) for name in ("lower", "upper", "work", "merged"))
        for directory in (lowest, upper, work, merged):
            os.mkdir(directory, 0o700)
        source = f"/proc/self/fd/{lower}" if below else lowest
        options = f"lowerdir={source},upperdir={upper},workdir={work}" + (",userxattr" if userxattr else "")
        call("mount", b"overlay", merged.encode(), b"overlay", 0, options.encode())
        os.close(os.open(os.path.join(merged, f".enforcer-{os.urandom(8).hex()}"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    return holds(action)


def proc_subset() -> bool:
    """The first process of new user, pid and mount namespaces can mount /proc with subset=pid."""

    def outer() -> None:
        enter_mount_namespace(CLONE_NEWPID)
        if not holds(lambda: _fsmount("proc", (b"subset", b"pid"))):
            raise OSError

    return holds(outer)


def own_mounts(store: str) -> bool:
    """The caller can bind the store's filesystem in a mount namespace without making a user namespace: it owns its mounts."""

    def action() -> None:
        call("unshare", CLONE_NEWNS)
        call("open_tree", AT_FDCWD, os.fsencode(nearest_directory(store)), OPEN_TREE_CLONE)

    return holds(action)


def idmapped_mounts(store: str) -> bool:
    """mount_setattr with MOUNT_ATTR_IDMAP works on the filesystem of the store."""

    def action() -> None:
        tree = call("open_tree", AT_FDCWD, os.fsencode(nearest_directory(store)), OPEN_TREE_CLONE)
        _mount_setattr(tree, MOUNT_ATTR_IDMAP, _mapped_user_namespace())

    return holds(action)


def _mapped_user_namespace() -> int:
    """A descriptor of a user namespace that maps 0 to another id. It ends with the descriptor."""
    child = start_in_user_namespace()
    try:
        for name in ("uid_map", "gid_map"):
            write(f"/proc/{child}/{name}", "0 1 1")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        stop(child)


def _fsmount(kind: str, *options: tuple[bytes, bytes]) -> int:
    """A detached mount of a new filesystem."""
    context = call("fsopen", kind.encode(), 0)
    for name, value in options:
        call("fsconfig", context, FSCONFIG_SET_STRING, name, value, 0)
    call("fsconfig", context, FSCONFIG_CMD_CREATE, None, None, 0)
    return call("fsmount", context, 0, 0)


def _mount_setattr(tree: int, attributes: int, user_namespace: int = 0) -> None:
    """Call mount_setattr(2) on a detached mount: struct mount_attr {attr_set, attr_clr, propagation, userns_fd}."""
    attr = b"".join(word.to_bytes(8, "little") for word in (attributes, 0, 0, user_namespace))
    call("mount_setattr", tree, b"", AT_EMPTY_PATH, attr, len(attr))


def _place() -> str:
    return next(place for place in PLACES if os.path.isdir(place))
