"""Sparse files in tar: which pieces of a file its data holds (GNU's old format, and its pax formats 0.1 and 1.0)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.image.tar_header import BLOCK, DECIMAL, Reader, decimal, number

if TYPE_CHECKING:
    from collections.abc import Mapping

SPARSE_LIMIT = 65_536  # pieces of one sparse file
SIZE_LIMIT = 1 << 62  # bytes

Pieces = tuple[tuple[int, int], ...]


def read_sparse(header: bytes, pax: Mapping[bytes, bytes], size: int, tar: Reader) -> tuple[Pieces | None, int]:
    """Return (pieces, length as it will appear) for GNU sparse formats: the old one, and pax 0.1 and 1.0."""
    if header[156:157] == b"S":
        numbers, length = _old_sparse_map(header, tar), number(header[483:495], tar)
    elif b"GNU.sparse.map" in pax:
        numbers = _numbers(pax[b"GNU.sparse.map"].split(b","), tar)
        length = decimal(pax, b"GNU.sparse.size", tar) if b"GNU.sparse.size" in pax else -1
    elif pax.get(b"GNU.sparse.major") == b"1" and pax.get(b"GNU.sparse.minor") == b"0":
        numbers = _map_in_data(tar)
        length = decimal(pax, b"GNU.sparse.realsize", tar) if b"GNU.sparse.realsize" in pax else -1
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


def _numbers(texts: list[bytes], tar: Reader) -> tuple[int, ...]:
    if len(texts) % 2 or len(texts) > 2 * SPARSE_LIMIT or any(DECIMAL.fullmatch(text) is None for text in texts):
        raise tar.refuse("the map of a sparse file is damaged")
    return tuple(int(text) for text in texts)


def _map_in_data(tar: Reader) -> tuple[int, ...]:
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
            count = int(lines[0]) if DECIMAL.fullmatch(lines[0]) else SPARSE_LIMIT + 1
            if count > SPARSE_LIMIT:
                raise tar.refuse(f"a sparse file has more than {SPARSE_LIMIT} pieces")
    numbers = _numbers(lines[1 : 1 + 2 * count], tar)
    if lines[0] != b"%d" % count or [b"%d" % number for number in numbers] != lines[1 : 1 + 2 * count]:
        raise tar.refuse("the map of a sparse file has leading zeros")
    return numbers


def _old_sparse_map(header: bytes, tar: Reader) -> tuple[int, ...]:
    """Read the old GNU map: four pieces in the header, 21 in each block that follows it."""
    numbers: list[int] = []
    fields, more = header[386:482], header[482]
    while True:
        for start in range(0, len(fields), 24):
            piece = fields[start : start + 24]
            if piece.strip(b"\0"):
                numbers += number(piece[:12], tar), number(piece[12:], tar)
        if not more:
            return tuple(numbers)
        if len(numbers) > 2 * SPARSE_LIMIT:
            raise tar.refuse(f"a sparse file has more than {SPARSE_LIMIT} pieces")
        block = tar.block()
        fields, more = block[:504], block[504]
