"""A layer's bytes: each codec, cut off and damaged."""

from __future__ import annotations

import contextlib
import io
import os
import time
from typing import TYPE_CHECKING

import pytest

from enforcer.errors import ImageError
from enforcer.image.stream import CHUNK, Limits, Stream
from tests.images import compress, sha256

if TYPE_CHECKING:
    from enforcer.oci.image import Codec

CODECS: list[Codec] = ["", "gzip", "zstd"]
CONTENT = os.urandom(3000) + bytes(3 * CHUNK) + b"text" * 10_000


def stream(content: bytes, codec: Codec) -> Stream:
    return Stream(io.BytesIO(content), codec, where="x", limits=Limits(ratio_from=1 << 30))


@pytest.mark.parametrize("codec", CODECS)
def test_what_was_compressed_comes_back_with_both_digests(codec: Codec) -> None:
    packed = compress(CONTENT, codec)
    source = stream(packed, codec)
    found = b"".join(iter(lambda: source.read(1000), b""))
    assert found == CONTENT
    assert (source.digest(), source.source_digest()) == (sha256(CONTENT), sha256(packed))


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_parts_one_after_another_are_one(codec: Codec) -> None:
    packed = compress(CONTENT, codec) + compress(b"more", codec)
    assert stream(packed, codec).read(1 << 30) == CONTENT + b"more"


def test_what_a_format_lets_readers_pass_over_is_passed_over() -> None:
    """zstd:chunked ends in skippable frames, estargz in an empty gzip member: they carry no data of the layer."""
    frame = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"
    assert stream(compress(CONTENT, "zstd") + frame, "zstd").read(1 << 30) == CONTENT
    assert stream(compress(CONTENT, "gzip") + compress(b"", "gzip"), "gzip").read(1 << 30) == CONTENT


def test_skipping_tells_whether_there_was_enough() -> None:
    source = stream(b"abcdef", "")
    assert source.skip(2)
    assert source.read(2) == b"cd"
    assert not source.skip(3)


@pytest.mark.parametrize("codec", CODECS)
def test_cve_2021_20291_a_truncated_stream_ends_at_once(codec: Codec) -> None:
    packed = compress(CONTENT, codec)
    started = time.monotonic()
    for cut in range(0, len(packed), max(1, len(packed) // 40)):
        source = stream(packed[:cut], codec)
        try:
            content = source.read(1 << 30)
        except ImageError:
            continue
        assert len(content) < len(CONTENT)
        assert source.digest() != sha256(CONTENT)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_damaged_data_is_an_image_error(codec: Codec) -> None:
    packed = bytearray(compress(CONTENT, codec))
    for position in range(0, min(len(packed), 4000), 97):
        packed[position] ^= 0x55
        with contextlib.suppress(ImageError):
            content = stream(bytes(packed), codec).read(1 << 30)
            assert content != CONTENT or position in range(4, 10)  # gzip's time and flags are not checked
        packed[position] ^= 0x55


def test_what_follows_a_gzip_member_and_is_none_is_refused() -> None:
    with pytest.raises(ImageError, match="damaged"):
        stream(compress(b"a", "gzip") + b"trailing", "gzip").read(100)


def test_a_gzip_cut_off_says_so() -> None:
    with pytest.raises(ImageError, match="cut off"):
        stream(compress(CONTENT, "gzip")[:-1], "gzip").read(1 << 30)


def test_limits_are_kept_exactly() -> None:
    assert len(Stream(io.BytesIO(bytes(100)), "", where="x", limits=Limits(total=100)).read(200)) == 100
    with pytest.raises(ImageError, match="larger than"):
        Stream(io.BytesIO(bytes(101)), "", where="x", limits=Limits(total=100)).read(200)


def test_the_limits_of_the_product_are_those_of_the_documentation() -> None:
    assert Limits() == Limits(entries=1_000_000, total=64 << 30, file=16 << 30, ratio=1000, ratio_from=64 << 20)
