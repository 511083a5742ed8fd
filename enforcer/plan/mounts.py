"""The container's root and what is mounted in it.

The root is always an overlay: the image's layers below, a tmpfs above. Mount points that the image lacks are made in that
tmpfs, so nothing is ever written to an image or to the host, whatever the image's symbolic links say; a read-only root turns
MOUNT_ATTR_RDONLY once it is complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enforcer.plan import mount_calls as calls
from enforcer.plan.host import Enforcement
from enforcer.plan.step import Ref, Slot, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enforcer.plan.host import HostFacts
    from enforcer.plan.step import Where
    from enforcer.policy.profile import Filesystem, Mount

ROOT = "filesystem.root"
_HARDENED = calls.MOUNT_ATTR_NOSUID | calls.MOUNT_ATTR_NODEV
_PROC = _HARDENED | calls.MOUNT_ATTR_NOEXEC | calls.MOUNT_ATTR_RDONLY
DEFAULT_TMPFS_SIZE = 64 << 20
SKELETON_SIZE = 4 << 20
SECRET_SIZE = 1 << 20
_BYTES_PER_INODE = 4096
_FEWEST_INODES = 1024
_STRING_LIMIT = 255


@dataclass(frozen=True, slots=True)
class Sources:
    """What the plan knows of the host's files.

    layers: absolute directories of the image, top-most first. binds: (host directory, target) that belong to the image.
    kinds:  absolute host path of each bind → "directory" or "file". volumes: directory that holds the named volumes.
    owner:  (uid, gid) that a new volume belongs to, as numbers on disk.
    unmapped: sources of binds whose filesystem cannot be idmapped.
    """

    layers: tuple[str, ...]
    binds: tuple[tuple[str, str], ...]
    kinds: Mapping[str, str]
    volumes: str
    owner: tuple[int, int] = (0, 0)
    unmapped: frozenset[str] = frozenset()


def ordered(mounts: frozenset[Mount]) -> list[Mount]:
    """Parents before what lies below them."""
    return sorted(mounts, key=lambda mount: (mount.at.count("/"), mount.at, mount.source))


def decide(filesystem: Filesystem, facts: HostFacts, unmapped: frozenset[str] = frozenset()) -> tuple[Enforcement, ...]:
    """Say how the root and each mount hold on this host."""
    missing = [
        name
        for name, there in (
            ("the mount API (fsopen, move_mount, mount_setattr; Linux 5.12)", facts.new_mount_api),
            ("openat2 (Linux 5.6)", facts.openat2),
            ("overlay mounts in a user namespace (Linux 5.11)", facts.overlay),
            ("proc with subset=pid (Linux 5.8)", facts.proc_subset),
        )
        if not there
    ]
    root = filesystem.root_clause
    by = f"overlay, {'MOUNT_ATTR_RDONLY' if filesystem.root == 'read-only' else 'a tmpfs above it'}, pivot_root"
    if missing:
        why = f"this host lacks {', '.join(missing)}"
        return (Enforcement(ROOT, root.place, "impossible", by, why),)
    mounts = (_mount_verdict(mount, facts, unmapped) for mount in ordered(filesystem.mounts))
    return (Enforcement(ROOT, root.place, "enforced", by), *mounts)


def _mount_verdict(mount: Mount, facts: HostFacts, unmapped: frozenset[str]) -> Enforcement:
    path = mount.clause.path or f"filesystem.mounts[{mount.at}]"
    flags = ["MOUNT_ATTR_NOSUID", "MOUNT_ATTR_NODEV"]
    flags += ["MOUNT_ATTR_RDONLY"] if mount.access == "read" or mount.kind == "secret" else []
    flags += [] if mount.execute else ["MOUNT_ATTR_NOEXEC"]
    if mount.kind == "secret" and not mount.source.startswith(("env:", "file:")):
        why = f"a secret can be taken from env: or file:, not from {mount.source!r}"
        return Enforcement(path, mount.clause.place, "impossible", "tmpfs", why)
    none = mount.kind in ("bind", "volume") and facts.rootful and not facts.idmapped_mounts
    if none or (mount.kind == "bind" and mount.source in unmapped):
        why = "its filesystem cannot be idmapped: every file in it belongs to nobody inside the container"
        return Enforcement(path, mount.clause.place, "weaker", " ".join(flags), why)
    return Enforcement(path, mount.clause.place, "enforced", f"{mount.kind} mount, {' '.join(flags)}")


def sources(where: Where, filesystem: Filesystem, files: Sources) -> tuple[Step, ...]:
    """Open everything that comes from the host, while it can still be named, as detached mounts."""
    recursive = where == "init"  # an unprivileged user namespace may not clone a tree without the mounts locked below it
    steps: list[Step] = []
    for index, layer in enumerate(files.layers):
        steps += _source(where, f"layer {index}", layer, ROOT, _HARDENED | calls.MOUNT_ATTR_RDONLY, recursive=recursive)
    for index, (source, _) in enumerate(files.binds):
        steps += _source(where, f"image {index}", source, ROOT, _HARDENED | calls.MOUNT_ATTR_RDONLY, recursive=recursive)
    for index, mount in enumerate(ordered(filesystem.mounts)):
        if mount.kind == "volume":
            steps += _volume(where, mount, files)
        if mount.kind in ("bind", "volume"):
            path = mount.source if mount.kind == "bind" else f"{files.volumes}/{mount.source}"
            steps += _source(where, f"mount {index}", path, mount.clause.path, _attributes(mount), recursive=True)
    return tuple(steps)


def _source(where: Where, name: str, path: str, clause: str, attributes: int, *, recursive: bool) -> list[Step]:
    return [
        calls.open_path(where, f"{name} path", path, clause, note=path),
        calls.clone_tree(where, f"{name} path", name, clause, recursive=recursive),
        calls.set_attributes(where, name, attributes, clause, recursive=recursive),
    ]


def _volume(where: Where, mount: Mount, files: Sources) -> list[Step]:
    """Make a volume that is not there. Without root only init, as root of the user namespace, can give it to another id."""
    path = f"{files.volumes}/{mount.source}".encode()
    clause = mount.clause.path
    made = f"volume {mount.source}"
    return [
        Step(where, "mkdirat", (calls.AT_FDCWD, path, 0o755), clause, result=made, tolerate=("EEXIST",)),
        Step(
            where,
            "fchownat",
            (calls.AT_FDCWD, path, *files.owner, calls.AT_SYMLINK_NOFOLLOW),
            clause,
            needs=(made,),
            note="a new volume belongs to the user that runs inside",
        ),
    ]


def _attributes(mount: Mount) -> int:
    attributes = _HARDENED
    attributes |= calls.MOUNT_ATTR_RDONLY if mount.access == "read" or mount.kind == "secret" else 0
    return attributes | (0 if mount.execute else calls.MOUNT_ATTR_NOEXEC)


def map_owners(filesystem: Filesystem, files: Sources) -> tuple[Step, ...]:
    """Idmap what was opened, once the container's user namespace has its maps (rootful only)."""
    return (
        *(calls.map_owners(f"layer {index}", ROOT, recursive=False) for index in range(len(files.layers))),
        *(calls.map_owners(f"image {index}", ROOT, recursive=False) for index in range(len(files.binds))),
        *(
            calls.map_owners(f"mount {index}", mount.clause.path, recursive=True)
            for index, mount in enumerate(ordered(filesystem.mounts))
            if mount.kind in ("bind", "volume")
        ),
    )


