"""The new mount API as steps: fsopen, fsconfig, fsmount, open_tree, move_mount, mount_setattr, openat2.

Constants are those of include/uapi/linux/mount.h, fcntl.h and openat2.h. No path is ever followed twice: a source is opened
once and cloned by its descriptor, a target is opened once beneath the container's root and mounted on by its descriptor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.plan.step import Packed, Ref, Step

if TYPE_CHECKING:
    from enforcer.plan.step import Arg, Where

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
O_PATH = 0o10000000
O_DIRECTORY = 0o200000
O_CLOEXEC = 0o2000000
O_NOFOLLOW = 0o400000
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40
FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6
MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR_IDMAP = 0x100000
MS_PRIVATE = 1 << 18
S_IFREG = 0o100000


def words(*values: int) -> bytes:
    """Lay out unsigned 64-bit fields."""
    return b"".join(value.to_bytes(8, "little") for value in values)


def open_path(where: Where, name: str, path: str, clause: str, note: str = "") -> Step:
    """Open a host path that was resolved when the plan was made: a symbolic link anywhere in it now is a swap, and fails."""
    how = words(O_PATH | O_CLOEXEC, 0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
    return Step(where, "openat2", (AT_FDCWD, path.encode(), how, len(how)), clause, result=name, note=note)


def open_inside(
    name: str, path: str, clause: str, *, resolve: int = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, top: str = "root"
) -> Step:
    """Open a path beneath the container's root (result "root"), which no symbolic link of the image can leave."""
    how = words(O_PATH | O_CLOEXEC, 0, resolve)
    return Step("init", "openat2", (Ref(top), path.lstrip("/").encode() or b".", how, len(how)), clause, result=name)


def clone_tree(where: Where, source: str, name: str, clause: str, *, recursive: bool, note: str = "") -> Step:
    """Make a detached mount of what the descriptor `source` refers to."""
    flags = OPEN_TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    return Step(where, "open_tree", (Ref(source), b"", flags), clause, result=name, note=note)


def set_attributes(where: Where, mount: str, attributes: int, clause: str, *, recursive: bool = True, note: str = "") -> Step:
    """Set MOUNT_ATTR_* on a mount that the descriptor `mount` refers to."""
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    attr = words(attributes, 0, 0, 0)
    return Step(where, "mount_setattr", (Ref(mount), b"", flags, attr, len(attr)), clause, note=note)


def map_owners(mount: str, clause: str, *, recursive: bool) -> Step:
    """Idmap a detached mount into the container's user namespace, so that files keep their owners inside.

    EINVAL is tolerated: the filesystem cannot be idmapped, and its files then belong to nobody inside, which is less.
    """
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    attr = Packed(words(MOUNT_ATTR_IDMAP, 0, 0, 0), ((24, 8, Ref("user-namespace")),))
    return Step(
        "launcher",
        "mount_setattr",
        (Ref(mount), b"", flags, attr, 32),
        clause,
        tolerate=("EINVAL",),
        note="files keep their owners under the container's id map",
    )


def attach(mount: str, target: str, path: bytes, clause: str, note: str = "") -> Step:
    """Attach a detached mount at `path` beneath the descriptor `target`, or on the target itself when `path` is empty."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if path else MOVE_MOUNT_T_EMPTY_PATH)
    return Step("init", "move_mount", (Ref(mount), b"", Ref(target), path, flags), clause, note=note)


def new_filesystem(
    kind: str, name: str, options: dict[str, str], attributes: int, clause: str, note: str = ""
) -> tuple[Step, ...]:
    """Make a detached mount of a new filesystem instance. An option with an empty value is a flag."""
    context = f"{name}-context"
    configure = [Step("init", "fsconfig", (Ref(context), *_option(key, value), 0), clause) for key, value in options.items()]
    return (
        Step("init", "fsopen", (kind.encode(), FSOPEN_CLOEXEC), clause, result=context, note=note),
        *configure,
        Step("init", "fsconfig", (Ref(context), FSCONFIG_CMD_CREATE, 0, 0, 0), clause),
        Step("init", "fsmount", (Ref(context), FSMOUNT_CLOEXEC, attributes), clause, result=name),
    )


def _option(key: str, value: str) -> tuple[Arg, Arg, Arg]:
    if value:
        return FSCONFIG_SET_STRING, key.encode(), value.encode()
    return FSCONFIG_SET_FLAG, key.encode(), 0


def make_directory(parent: str, name: str, clause: str, mode: int = 0o755) -> Step:
    """Make one directory beneath the descriptor `parent`, unless something of that name is there."""
    return Step("init", "mkdirat", (Ref(parent), name.encode(), mode), clause, tolerate=("EEXIST",))


def make_file(parent: str, name: str, clause: str) -> Step:
    """Make an empty file to mount on, unless something of that name is there."""
    return Step("init", "mknodat", (Ref(parent), name.encode(), S_IFREG | 0o444, 0), clause, tolerate=("EEXIST",))


def make_target(path: str, clause: str, *, directory: bool, top: str = "root") -> list[Step]:
    """Make what is missing of a path beneath the mount `top`; in the root it lands in the writable layer, never in the image.

    A symbolic link of the image that leads into another mount, which may be the host's own directory, is refused (EXDEV).
    """
    steps: list[Step] = []
    parts = path.strip("/").split("/")
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
    for depth, part in enumerate(parts):
        parent = top
        if depth:
            parent = "parent"
            steps.append(open_inside(parent, "/".join(parts[:depth]), clause, resolve=resolve, top=top))
        last = depth == len(parts) - 1
        steps.append(make_directory(parent, part, clause) if directory or not last else make_file(parent, part, clause))
        if depth:
            steps.append(Step("init", "close", (Ref(parent),), clause))
    return steps
