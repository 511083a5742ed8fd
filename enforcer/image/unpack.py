"""Unpacking a layer: from a tar of unknown origin to a directory that overlayfs stacks.

What is refused is refused before anything is made of it; what is left out is written to the layer's record.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from enforcer.errors import ImageError
from enforcer.image.stack import open_path
from enforcer.image.stream import LIMITS, Limits
from enforcer.image.tar import Entry, TarReader
from enforcer.image.tree import DEPTH_LIMIT, Parts, Tree

if TYPE_CHECKING:
    from enforcer.image.stream import Stream

NAME_LIMIT = 4096  # bytes, PATH_MAX
PART_LIMIT = 255  # bytes, NAME_MAX
ID_LIMIT = (1 << 31) - 1  # beyond it, ids turn negative in other hands (CVE-2024-40635)
XATTR_LIMIT = 64 << 10  # bytes, XATTR_SIZE_MAX
_TIME_LIMIT = 1 << 33  # seconds on either side of 1970 that file systems keep

_WHITEOUT = b".wh."
_OPAQUE = b".wh..wh..opq"


@dataclass(slots=True)
class Record:
    """What of a layer is not on disk as the archive had it; names as the kernel's, decoded with surrogateescape.

    devices: (name, "c" or "b", major, minor), not made. setid: (name, mode), made without S_ISUID and S_ISGID.
    xattrs: (name, attribute), not set. opaque_root: the layer hides all layers below it.
    implied: directories that no entry describes.
    """

    devices: list[tuple[str, str, int, int]] = field(default_factory=list)
    setid: list[tuple[str, int]] = field(default_factory=list)
    xattrs: list[tuple[str, str]] = field(default_factory=list)
    opaque_root: bool = False
    implied: list[str] = field(default_factory=list)


def extract(stream: Stream, place: str, *, owners: bool, below: tuple[str, ...] = (), limits: Limits = LIMITS) -> Record:
    """Unpack a tar into the empty directory `place`, which stays mode 0700 until the end. See `layers.unpack_layer`."""
    where = stream.where
    unpacking = _Unpacking(TarReader(stream, where), Tree(place, where), below, owners=owners)
    try:
        total = 0
        for number, entry in enumerate(unpacking.tar, 1):
            total += entry.length
            if number > limits.entries:
                raise ImageError(f"the layer has more than {limits.entries} entries", where=where)
            if entry.length > limits.file:
                raise ImageError(f"a file is larger than {limits.file} bytes", where=f"{where}: {_show(entry.name)}")
            if total > limits.total:
                raise ImageError(f"the files of the layer are larger than {limits.total} bytes", where=where)
            unpacking.add(entry)
        unpacking.finish()
        while stream.read(1 << 20):
            pass
    finally:
        unpacking.tree.close()
    return unpacking.record


def check_name(name: bytes, where: str) -> Parts:
    """Split the name of an entry into its parts; () is the layer's root.

    Raises ImageError for a name that is empty, absolute, too long or too deep, or that has "..", NUL or an overlong part.
    """
    refusal = ""
    parts = tuple(part for part in name.split(b"/") if part not in {b"", b"."})
    if not name:
        refusal = "it is empty"
    elif name.startswith(b"/"):
        refusal = "it is absolute"
    elif b".." in parts:
        refusal = "it has a '..' (CVE-2007-4559)"
    elif b"\0" in name:
        refusal = "it has a NUL byte"
    elif len(name) > NAME_LIMIT or len(parts) > DEPTH_LIMIT or any(len(part) > PART_LIMIT for part in parts):
        refusal = f"a name has at most {NAME_LIMIT} bytes in {DEPTH_LIMIT} parts of {PART_LIMIT}"
    if refusal:
        raise ImageError("an entry's name is refused", where=f"{where}: {_show(name)}", why=refusal)
    return parts


class _Unpacking:
    """One layer on its way to disk."""

    def __init__(self, tar: TarReader, tree: Tree, below: tuple[str, ...], *, owners: bool) -> None:
        self.tar = tar
        self.tree = tree
        self.record = Record()
        self._where = tree.where
        self._below = below
        self._owners = owners
        self._directories: dict[Parts, Entry] = {}
        self._whiteouts: set[Parts] = set()
        self._opaque: set[Parts] = set()

    def add(self, entry: Entry) -> None:
        """Make what one entry describes."""
        parts = check_name(entry.name, self._where)
        if max(entry.uid, entry.gid) > ID_LIMIT:
            raise self._refuse(entry, "an owner's id is beyond 2^31 - 1")
        if not parts:
            self._root(entry)
            return
        if any(part.startswith(_WHITEOUT) for part in parts):
            self._whiteout(entry, parts)
            return
        self._note(entry)
        if entry.kind == "directory":
            self.tree.make_directory(parts)
            self._directories[parts] = entry
        elif entry.kind == "file":
            self._file(entry, parts)
        elif entry.kind == "hardlink":
            self._hardlink(entry, parts)
        elif entry.kind in {"symlink", "fifo"}:
            self._node(entry, parts)
        else:
            self.record.devices.append((os.fsdecode(entry.name), entry.kind[0], *entry.device))

    def finish(self) -> None:
        """Whiteouts, which may stand before or after what they are about; then directories, which may lock us out."""
        for parts in self._opaque:
            self._directory(parts)
        for parts in sorted(self._whiteouts):
            if any(parts[:depth] in self._opaque for depth in range(len(parts))):
                continue  # hidden already
            if self.tree.is_below_another_kind(parts):
                continue  # so is what was in a directory that this layer replaces by a file or a link
            kind = self.tree.kind(parts)
            if kind == stat.S_IFDIR:
                self._opaque.add(parts)  # removed below and made anew here
            elif not kind and not self.tree.make_whiteout(parts):
                self._whiteout_by_xattr(parts)
        self.record.opaque_root = () in self._opaque
        self._directories.setdefault((), _directory_entry(()))
        for parts in sorted({*self.tree.implied, *self._opaque} - self._directories.keys()):
            self._directories[parts] = self._inherited(parts)
        for parts in sorted(self._directories, key=len, reverse=True):
            self._complete(parts, self._directories[parts])

    def _refuse(self, entry: Entry, what: str, why: str = "") -> ImageError:
        return ImageError(what, where=f"{self._where}: {_show(entry.name)}", why=why)

    def _root(self, entry: Entry) -> None:
        if entry.kind != "directory":
            raise self._refuse(
                entry, f"the layer's root is a {entry.kind}", "only a directory can be unpacked into (CVE-2021-29136)"
            )
        self._note(entry)
        self._directories[()] = entry

    def _whiteout(self, entry: Entry, parts: Parts) -> None:
        """Take a mark for overlayfs (image-spec, layer.md, "Whiteouts"); any other use of the prefix is a trick."""
        name, above = parts[-1], parts[:-1]
        if any(part.startswith(_WHITEOUT) for part in above) or entry.kind != "file" or entry.length:
            raise self._refuse(entry, "a name that starts with .wh. is not an empty file")
        if name == _OPAQUE:
            self._opaque.add(above)
            return
        hidden = name[len(_WHITEOUT) :]
        if hidden in {b"", b".", b".."} or hidden.startswith(_WHITEOUT):
            raise self._refuse(entry, "a whiteout of nothing that can be there")
        self._whiteouts.add((*above, hidden))

    def _note(self, entry: Entry) -> None:
        """Record what is left out of an entry: setuid, setgid, and every extended attribute outside user.*."""
        name = os.fsdecode(entry.name)
        if entry.mode & (stat.S_ISUID | stat.S_ISGID) and entry.kind != "symlink":
            self.record.setid.append((name, entry.mode))
        for key, value in entry.xattrs:
            if key.startswith((b"user.overlay.", b"trusted.overlay.")):
                raise self._refuse(entry, f"the extended attribute {_show(key)}", "it would give orders to overlayfs")
            if not key.startswith(b"user.") or len(key) > PART_LIMIT or len(value) > XATTR_LIMIT:
                self.record.xattrs.append((name, os.fsdecode(key)))

    def _file(self, entry: Entry, parts: Parts) -> None:
        descriptor = self.tree.make_file(parts)
        try:
            if entry.sparse is None:
                while chunk := self.tar.read():
                    _write(descriptor, chunk)
            else:
                self._sparse(descriptor, entry)
            self._attributes(descriptor, entry)
        finally:
            os.close(descriptor)

    def _sparse(self, descriptor: int, entry: Entry) -> None:
        for offset, extent in entry.sparse or ():
            os.lseek(descriptor, offset, os.SEEK_SET)
            left = extent
            while left and (chunk := self.tar.read(min(left, 1 << 20))):
                _write(descriptor, chunk)
                left -= len(chunk)
        os.ftruncate(descriptor, entry.length)

    def _hardlink(self, entry: Entry, parts: Parts) -> None:
        target = check_name(entry.link, f"{self._where}: {_show(entry.name)} links to")
        if not target or any(part.startswith(_WHITEOUT) for part in target):
            raise self._refuse(entry, "a hard link to something that is not a file")
        self.tree.make_hardlink(parts, target)

    def _node(self, entry: Entry, parts: Parts) -> None:
        if entry.kind == "fifo":
            self.tree.make_fifo(parts)
        elif not entry.link or len(entry.link) >= NAME_LIMIT:
            raise self._refuse(entry, "a symbolic link's target is empty or too long")
        else:
            self.tree.make_symlink(parts, entry.link)
        parent, name = self.tree.parent(parts), parts[-1]
        if self._owners:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.kind == "fifo":
            os.chmod(name, entry.mode & 0o1777, dir_fd=parent)
        os.utime(name, ns=_times(entry), dir_fd=parent, follow_symlinks=False)

    def _attributes(self, descriptor: int, entry: Entry) -> None:
        """Owner before mode (chown clears bits), then attributes, then times."""
        if self._owners:
            os.fchown(descriptor, entry.uid, entry.gid)
        for key, value in entry.xattrs:
            if key.startswith(b"user.") and len(key) <= PART_LIMIT and len(value) <= XATTR_LIMIT:
                self._set_xattr(descriptor, entry, key, value)
        os.fchmod(descriptor, entry.mode & 0o1777)
        os.utime(descriptor, ns=_times(entry))

    def _set_xattr(self, descriptor: int, entry: Entry, key: bytes, value: bytes) -> None:
        try:
            os.setxattr(descriptor, key, value)
        except OSError as error:  # the file system keeps none, or not as many
            if error.errno not in {errno.ENOTSUP, errno.ENOSPC, errno.E2BIG, errno.ERANGE}:
                raise
            self.record.xattrs.append((os.fsdecode(entry.name), os.fsdecode(key)))

    def _directory(self, parts: Parts) -> None:
        if parts and self.tree.kind(parts) != stat.S_IFDIR:
            self.tree.make_directory(parts)

    def _inherited(self, parts: Parts) -> Entry:
        """What a directory that no entry describes is: as in the layers below, else root's with mode 0755."""
        name = os.fsdecode(b"/".join(parts))
        self.record.implied.append(name)
        descriptor = open_path(self._below, name)
        if descriptor is None:
            return _directory_entry(parts)
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if not stat.S_ISDIR(found.st_mode):
            return _directory_entry(parts)
        return _directory_entry(parts, stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid), found.st_mtime_ns)

    def _whiteout_by_xattr(self, parts: Parts) -> None:
        """Where mknod is refused: an empty file with user.overlay.whiteout, in a directory marked "x" (overlayfs.rst)."""
        descriptor = self.tree.make_file(parts)
        try:
            os.setxattr(descriptor, "user.overlay.whiteout", b"y")
        finally:
            os.close(descriptor)
        directory = self.tree.open_directory(parts[:-1])
        try:
            os.setxattr(directory, "user.overlay.opaque", b"x")
        finally:
            os.close(directory)
        self.tree.implied.append(parts[:-1])

    def _complete(self, parts: Parts, entry: Entry) -> None:
        descriptor = self.tree.open_directory(parts)
        try:
            if parts in self._opaque:
                os.setxattr(descriptor, "user.overlay.opaque", b"y")
                if self._owners:
                    os.setxattr(descriptor, "trusted.overlay.opaque", b"y")
            self._attributes(descriptor, entry)
        finally:
            os.close(descriptor)


def _directory_entry(parts: Parts, mode: int = 0o755, owner: tuple[int, int] = (0, 0), mtime: int = 0) -> Entry:
    return Entry(b"/".join(parts) or b".", "directory", mode, *owner, mtime, 0, 0)


def _times(entry: Entry) -> tuple[int, int]:
    time = max(-_TIME_LIMIT, min(_TIME_LIMIT, entry.mtime // 10**9)) * 10**9 + entry.mtime % 10**9
    return time, time


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _show(name: bytes) -> str:
    return ascii(os.fsdecode(name)[:200])