def private() -> Step:
    """Nothing that is mounted from here on propagates to the host, nor from it."""
    attr = calls.words(0, 0, calls.MS_PRIVATE, 0)
    return Step("init", "mount_setattr", (calls.AT_FDCWD, b"/", calls.AT_RECURSIVE, attr, len(attr)), ROOT)


def root(filesystem: Filesystem, files: Sources, scratch: int | None, facts: HostFacts) -> tuple[Step, ...]:
    """Assemble the overlay on a stage, which hides the host's /proc: nothing must lie on top of the old root itself, or
    umount2(".") after pivot_root would let go of that instead.
    """
    size = SKELETON_SIZE if filesystem.root == "read-only" else scratch or DEFAULT_TMPFS_SIZE
    size += SECRET_SIZE * sum(mount.kind == "secret" for mount in filesystem.mounts)  # so that none is cut short
    layers = [str(index) for index in range(len(files.layers))]
    overlay = {"upperdir": "upper", "workdir": "work"} | ({"userxattr": ""} if facts.overlay_userxattr else {})
    return (
        *calls.new_filesystem(
            "tmpfs", "stage", {"mode": "0755", **_bounds(size)}, _HARDENED, "resources.scratch", "the overlay's writable layer"
        ),
        Step("init", "move_mount", (Ref("stage"), b"", calls.AT_FDCWD, b"/proc", calls.MOVE_MOUNT_F_EMPTY_PATH), ROOT),
        *(calls.make_directory("stage", name, ROOT) for name in ["upper", "work", "root", *layers]),
        *(calls.attach(f"layer {name}", "stage", name.encode(), ROOT) for name in layers),
        Step("init", "fchdir", (Ref("stage"),), ROOT, note="the overlay's options name directories relative to here"),
        *_overlay(layers, overlay),
        calls.attach("root", "stage", b"root", ROOT),
        *_image_binds(files),
    )


