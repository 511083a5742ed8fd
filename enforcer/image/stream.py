"""A layer's bytes: decompressed, hashed and bounded while they are read."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol, cast

from enforcer.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enforcer.oci.image import Codec

CHUNK = 1 << 17


@dataclass(frozen=True, slots=True)
class Limits:
    """What one layer may cost. Sizes in bytes.

    entries:    members of the tar.
    total:      of the uncompressed tar, and of all files as they will appear (sparse files grow there).
    file:       of one file as it will appear.
    ratio:      uncompressed : compressed, applied once more than ratio_from bytes have come out.
    """

    entries: int = 1_000_000
    total: int = 64 << 30
    file: int = 16 << 30
    ratio: int = 1000
    ratio_from: int = 64 << 20


LIMITS = Limits()


class Source(Protocol):
    """What a layer is read from: an open file."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; b"" at the end."""


class Stream:
    """The uncompressed bytes of a layer.

    Raises ImageError from read() when the compressed data is damaged or cut off, or when it grows beyond the limits.
    """

    def __init__(self, source: Source, codec: Codec, *, where: str, limits: Limits = LIMITS) -> None:
        self.where = where
        self._limits = limits
        self._source = _Counted(source)
        self._chunks = {"": _plain, "gzip": _gunzip, "zstd": _unzstd}[codec](self._source)
        self._hash = hashlib.sha256()
        self._buffer = b""
        self._position = 0  # in the buffer: a tar is read in steps of 512 bytes
        self._produced = 0

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes, fewer only at the end."""
        end = self._position + size
        if end > len(self._buffer):
            parts = [self._buffer[self._position :]]
            have = len(parts[0])
            while have < size and (chunk := self._next()):
                parts.append(chunk)
                have += len(chunk)
            self._buffer, self._position, end = b"".join(parts), 0, size
        result = self._buffer[self._position : end]
        self._position = min(end, len(self._buffer))
        return result

    def skip(self, size: int) -> bool:
        """Leave out `size` bytes (they are hashed all the same); False when there are not as many."""
        while size and (chunk := self.read(min(size, CHUNK))):
            size -= len(chunk)
        return not size

    def digest(self) -> str:
        """The digest of all that came out, once the end has been read."""
        return f"sha256:{self._hash.hexdigest()}"

    def source_digest(self) -> str:
        """The digest of all that went in."""
        while self._source.read(CHUNK):
            pass
        return f"sha256:{self._source.hash.hexdigest()}"

    def _next(self) -> bytes:
        try:
            chunk = next((chunk for chunk in self._chunks if chunk), b"")
        except zlib.error as error:
            raise ImageError("the layer's compressed data is damaged", where=self.where, why=str(error)) from None
        except EOFError:
            raise ImageError("the layer's compressed data is cut off", where=self.where) from None
        self._hash.update(chunk)
        self._produced += len(chunk)
        self._check()
        return chunk

    def _check(self) -> None:
        if self._produced > self._limits.total:
            raise ImageError(f"the layer is larger than {self._limits.total} bytes", where=self.where)
        if self._produced > self._limits.ratio_from and self._produced > self._limits.ratio * self._source.count:
            raise ImageError(
                "the layer is a decompression bomb",
                where=self.where,
                why=f"{self._source.count} bytes became more than {self._limits.ratio} times as many",
            )


class _Counted:
    """The compressed side: counted and hashed."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.count = 0
        self.hash = hashlib.sha256()

    def read(self, size: int = CHUNK) -> bytes:
        chunk = self._source.read(size)
        self.count += len(chunk)
        self.hash.update(chunk)
        return chunk


def _plain(source: _Counted) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk


def _gunzip(source: _Counted) -> Iterator[bytes]:
    """RFC 1952: members one after another. What follows the last one and is not a member is an error."""
    pending = source.read(CHUNK)
    while pending:
        member = zlib.decompressobj(wbits=31)
        full = False
        while not member.eof:
            if not pending and not full:
                pending = source.read(CHUNK)
                if not pending:
                    raise EOFError
            chunk = member.decompress(pending, CHUNK)
            pending, full = member.unconsumed_tail, len(chunk) == CHUNK
            yield chunk
        pending = member.unused_data or source.read(CHUNK)


def _unzstd(source: _Counted) -> Iterator[bytes]:
    """RFC 8878: frames one after another, each with a window of at most 128 MiB."""
    import zstandard  # noqa: PLC0415  a launch that unpacks nothing does not load it

    unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    reader = unpacker.stream_reader(cast("IO[bytes]", source), read_size=CHUNK, read_across_frames=True)
    try:
        while chunk := reader.read(CHUNK):
            yield chunk
    except zstandard.ZstdError as error:
        raise zlib.error(str(error)) from None
