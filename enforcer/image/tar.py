"""Reading tar: ustar, pax (POSIX.1-2017 pax, "pax Interchange Format") and the GNU format, strictly and in bounded memory.

Not `tarfile`: its header parser has no bounds (a pax header of any size is read into memory, the regular expressions of
CVE-2024-6232 are quadratic in it, chains of long names recurse), and it repairs what we want refused. Where two readers of tar
would disagree about an archive, this one refuses it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from enforcer.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


BLOCK = 512
PAX_LIMIT = 1 << 20  # bytes of one pax header; extended attributes may be 64 KiB each
LONG_NAME_LIMIT = 8192  # bytes of one GNU long name; what is too long for the kernel is refused later, by name
SPARSE_LIMIT = 65_536  # pieces of one sparse file
SIZE_LIMIT = 1 << 62
CHUNK = 1 << 20

Kind = Literal["file", "directory", "symlink", "hardlink", "character", "block", "fifo"]
_KINDS: Mapping[bytes, Kind] = {
    b"\0": "file", b"0": "file", b"7": "file", b"S": "file", b"1": "hardlink", b"2": "symlink",
    b"3": "character", b"4": "block", b"5": "directory", b"6": "fifo",
}  # fmt: skip
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ")
_DECIMAL = re.compile(rb"[0-9]{1,19}")
_TIME = re.compile(rb"(-?[0-9]{1,18})(?:\.([0-9]*))?")
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
        kind, size = header[156:157], _number(header[124:136], self)
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
        records = _records(content, self)
        if kind == b"x":
            pax.update(records)
        elif set(records) - {b"comment"}:
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
        size = _decimal(pax, b"size", self) if b"size" in pax else _number(header[124:136], self)
        if size > SIZE_LIMIT or (kind != "file" and size):
            raise self.refuse(f"a {kind} of {size} bytes", "some readers skip that many bytes and some do not")
        self.begin(size)
        sparse, length = _sparse(header, pax, size, self)
        if sparse is not None and kind != "file":
            raise self.refuse(f"a sparse {kind}")
        return Entry(
            name=name,
            kind=kind,
            mode=_number(header[100:108], self) & 0o7777,
            uid=_decimal(pax, b"uid", self) if b"uid" in pax else _number(header[108:116], self),
            gid=_decimal(pax, b"gid", self) if b"gid" in pax else _number(header[116:124], self),
            mtime=_time(pax[b"mtime"], self) if b"mtime" in pax else _number(header[136:148], self, signed=True) * 10**9,
            size=self._left,
            length=length,
            link=link,
            device=(_number(header[329:337], self), _number(header[337:345], self))
            if kind in {"character", "block"}
            else (0, 0),
            xattrs=tuple((key[len(_XATTR) :], value) for key, value in pax.items() if key.startswith(_XATTR)),
            sparse=sparse,
        )


def _check_sum(block: bytes, tar: TarReader) -> None:
    stored = _number(block[148:156], tar)
    blank = block[:148] + b" " * 8 + block[156:]
    total = sum(blank)
    if stored not in {total, total - 256 * sum(byte > 127 for byte in blank)}:  # noqa: PLR2004  old tars summed signed characters
        raise tar.refuse("a header's checksum is wrong")


def _number(field: bytes, tar: TarReader, *, signed: bool = False) -> int:
    """Read an octal field, or a base-256 one (GNU)."""
    if field[0] & 0x80:
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") - (1 << bits)
        value -= (1 << bits) if value >> (bits - 1) else 0
    else:
        match = _OCTAL.fullmatch(field)
        if match is None:
            raise tar.refuse(f"a header has {field!r} where a number is expected")
        value = int(match[1] or b"0", 8)
    if value < 0 and not signed:
        raise tar.refuse("a header has a negative number")
    return value


def _decimal(pax: Mapping[bytes, bytes], key: bytes, tar: TarReader) -> int:
    if _DECIMAL.fullmatch(pax[key]) is None:
        raise tar.refuse(f"pax {key.decode()} is {pax[key][:40]!r}, not a number")
    return int(pax[key])


def _time(text: bytes, tar: TarReader) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise tar.refuse(f"pax mtime is {text[:40]!r}")
    fraction = int((match[2] or b"")[:9].ljust(9, b"0"))
    return int(match[1]) * 10**9 + (-fraction if text.startswith(b"-") else fraction)


def _records(content: bytes, tar: TarReader) -> dict[bytes, bytes]:
    """Read pax records: a length that counts all of the record, a space, KEY=VALUE and a newline."""
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(content):
        match = _RECORD.match(content, position, position + 8)
        end = position + int(match[1]) if match else 0
        if match is None or end > len(content) or content[end - 1 : end] != b"\n":
            raise tar.refuse("a pax header is damaged")
        key, equals, value = content[match.end() : end - 1].partition(b"=")
        if not key or not equals:
            raise tar.refuse("a pax record has no key or no value")
        if key in records:
            raise tar.refuse(f"pax {key[:40]!r} is given twice")
        records[key] = value
        position = end
    return records


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


Pieces = tuple[tuple[int, int], ...]


def _sparse(header: bytes, pax: Mapping[bytes, bytes], size: int, tar: TarReader) -> tuple[Pieces | None, int]:
    """Return (pieces, length as it will appear) for GNU sparse formats: the old one, and pax 0.1 and 1.0."""
    if header[156:157] == b"S":
        numbers, length = _old_sparse_map(header, tar), _number(header[483:495], tar)
    elif b"GNU.sparse.map" in pax:
        numbers = _numbers(pax[b"GNU.sparse.map"].split(b","), tar)
        length = _decimal(pax, b"GNU.sparse.size", tar) if b"GNU.sparse.size" in pax else -1
    elif pax.get(b"GNU.sparse.major") == b"1" and pax.get(b"GNU.sparse.minor") == b"0":
        numbers = _map_in_data(tar)
        length = _decimal(pax, b"GNU.sparse.realsize", tar) if b"GNU.sparse.realsize" in pax else -1
        size -= -(-_text_length(numbers) // BLOCK) * BLOCK
    elif any(key.startswith(b"GNU.sparse.") for key in pax):
        raise tar.refuse("a sparse file in a format that is not read", "GNU's old format and pax 0.1 and 1.0 are")
    else:
        return None, size
    pieces = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    end = 0
    for offset, extent in pieces:
        if offset < end:
            raise tar.refuse("the pieces of a sparse file overlap")
        end = offset + extent
    if end > length or length > SIZE_LIMIT or sum(extent for _, extent in pieces) != size:
        raise tar.refuse("the pieces of a sparse file do not fit its size")
    return pieces, length


def _text_length(numbers: tuple[int, ...]) -> int:
    return len(str(len(numbers) // 2)) + 1 + sum(len(str(number)) + 1 for number in numbers)


def _numbers(texts: list[bytes], tar: TarReader) -> tuple[int, ...]:
    if len(texts) % 2 or len(texts) > 2 * SPARSE_LIMIT or any(_DECIMAL.fullmatch(text) is None for text in texts):
        raise tar.refuse("the map of a sparse file is damaged")
    return tuple(int(text) for text in texts)


def _map_in_data(tar: TarReader) -> tuple[int, ...]:
    """Read pax 1.0's map: decimal lines at the start of the data, filled up to a block."""
    lines: list[bytes] = []
    rest = b""
    count = None
    while count is None or len(lines) < 1 + 2 * count:
        block = tar.read(BLOCK)
        *found, rest = (rest + block).split(b"\n")
        lines += found
        if not block or len(rest) > BLOCK:
            raise tar.refuse("the map of a sparse file is cut off")
        if count is None and lines:
            count = int(lines[0]) if _DECIMAL.fullmatch(lines[0]) else SPARSE_LIMIT + 1
            if count > SPARSE_LIMIT:
                raise tar.refuse(f"a sparse file has more than {SPARSE_LIMIT} pieces")
    numbers = _numbers(lines[1 : 1 + 2 * count], tar)
    if lines[0] != b"%d" % count or [b"%d" % number for number in numbers] != lines[1 : 1 + 2 * count]:
        raise tar.refuse("the map of a sparse file has leading zeros")
    return numbers


def _old_sparse_map(header: bytes, tar: TarReader) -> tuple[int, ...]:
    """Read the old GNU map: four pieces in the header, 21 in each block that follows it."""
    numbers: list[int] = []
    fields, more = header[386:482], header[482]
    while True:
        for start in range(0, len(fields), 24):
            piece = fields[start : start + 24]
            if piece.strip(b"\0"):
                numbers += _number(piece[:12], tar), _number(piece[12:], tar)
        if not more:
            return tuple(numbers)
        if len(numbers) > 2 * SPARSE_LIMIT:
            raise tar.refuse(f"a sparse file has more than {SPARSE_LIMIT} pieces")
        block = tar.block()
        fields, more = block[:504], block[504]
