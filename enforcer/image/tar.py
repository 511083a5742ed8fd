"""Reading tar: ustar, pax (POSIX.1-2017 pax, "pax Interchange Format") and the GNU format, strictly and in bounded memory.

Not `tarfile`: its header parser has no bounds (a pax header of any size is read into memory, the regular expressions of
CVE-2024-6232 are quadratic in it, chains of long names recurse), and it repairs what we want refused. Where two readers of tar
would disagree about an archive, this one refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from enforcer.errors import ImageError
from enforcer.image.tar_header import BLOCK, decimal, number, records, time
from enforcer.image.tar_sparse import SIZE_LIMIT, read_sparse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


PAX_LIMIT = 1 << 20  # bytes of one pax header; extended attributes may be 64 KiB each
LONG_NAME_LIMIT = 8192  # bytes of one GNU long name; what is too long for the kernel is refused later, by name
CHUNK = 1 << 20

Kind = Literal["file", "directory", "symlink", "hardlink", "character", "block", "fifo"]
_KINDS: Mapping[bytes, Kind] = {
    b"\0": "file", b"0": "file", b"7": "file", b"S": "file", b"1": "hardlink", b"2": "symlink",
    b"3": "character", b"4": "block", b"5": "directory", b"6": "fifo",
}  # fmt: skip
_XATTR = b"SCHILY.xattr."


@dataclass(frozen=True, slots=True)
class Entry:
    """One member. name and link are as written. size: bytes of data in the archive. length: of the file as it will appear.

    device: (major, minor). xattrs: (name, value). sparse: (offset, length) of the pieces that the data consists of, in order;
    None for an ordinary file. mtime in nanoseconds.
    """

    name: bytes
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    length: int
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    sparse: tuple[tuple[int, int], ...] | None = None


class Bytes(Protocol):
    """Where an archive's bytes come from."""

    def read(self, size: int, /) -> bytes:
        """Return exactly `size` bytes, fewer only at the end."""

    def skip(self, size: int, /) -> bool:
        """Leave out `size` bytes; False when there are not as many."""