def _bounds(size: int) -> dict[str, str]:
    """Bound a tmpfs, its empty files too: each takes a kilobyte of the kernel's memory, and by default half of it may go."""
    return {"size": str(size), "nr_inodes": str(max(size // _BYTES_PER_INODE, _FEWEST_INODES))}


def _overlay(layers: list[str], options: dict[str, str]) -> tuple[Step, ...]:
    joined = ":".join(layers)
    if len(joined) <= _STRING_LIMIT:
        return calls.new_filesystem("overlay", "root", {"lowerdir": joined, **options}, _HARDENED, ROOT)
    context, *rest = calls.new_filesystem("overlay", "root", options, _HARDENED, ROOT)
    add = [
        Step("init", "fsconfig", (Ref("root-context"), calls.FSCONFIG_SET_STRING, b"lowerdir+", name.encode(), 0), ROOT)
        for name in layers
    ]
    return (context, *add, *rest)


def _image_binds(files: Sources) -> list[Step]:
    steps: list[Step] = []
    for index, (_, target) in enumerate(files.binds):
        steps += calls.make_target(target, ROOT, directory=True)
        steps += [calls.open_inside("target", target, ROOT), calls.attach(f"image {index}", "target", b"", ROOT)]
    return steps


def proc() -> tuple[Step, ...]:
    """Mount a /proc with processes only, read-only, that hides what the payload may not trace (pid 1 above all).

    A /proc in the image that is a symbolic link is refused (CVE-2023-28642).
    """
    clause = "namespaces.pid"
    return (
        calls.make_directory("root", "proc", clause, 0o555),
        calls.open_inside("proc-target", "proc", clause, resolve=calls.RESOLVE_NO_SYMLINKS | calls.RESOLVE_BENEATH),
        *calls.new_filesystem("proc", "proc", {"subset": "pid", "hidepid": "ptraceable"}, _PROC, clause, "processes only"),
        calls.attach("proc", "proc-target", b"", clause),
    )


def mount_all(filesystem: Filesystem, files: Sources) -> tuple[Step, ...]:
    """Mount what the clauses grant, parents first."""
    steps: list[Step] = []
    tops = _tops(filesystem, files)
    for index, mount in enumerate(ordered(filesystem.mounts)):
        clause = mount.clause.path
        name = f"mount {index}"
        directory = mount.kind in ("tmpfs", "volume") or files.kinds.get(mount.source) == "directory"
        steps += _make(mount.at, clause, tops, directory=directory and mount.kind != "secret")
        if mount.kind == "tmpfs":
            options = {"mode": "1777", **_bounds(mount.size or DEFAULT_TMPFS_SIZE)}
            steps += calls.new_filesystem("tmpfs", name, options, _attributes(mount), clause)
        elif mount.kind == "secret":
            steps += _secret(name, mount)
        steps += [calls.open_inside("target", mount.at, clause), calls.attach(name, "target", b"", clause, note=mount.at)]
        steps.append(Step("init", "close", (Ref("target"),), clause))
    return tuple(steps)


def _tops(filesystem: Filesystem, files: Sources) -> dict[str, str]:
    """Where something is mounted → the result to make things below it in; "" where nothing is made: it is not ours."""
    ours = {mount.at: f"mount {n}" for n, mount in enumerate(ordered(filesystem.mounts)) if mount.kind == "tmpfs"}
    others = {mount.at: "" for mount in filesystem.mounts if mount.kind != "tmpfs"}
    return {"/proc": "", "/dev": "dev", **{target: "" for _, target in files.binds}, **others, **ours}


def _make(path: str, clause: str, tops: Mapping[str, str], *, directory: bool) -> list[Step]:
    above = max((top for top in tops if path.startswith(f"{top}/")), key=len, default="")
    top = tops.get(above, "root")
    return calls.make_target(path.removeprefix(above), clause, directory=directory, top=top) if top else []


def _secret(name: str, mount: Mount) -> list[Step]:
    """Write the secret into memory only, and mount that one file."""
    clause = mount.clause.path
    file = name.replace(" ", "-")
    flags = 0o1 | 0o100 | 0o200 | calls.O_CLOEXEC  # O_WRONLY | O_CREAT | O_EXCL
    value = Slot(f"secret {mount.source}")
    return [
        Step("init", "openat", (Ref("stage"), file.encode(), flags, mount.mode), clause, result="secret"),
        Step("init", "write", (Ref("secret"), value, Slot(f"secret length {mount.source}")), clause),
        Step("init", "fchown", (Ref("secret"), Slot("uid"), Slot("gid")), clause),
        Step("init", "close", (Ref("secret"),), clause),
        Step(
            "init",
            "open_tree",
            (Ref("stage"), file.encode(), calls.OPEN_TREE_CLONE | calls.O_CLOEXEC),
            clause,
            result=name,
        ),
        calls.set_attributes("init", name, _attributes(mount), clause, recursive=False),
    ]


def working_directory(path: str, filesystem: Filesystem, files: Sources) -> tuple[Step, ...]:
    """Make the working directory where the image lacks it, as Docker does, beneath the root only (CVE-2026-55686).

    Not in a directory of the host: an image names it, and it would belong to root there.
    """
    tops = _tops(filesystem, files)
    return () if path == "/" or path in tops else tuple(_make(path, "run.cwd", tops, directory=True))


def seal(filesystem: Filesystem) -> tuple[Step, ...]:
    """Turn the finished root read-only, unless the profile asks for an ephemeral one."""
    if filesystem.root != "read-only":
        return ()
    return (calls.set_attributes("init", "root", _HARDENED | calls.MOUNT_ATTR_RDONLY, ROOT, recursive=False),)


def pivot() -> tuple[Step, ...]:
    """Make the overlay the root and let go of the old one, whole."""
    mnt_detach = 2
    return (
        Step("init", "fchdir", (Ref("root"),), ROOT),
        Step("init", "pivot_root", (b".", b"."), ROOT, note="the old root now lies on top of the new one"),
        Step("init", "umount2", (b".", mnt_detach), ROOT, note="the old root is gone, with the stage and every host mount"),
        Step("init", "chdir", (b"/",), ROOT),
    )
