"""Where images lie outside the store: a directory in OCI layout, or a tar of one (or of `docker save`).

Both give files by name, and nothing that is not a regular file inside them.
"""

from __future__ import annotations

import os
import posixpath
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from enforcer.errors import ImageError
from enforcer.image.tar import TarReader
from enforcer.image.unpack import check_name
from enforcer.linux.syscalls import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from enforcer.oci.document import DOCUMENT_LIMIT

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

MEMBERS_LIMIT = 100_000
_STRICT = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS


class Part:
    """`size` bytes of an open file, from `offset`. Reading does not disturb other readers of the same file."""

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._end = offset + size
        self.size = size

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; b"" at the end."""
        data = os.pread(self._descriptor, min(size, self._end - self._offset), self._offset)
        self._offset += len(data)
        return data


class Place(Protocol):
    """Files by name. where: for messages. inputs: the files of the host whose content decides what is here."""

    where: str
    inputs: tuple[str, ...]

    def __enter__(self) -> Self:
        """Open it."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close every descriptor."""

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""

    def open(self, name: str) -> Part:
        """Raises ImageError when there is no regular file of that name."""


def read_document(place: Place, name: str) -> bytes:
    """Read a whole file of at most DOCUMENT_LIMIT bytes."""
    part = place.open(name)
    if part.size > DOCUMENT_LIMIT:
        raise ImageError(f"the document is larger than {DOCUMENT_LIMIT} bytes", where=f"{place.where}: {name}")
    return part.read(part.size)


class Directory:
    """An OCI layout in a directory. Names are resolved beneath it; a symbolic link in it is refused."""

    def __init__(self, path: str) -> None:
        self.where = path
        self.inputs: tuple[str, ...] = (os.path.join(path, "index.json"), os.path.join(path, "oci-layout"))
        self._directory = -1
        self._opened: list[int] = []

    def __enter__(self) -> Self:
        self._directory = os.open(self.where, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for descriptor in (self._directory, *self._opened):
            os.close(descriptor)

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return os.access(name, os.F_OK, dir_fd=self._directory, follow_symlinks=False)

    def open(self, name: str) -> Part:
        """Raises ImageError when there is no regular file of that name."""
        try:
            descriptor = openat2(self._directory, name, os.O_RDONLY | os.O_NONBLOCK, resolve=_STRICT)
        except OSError as error:
            raise _missing(self.where, name, error.strerror or "") from None
        self._opened.append(descriptor)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _missing(self.where, name, "it is not a regular file")
        return Part(descriptor, 0, found.st_size)


@dataclass(frozen=True, slots=True)
class _Member:
    offset: int
    size: int
    link: str = ""  # where a symbolic link leads inside the archive


class Archive:
    """A tar, not compressed as a whole. Its members are listed once and read in place."""

    def __init__(self, path: str) -> None:
        self.where = path
        self.inputs: tuple[str, ...] = (path,)
        self._descriptor = -1
        self._members: dict[str, _Member] = {}

    def __enter__(self) -> Self:
        self._descriptor = os.open(self.where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._list()
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._descriptor)

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return name in self._members

    def open(self, name: str) -> Part:
        """Raises ImageError when there is no regular file of that name, or no link to one."""
        member = self._members.get(name)
        if member is not None and member.link:  # `docker save` before 25 wrote a layer once, and links to it
            member = self._members.get(member.link)
        if member is None or member.link:
            raise _missing(self.where, name, "the archive has no such file")
        return Part(self._descriptor, member.offset, member.size)

    def _list(self) -> None:
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ImageError("not a regular file", where=self.where, hint="for a directory use oci: or rootfs:")
        if os.pread(self._descriptor, 4, 0).startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zX")):
            raise ImageError(
                "the archive is compressed as a whole",
                where=self.where,
                why="its parts are read in place, many times; the layers inside it may be compressed",
                hint="decompress it first: gunzip, unzstd",
            )
        stream = _Positioned(self._descriptor, found.st_size)
        for entry in TarReader(stream, self.where):
            name = b"/".join(check_name(entry.name, self.where)).decode(errors="surrogateescape")
            if entry.kind not in {"file", "symlink"} or entry.sparse is not None:
                continue
            if name in self._members:
                raise ImageError("two files of one name in the archive", where=f"{self.where}: {ascii(name)[:200]}")
            if len(self._members) >= MEMBERS_LIMIT:
                raise ImageError(f"more than {MEMBERS_LIMIT} files in the archive", where=self.where)
            link = entry.link.decode(errors="surrogateescape")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), link)) if entry.kind == "symlink" else ""
            self._members[name] = _Member(stream.position, entry.size, target)


class _Positioned:
    """The archive's bytes in order, for the tar reader; data is passed over without being read."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self.position = 0

    def read(self, size: int) -> bytes:
        data = os.pread(self._descriptor, size, self.position)
        self.position += len(data)
        return data

    def skip(self, size: int) -> bool:
        self.position += size
        return self.position <= self._size


def _missing(where: str, name: str, why: str) -> ImageError:
    return ImageError(f"the image lacks {name[:200]!a}", where=where, why=why)
