"""The fields of tar headers: numbers in their two writings, pax records."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enforcer.errors import ImageError

BLOCK = 512
DECIMAL = re.compile(rb"[0-9]{1,19}")
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ")
_TIME = re.compile(rb"(-?[0-9]{1,18})(?:\.([0-9]*))?")


class Reader(Protocol):
    """The archive that a field is from."""

    def refuse(self, what: str, why: str = "") -> ImageError:
        """Make the error for the current entry."""

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes of the current member's data, fewer at its end."""

    def block(self) -> bytes:
        """Read one more header block."""


def number(field: bytes, tar: Reader, *, signed: bool = False) -> int:
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


def decimal(pax: Mapping[bytes, bytes], key: bytes, tar: Reader) -> int:
    """Read the pax record `key` as a number without sign."""
    if DECIMAL.fullmatch(pax[key]) is None:
        raise tar.refuse(f"pax {key.decode()} is {pax[key][:40]!r}, not a number")
    return int(pax[key])


def time(text: bytes, tar: Reader) -> int:
    """Read a pax time, seconds with any fraction, as nanoseconds."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise tar.refuse(f"pax mtime is {text[:40]!r}")
    fraction = int((match[2] or b"")[:9].ljust(9, b"0"))
    return int(match[1]) * 10**9 + (-fraction if text.startswith(b"-") else fraction)


def records(content: bytes, tar: Reader) -> dict[bytes, bytes]:
    """Read pax records: a length that counts all of the record, a space, KEY=VALUE and a newline."""
    found: dict[bytes, bytes] = {}
    position = 0
    while position < len(content):
        match = _RECORD.match(content, position, position + 8)
        end = position + int(match[1]) if match else 0
        if match is None or end > len(content) or content[end - 1 : end] != b"\n":
            raise tar.refuse("a pax header is damaged")
        key, equals, value = content[match.end() : end - 1].partition(b"=")
        if not key or not equals:
            raise tar.refuse("a pax record has no key or no value")
        if key in found:
            raise tar.refuse(f"pax {key[:40]!r} is given twice")
        found[key] = value
        position = end
    return found