class TarReader:
    """The members of a tar, in order. Iterate; between two steps, `read` gives the data of the current member."""

    def __init__(self, stream: Bytes, where: str) -> None:
        self._stream = stream
        self._where = where
        self._number = 0
        self._left = 0  # data of the current member that was not read yet
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        """Yield each member.

        Raises ImageError for a damaged, truncated or ambiguous archive.
        """
        while (header := self._header()) is not None:
            pax: dict[bytes, bytes] = {}
            names: dict[bytes, bytes] = {}
            while header[156:157] in b"xgLK":
                self._extension(header, pax, names)
                following = self._header()
                if following is None:
                    raise self.refuse("the archive ends after an extended header")
                header = following
            yield self._entry(header, pax, names)

    def read(self, size: int = CHUNK) -> bytes:
        """Return exactly `size` bytes of the current member's data, fewer at its end."""
        size = min(size, self._left)
        data = self._stream.read(size)
        if len(data) < size:
            raise self.refuse("the archive is cut off inside a file")
        self._left -= size
        return data

    def _header(self) -> bytes | None:
        """The next header block; None at the end of the archive, after which only zeros may come."""
        if not self._stream.skip(self._left + self._padding):
            raise self.refuse("the archive is cut off inside a file")
        self._left = self._padding = 0
        block = self._stream.read(BLOCK)
        if not block:
            return None
        if len(block) < BLOCK:
            raise self.refuse("the archive is cut off inside a header")
        if not block.strip(b"\0"):
            while rest := self._stream.read(CHUNK):
                if rest.strip(b"\0"):
                    raise self.refuse("data follows the end of the archive", "some readers would read on and see other files")
            return None
        self._number += 1
        _check_sum(block, self)
        return block

    def begin(self, size: int) -> None:
        """Set how much data follows the header that was just read."""
        self._left = size
        self._padding = -size % BLOCK

    def refuse(self, what: str, why: str = "") -> ImageError:
        """Make the error for the current entry."""
        return ImageError(what, where=f"{self._where}: entry {self._number}", why=why)

    def block(self) -> bytes:
        """Read one more header block."""
        block = self._stream.read(BLOCK)
        if len(block) < BLOCK:
            raise self.refuse("the archive is cut off inside a header")
        return block

    def _extension(self, header: bytes, pax: dict[bytes, bytes], names: dict[bytes, bytes]) -> None:
        kind, size = header[156:157], number(header[124:136], self)
        limit = PAX_LIMIT if kind in b"xg" else LONG_NAME_LIMIT
        if size > limit:
            raise self.refuse(f"an extended header is larger than {limit} bytes")
        self.begin(size)
        content = self.read(size)
        if kind in b"LK":
            if kind in names:
                raise self.refuse("two long names for one entry")
            names[kind] = content.rstrip(b"\0")
            return
        if kind == b"x" and pax:
            raise self.refuse("two pax headers for one entry")
        found = records(content, self)
        if kind == b"x":
            pax.update(found)
        elif set(found) - {b"comment"}:
            raise self.refuse("a global pax header changes later entries", "some readers apply it and some do not")

    def _entry(self, header: bytes, pax: dict[bytes, bytes], names: dict[bytes, bytes]) -> Entry:
        name, link = _names(header, pax, names, self)
        flag = header[156:157]
        if flag not in _KINDS:
            raise self.refuse(f"an entry of unknown type {flag!r}")
        kind = _KINDS[flag]
        if kind == "file" and name.endswith(b"/"):
            if flag != b"\0":
                raise self.refuse("a file whose name ends with a slash", "some readers take it for a directory")
            kind = "directory"  # before 1988 a directory had no type of its own
        size = decimal(pax, b"size", self) if b"size" in pax else number(header[124:136], self)
        if size > SIZE_LIMIT or (kind != "file" and size):
            raise self.refuse(f"a {kind} of {size} bytes", "some readers skip that many bytes and some do not")
        self.begin(size)
        sparse, length = read_sparse(header, pax, size, self)
        if sparse is not None and kind != "file":
            raise self.refuse(f"a sparse {kind}")
        return Entry(
            name=name,
            kind=kind,
            mode=number(header[100:108], self) & 0o7777,
            uid=decimal(pax, b"uid", self) if b"uid" in pax else number(header[108:116], self),
            gid=decimal(pax, b"gid", self) if b"gid" in pax else number(header[116:124], self),
            mtime=time(pax[b"mtime"], self) if b"mtime" in pax else number(header[136:148], self, signed=True) * 10**9,
            size=self._left,
            length=length,
            link=link,
            device=(number(header[329:337], self), number(header[337:345], self)) if kind in {"character", "block"} else (0, 0),
            xattrs=tuple((key[len(_XATTR) :], value) for key, value in pax.items() if key.startswith(_XATTR)),
            sparse=sparse,
        )


def _check_sum(block: bytes, tar: TarReader) -> None:
    stored = number(block[148:156], tar)
    blank = block[:148] + b" " * 8 + block[156:]
    total = sum(blank)
    if stored == total:
        return
    if stored != total - 256 * sum(byte > 127 for byte in blank):  # noqa: PLR2004  old tars summed signed characters
        raise tar.refuse("a header's checksum is wrong")


def _names(header: bytes, pax: Mapping[bytes, bytes], long: Mapping[bytes, bytes], tar: TarReader) -> tuple[bytes, bytes]:
    if pax.get(b"hdrcharset", b"BINARY") not in {b"BINARY", b"ISO-IR 10646 2000 UTF-8"}:
        raise tar.refuse("a pax header has a character set of its own")
    name, link = header[:100].partition(b"\0")[0], header[157:257].partition(b"\0")[0]
    if header[257:263] == b"ustar\0" and header[345] != 0:
        name = header[345:500].partition(b"\0")[0] + b"/" + name
    chosen = []
    for short, pax_key, gnu_key in ((name, b"path", b"L"), (link, b"linkpath", b"K")):
        given = [values[key] for values, key in ((pax, pax_key), (long, gnu_key)) if key in values]
        if len(given) > 1:
            raise tar.refuse("an entry has a GNU long name and a pax name", "some readers take one and some the other")
        if given and not given[0]:
            raise tar.refuse("an extended header gives an empty name")
        chosen.append(given[0] if given else short)
    if b"GNU.sparse.name" in pax:
        chosen[0] = pax[b"GNU.sparse.name"]
    if b"\0" in chosen[0] or b"\0" in chosen[1]:
        raise tar.refuse("a name holds a NUL byte", "the kernel would see only what is before it")
    return chosen[0], chosen[1]
