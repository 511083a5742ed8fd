"""Layers that nobody wrote on purpose: never anything but an ImageError, never two seconds, never anything outside.

ENFORCER_FUZZ_ROUNDS sets how many of each kind are tried (default 400).
"""

from __future__ import annotations

import io
import os
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from enforcer.errors import ImageError
from enforcer.image.store import discard
from enforcer.image.stream import Limits, Stream
from enforcer.image.tar import PAX_LIMIT
from enforcer.image.unpack import extract
from enforcer.oci.document import parse_object
from enforcer.oci.image import parse_config, parse_index_or_manifest
from enforcer.oci.reference import parse_reference
from enforcer.oci.user import resolve_user
from tests.images import (
    BLOCK,
    CHAR,
    DIR,
    FIFO,
    HARD,
    REG,
    SYM,
    compress,
    fingerprint,
    header,
    image,
    member,
    pax,
    raw_pax,
    tar,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enforcer.oci.image import Codec

ROUNDS = int(os.environ.get("ENFORCER_FUZZ_ROUNDS", "400"))
SECONDS = 2.0
LIMITS = Limits(entries=10_000, total=64 << 20, file=32 << 20)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    outside = tmp_path / "host"
    (outside / "etc").mkdir(parents=True)
    (outside / "canary").write_text("untouched")
    (outside / "layers").mkdir()
    return outside


def attempt(content: bytes, host: Path, codec: Codec = "") -> bool:
    """Unpack; whether it was accepted. Anything but an ImageError, or two seconds, fails the test."""
    place = host / "layers" / "new"
    place.mkdir()
    started = time.monotonic()
    accepted = False
    with suppress(ImageError):
        stream = Stream(io.BytesIO(content), codec, where="layer", limits=LIMITS)
        extract(stream, str(place), owners=os.geteuid() == 0, limits=LIMITS)
        accepted = True
    assert time.monotonic() - started < SECONDS
    discard(str(place))
    return accepted


def hostile(dice: random.Random, host: Path) -> Iterator[bytes]:
    """A few entries that refer to each other and to the host, in every type."""
    names = [
        "a",
        "a/b",
        "a/b/c",
        "s",
        "s/x",
        "s/s/x",
        "d",
        "d/e",
        ".",
        "./",
        "../canary",
        "a/../../canary",
        str(host / "canary"),
    ]
    names += [".wh.a", "s/.wh.canary", "d/.wh..wh..opq", ".wh..wh..opq", "s/.wh..wh..opq", ".wh.", "x" * 99]
    targets = [
        "a",
        "a/b",
        "s",
        "d",
        ".",
        "..",
        "../" * 12 + str(host),
        "../canary",
        str(host),
        str(host / "canary"),
        "/proc/self/root" + str(host),
        "s/x",
    ]
    kinds = [REG, REG, DIR, DIR, SYM, SYM, HARD, HARD, FIFO, CHAR, BLOCK]
    for _ in range(dice.randrange(1, 9)):
        kind, name = dice.choice(kinds), dice.choice(names)
        if dice.random() < 0.2:
            yield pax({"path": dice.choice(names), "linkpath": dice.choice(targets)})
        data = b"data" if kind == REG and not name.rpartition("/")[2].startswith(".wh.") else b""
        yield member(name, data, kind, link=dice.choice(targets), mode=dice.choice([0o644, 0o755, 0, 0o7777]))


def test_cve_2021_32760_hostile_layers_change_nothing_outside(host: Path) -> None:
    dice = random.Random(1)
    accepted = 0
    before = fingerprint(host, skip=host / "layers")
    for _ in range(ROUNDS):
        accepted += attempt(tar(*hostile(dice, host)), host)
    assert fingerprint(host, skip=host / "layers") == before
    assert os.listdir(host / "layers") == []
    assert accepted > ROUNDS // 50, "layers that are all refused at their first entry show nothing"


def seeds() -> list[bytes]:
    return [
        tar(header("d", DIR), member("d/f", b"data" * 300), header("l", SYM, link="d/f"), header("h", HARD, link="d/f")),
        tar(pax({"path": "long/" * 40 + "name", "SCHILY.xattr.user.a": "b", "mtime": "1.5"}) + member("x", b"y" * 600)),
        tar(member("L", b"n" * 300 + b"\0", b"L") + member("x", b"y")),
        tar(pax({"GNU.sparse.map": "0,1,99,2", "GNU.sparse.size": "200", "GNU.sparse.name": "s"}) + member("x", b"abc")),
        tar(
            header(
                "x", b"S", size=4, magic=b"ustar  \0", tail=bytes(57) + b"%011o\0%011o\0" % (5, 4) + bytes(73) + b"%011o\0" % 9
            )
            + b"data"
        ),
    ]


def mutated(dice: random.Random, content: bytes) -> bytes:
    """Change a few bytes; often repair the checksums, so that more than the first header is reached."""
    changed = bytearray(content)
    for _ in range(dice.randrange(1, 6)):
        start = dice.randrange(0, len(changed), 512) if dice.random() < 0.6 else 0
        changed[min(len(changed) - 1, start + dice.randrange(512))] = dice.choice(
            [0, 0x20, 0x2F, 0x30, 0x37, 0x39, 0x80, 0xFF, dice.randrange(256)]
        )
    if dice.random() < 0.8:
        for start in range(0, len(changed) - 511, 512):
            if changed[start + 257 : start + 262] == b"ustar":
                block = changed[start : start + 512]
                block[148:156] = b" " * 8
                changed[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    if dice.random() < 0.1:
        del changed[dice.randrange(len(changed)) :]
    return bytes(changed)


def test_cve_2019_20907_mutated_headers_end_within_two_seconds(host: Path) -> None:
    dice = random.Random(2)
    corpus = seeds()
    before = fingerprint(host, skip=host / "layers")
    for number in range(ROUNDS):
        attempt(mutated(dice, corpus[number % len(corpus)]), host)
    assert fingerprint(host, skip=host / "layers") == before


@pytest.mark.parametrize(
    "content",
    [
        raw_pax(b"1" * (PAX_LIMIT - 1)),
        raw_pax(b"11 hdrcharset=" * 70_000),
        raw_pax(b"9 GNU.sparse.offset=" * 50_000),
        raw_pax(b"".join(b"%d k%06d=v\n" % (len("%d k%06d=v\n") + 2, n) for n in range(60_000))),
        b"".join(member("L", b"name\0", b"L") for _ in range(3000)),
        b"".join(pax({"comment": "a"}, b"g") for _ in range(3000)),
        member("x", b"65535\n" + b"0\n" * 65_535 * 2),
        b"".join(header(f"{n}", SYM, link=f"{n + 1}") for n in range(200)) + member("0/x", b""),
    ],
    ids=["digits", "charset", "sparse", "records", "long names", "comments", "sparse map", "link chain"],
)
def test_cve_2024_6232_headers_made_to_be_slow_are_not(content: bytes, host: Path) -> None:
    attempt(content + tar(member("x")), host)
    attempt(content, host)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_cve_2021_20291_truncated_and_damaged_streams_end(codec: Codec, host: Path) -> None:
    dice = random.Random(3)
    packed = compress(seeds()[0] + os.urandom(2000), codec)
    for _ in range(ROUNDS // 4):
        changed = bytearray(packed)
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
        attempt(bytes(changed[: dice.randrange(len(changed))] if dice.random() < 0.5 else changed), host, codec)


def test_documents_are_read_or_refused() -> None:
    dice = random.Random(4)
    documents = [content for name, content in image(tar(member("x"))).items() if content.startswith(b"{")]
    pieces = [
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b",",
        b":",
        b"null",
        b"-1",
        b"1e999",
        b"\\ud800",
        b'"layers":[]',
        b'"manifests":[]',
        b"\xff",
    ]
    for number in range(ROUNDS * 3):
        changed = bytearray(documents[number % len(documents)])
        for _ in range(dice.randrange(1, 4)):
            start = dice.randrange(len(changed))
            changed[start : start + dice.randrange(3)] = dice.choice(pieces)
        for read in (parse_index_or_manifest, parse_config, parse_object):
            with suppress(ImageError):
                read(bytes(changed), where="x")


def test_references_and_users_are_read_or_refused() -> None:
    dice = random.Random(5)
    alphabet = "az09AZ._-/:@ \0\n\u0430" + "".join(map(chr, range(0x21, 0x7F)))
    for _ in range(ROUNDS * 5):
        text = dice.choice(["", "oci:", "docker-archive:", "host", "a@sha256:"]) + "".join(
            dice.choices(alphabet, k=dice.randrange(12))
        )
        with suppress(ImageError):
            assert parse_reference(str(parse_reference(text))) == parse_reference(text)
        with suppress(ImageError):
            uid, gid, _ = resolve_user(text, b"a:x:1:2::/:\n", b"z:x:3:a\n")
            assert min(uid, gid) >= 0
            assert max(uid, gid) < 1 << 31
