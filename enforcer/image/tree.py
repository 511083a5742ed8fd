"""The directory of one layer while it is unpacked. Every name is resolved beneath its descriptor, by openat2(2).

A parent that is a symbolic link is followed as inside a container: RESOLVE_IN_ROOT, so that neither "..", nor an absolute
target, nor a link to a link leads out of this directory. The last part of a name is never followed.
"""

from __future__ import annotations

import errno
import os
import stat
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from enforcer.errors import ImageError
from enforcer.linux.syscalls import (
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    openat2,
)

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH_LIMIT = 256

Parts = tuple[bytes, ...]
_T = TypeVar("_T")

_STRICT = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
_INSIDE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
_WORKING = 0o700  # of every directory until the layer is complete: its own mode could shut us out


class Tree:
    """One layer's directory. Names are tuples of parts, checked before: no "..", no "." and no slash in them."""

    def __init__(self, path: str, where: str) -> None:
        self._root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self.where = where
        self._last: tuple[Parts, int] | None = None
        self.implied: list[Parts] = []  # directories that no entry named, but an entry below them needed

    def close(self) -> None:
        """Close the descriptors."""
        self._forget()
        os.close(self._root)

    def parent(self, parts: Parts) -> int:
        """Return a descriptor of the directory that holds `parts`, made if missing. It is valid until the next call."""
        above = parts[:-1]
        if not above:
            return self._root
        if self._last is None or self._last[0] != above:
            self._forget()
            self._last = (above, self._directory(above))
            self._check_depth(parts)
        return self._last[1]

    def open_directory(self, parts: Parts, flags: int = os.O_RDONLY) -> int:
        """Open a directory of the layer; the last part must not be a link. The caller closes it."""
        return openat2(self._root, _join(parts), flags | os.O_DIRECTORY | os.O_NOFOLLOW, resolve=_INSIDE)

    def kind(self, parts: Parts) -> int:
        """The type bits of what is at this name (S_IFREG, …), 0 when nothing is."""
        try:
            return stat.S_IFMT(os.stat(parts[-1], dir_fd=self.parent(parts), follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return 0

    def is_below_another_kind(self, parts: Parts) -> bool:
        """Whether this layer has something at a part of the name above the last that is not a directory."""
        try:
            os.close(openat2(self._root, _join(parts[:-1]), os.O_PATH | os.O_DIRECTORY, resolve=_STRICT))
        except OSError as error:
            return error.errno in {errno.ENOTDIR, errno.ELOOP}
        return False

    def make_directory(self, parts: Parts) -> None:
        """Make a directory; one that is there already stays as it is."""
        if self.kind(parts) != stat.S_IFDIR:
            self._create(parts, stat.S_IFDIR, lambda parent: os.mkdir(parts[-1], _WORKING, dir_fd=parent))

    def make_file(self, parts: Parts) -> int:
        """Make an empty file and return a descriptor to write to it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return self._create(parts, stat.S_IFREG, lambda parent: os.open(parts[-1], flags, 0o600, dir_fd=parent))

    def make_symlink(self, parts: Parts, target: bytes) -> None:
        """Make a symbolic link."""
        self._create(parts, stat.S_IFLNK, lambda parent: os.symlink(target, parts[-1], dir_fd=parent))

    def make_fifo(self, parts: Parts) -> None:
        """Make a named pipe."""
        self._create(parts, stat.S_IFIFO, lambda parent: os.mkfifo(parts[-1], 0o600, dir_fd=parent))

    def make_hardlink(self, parts: Parts, target: Parts) -> None:
        """Give a regular file of this layer a second name."""
        if parts == target:
            raise ImageError("a hard link to itself", where=self._at(parts))
        try:
            holder = openat2(self._root, _join(target[:-1]), os.O_PATH | os.O_DIRECTORY, resolve=_INSIDE)
        except OSError:
            raise self._no_target(parts, target) from None
        try:
            kind = stat.S_IFMT(os.stat(target[-1], dir_fd=holder, follow_symlinks=False).st_mode)
            if kind != stat.S_IFREG:
                raise ImageError(
                    "a hard link to something that is not a file", where=self._at(parts), why=f"to {_show(target)}"
                )
            name = parts[-1]
            link = partial(os.link, target[-1], name, src_dir_fd=holder, follow_symlinks=False)
            self._create(parts, stat.S_IFREG, lambda parent: link(dst_dir_fd=parent))
        except FileNotFoundError:
            raise self._no_target(parts, target) from None
        finally:
            os.close(holder)

    def make_whiteout(self, parts: Parts) -> bool:
        """Mark a name of the layers below as removed: overlayfs's character device 0:0. False if the kernel refuses it."""
        try:
            os.mknod(parts[-1], stat.S_IFCHR, 0, dir_fd=self.parent(parts))
        except PermissionError:
            return False
        return True

    def _create(self, parts: Parts, kind: int, make: Callable[[int], _T]) -> _T:
        """Make what an entry describes. One of the same type is replaced; one of another type is a contradiction."""
        parent = self.parent(parts)
        try:
            return make(parent)
        except FileExistsError:
            if self.kind(parts) != kind or kind == stat.S_IFDIR:
                raise ImageError(
                    "an entry contradicts an earlier one",
                    where=self._at(parts),
                    why="the same name is given two types; readers differ in which one stays",
                ) from None
        os.unlink(parts[-1], dir_fd=parent)
        return make(parent)

    def _directory(self, parts: Parts) -> int:
        """Open a directory of the layer, following links inside it, and make what is missing of it."""
        try:
            return openat2(self._root, _join(parts), os.O_PATH | os.O_DIRECTORY, resolve=_INSIDE)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._not_inside(parts, error) from None
        parent = self._directory(parts[:-1]) if len(parts) > 1 else os.dup(self._root)
        try:
            os.mkdir(parts[-1], _WORKING, dir_fd=parent)
            self.implied.append(parts)
        except FileExistsError:
            pass  # a link that leads nowhere: opening it says so
        finally:
            os.close(parent)
        try:
            return openat2(self._root, _join(parts), os.O_PATH | os.O_DIRECTORY, resolve=_INSIDE)
        except OSError as error:
            raise self._not_inside(parts, error) from None

    def _check_depth(self, parts: Parts) -> None:
        """Bound how deep links that lead to links let a tree grow: removing it must not run out of anything."""
        if self._last is not None and _path(self._last[1]).count(b"/") - _path(self._root).count(b"/") > DEPTH_LIMIT:
            raise ImageError(f"an entry lies deeper than {DEPTH_LIMIT} directories", where=self._at(parts))

    def _not_inside(self, parts: Parts, error: OSError) -> ImageError:
        reasons = {
            errno.ENOENT: "it is a symbolic link that leads nowhere inside the layer",
            errno.ELOOP: "symbolic links lead in a circle",
            errno.ENOTDIR: "it is not a directory",
        }
        why = reasons.get(error.errno or 0, os.strerror(error.errno or 0))
        return ImageError("an entry lies below a name that is not a directory of the layer", where=self._at(parts), why=why)

    def _no_target(self, parts: Parts, target: Parts) -> ImageError:
        return ImageError("a hard link to a file that is not in the layer", where=self._at(parts), why=f"to {_show(target)}")

    def _at(self, parts: Parts) -> str:
        return f"{self.where}: {_show(parts)}"

    def _forget(self) -> None:
        if self._last is not None:
            os.close(self._last[1])
            self._last = None


def _path(descriptor: int) -> bytes:
    return os.readlink(b"/proc/self/fd/%d" % descriptor)


def _join(parts: Parts) -> bytes:
    return b"/".join(parts) or b"."


def _show(parts: Parts) -> str:
    return ascii(os.fsdecode(b"/".join(parts))[:200])
