"""Reading tar: as tarfile and GNU tar write it, and nothing that could be read in two ways."""

from __future__ import annotations

import contextlib
import io
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.errors import ImageError
from enforcer.image.stream import Stream
from enforcer.image.tar import LONG_NAME_LIMIT, PAX_LIMIT, Entry, TarReader
from tests.images import CHAR, DIR, HARD, REG, SYM, header, member, pax, python_tar, raw_pax, record, tar

if TYPE_CHECKING:
    from pathlib import Path


def read(content: bytes) -> list[tuple[Entry, bytes]]:
    reader = TarReader(Stream(io.BytesIO(content), "", where="x"), "x")
    return [(entry, b"".join(iter(reader.read, b""))) for entry in reader]


def only(content: bytes) -> Entry:
    [(entry, _)] = read(content)
    return entry


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_tarfile_writes_is_read(form: int) -> None:
    names = ["short", "d" * 90 + "/" + "n" * 90]
    if form != tarfile.USTAR_FORMAT:
        names += ["l" * 300, "ünï" * 60]
    content = python_tar(*((name, name.encode() * 3) for name in names), ("link", "t" * 90), ("dir", None), form=form)
    found = read(content)
    assert [(entry.name, data) for entry, data in found[: len(names)]] == [(n.encode(), n.encode() * 3) for n in names]
    assert [(entry.name, entry.kind, entry.link) for entry, _ in found[-2:]] == [
        (b"link", "symlink", b"t" * 90),
        (b"dir/", "directory", b""),
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=120).filter(
                lambda s: s.strip("/")
            ),
            st.binary(max_size=1500),
            st.integers(0, 0o7777),
            st.integers(0, 1 << 40),
        ),
        max_size=6,
    ),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_reading_inverts_tarfiles_writing(files: list[tuple[str, bytes, int, int]], form: int) -> None:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=form) as archive:
        for name, data, mode, owner in files:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid, info.mtime = len(data), mode, owner, owner
            archive.addfile(info, io.BytesIO(data))
    found = [(entry.name.decode(), data, entry.mode, entry.uid, entry.mtime) for entry, data in read(output.getvalue())]
    assert found == [(name, data, mode, owner, owner * 10**9) for name, data, mode, owner in files]


@pytest.mark.parametrize("options", [["--format=gnu"], ["--format=pax"], ["--format=pax", "--sparse-version=0.1"]])
def test_sparse_files_of_gnu_tar_are_read(options: list[str], tmp_path: Path) -> None:
    with open(tmp_path / "f", "wb") as output:
        for number in range(40):  # more pieces than the old header holds
            output.seek(number * 100_000)
            output.write(b"%d" % number * 10)
        output.truncate(5_000_000)
    content = subprocess.run(["tar", "-S", *options, "-c", "f"], cwd=tmp_path, check=True, capture_output=True).stdout
    [(entry, data)] = read(content)
    assert (entry.name, entry.length) == (b"f", 5_000_000)
    assert entry.sparse is not None
    whole = bytearray(entry.length)
    for offset, length in entry.sparse:
        whole[offset : offset + length], data = data[:length], data[length:]
    assert bytes(whole) == (tmp_path / "f").read_bytes()


def test_extended_attributes_and_large_numbers_are_read() -> None:
    entry = only(
        tar(pax({"SCHILY.xattr.user.a": b"\x00=\n\xff", "mtime": "-1.25", "uid": "70000", "path": "long"}) + member("x"))
    )
    assert entry.xattrs == ((b"user.a", b"\x00=\n\xff"),)
    assert (entry.mtime, entry.uid, entry.name) == (-1_250_000_000, 70000, b"long")
    assert only(tar(header("x", uid=b"\x80" + b"\0" * 3 + (1 << 31).to_bytes(4, "big")))).uid == 1 << 31
    assert only(tar(header("x", mtime=b"\xff" * 12))).mtime == -(10**9)


def test_old_directories_and_signed_checksums_are_read() -> None:
    assert only(tar(header("d/", b"\0", magic=b"\0" * 8))).kind == "directory"
    block = bytearray(header(b"\xff\xfe", checksum=b" " * 8))
    total = sum(byte - 256 if byte > 127 else byte for byte in block)
    block[148:156] = b"%06o\0 " % total
    assert only(tar(bytes(block))).name == b"\xff\xfe"


def test_the_end_may_be_missing_but_nothing_may_follow_it() -> None:
    assert len(read(member("a", b"x"))) == 1
    assert len(read(member("a", b"x") + bytes(512))) == 1
    with pytest.raises(ImageError, match="data follows"):
        read(tar(member("a")) + member("hidden"))


def _sparse(**changes: str) -> bytes:
    records = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "10"} | {
        f"GNU.sparse.{key}": value for key, value in changes.items()
    }
    return pax({key: value for key, value in records.items() if value})


AMBIGUOUS = {
    "checksum": tar(header("a", checksum=b"0000000\0")),
    "name with NUL": tar(pax({"path": b"a\0b"}) + member("x")),
    "link with NUL": tar(pax({"linkpath": b"a\0b"}) + member("x", kind=SYM)),
    "empty pax path": tar(pax({"path": ""}) + member("x")),
    "two pax headers": tar(pax({"path": "a"}) + pax({"path": "b"}) + member("x")),
    "two long names": tar(member("L", b"a\0", b"L") + member("L", b"b\0", b"L") + member("x")),
    "long name and pax path": tar(member("L", b"a\0", b"L") + pax({"path": "b"}) + member("x")),
    "duplicate pax key": tar(raw_pax(record(b"path", b"a") + record(b"path", b"b")) + member("x")),
    "global path": tar(pax({"path": "a"}, b"g") + member("x")),
    "global size": tar(pax({"size": "0"}, b"g") + member("x")),
    "character set": tar(pax({"hdrcharset": "KOI8-R", "path": "a"}) + member("x")),
    "pax length 0": tar(raw_pax(b"0 a=b\n") + member("x")),
    "pax length beyond": tar(raw_pax(b"99 a=b\n") + member("x")),
    "pax length huge": tar(raw_pax(b"9" * 30 + b" a=b\n") + member("x")),
    "pax without newline": tar(raw_pax(b"6 a=bc") + member("x")),
    "pax without equals": tar(raw_pax(b"5 ab\n") + member("x")),
    "pax size negative": tar(pax({"size": "-1"}) + member("x")),
    "pax size text": tar(pax({"size": "0x1"}) + member("x")),
    "pax size huge": tar(pax({"size": "9" * 19}) + member("x")),
    "pax mtime text": tar(pax({"mtime": "nan"}) + member("x")),
    "octal": tar(header("x", size_field=b"0000000008\0\0")),
    "octal sign": tar(header("x", size_field=b"-0000000001\0")),
    "octal then text": tar(header("x", size_field=b"0000\0abc\0\0\0\0")),
    "negative size": tar(header("x", size_field=b"\xff" * 12)),
    "negative uid": tar(header("x", uid=b"\xff" * 8)),
    "huge size": tar(header("x", size_field=b"\x80\x7f" + b"\xff" * 10)),
    "directory with data": tar(header("x", DIR, size=512) + bytes(512)),
    "symbolic link with data": tar(header("x", SYM, size=1, link="a") + bytes(512)),
    "hard link with data": tar(header("x", HARD, size=1, link="a") + bytes(512)),
    "device with data": tar(header("x", CHAR, size=1) + bytes(512)),
    "file named as a directory": tar(member("x/", kind=REG)),
    "unknown type": tar(member("x", kind=b"Z")),
    "Solaris header": tar(member("x", kind=b"X") + member("y")),
    "multi-volume": tar(member("x", kind=b"M")),
    "only an extended header": pax({"path": "a"}),
    "extended header, then the end": tar(pax({"path": "a"})),
    "sparse overlap": tar(_sparse(major="", minor="", realsize="", map="0,2,1,2", size="10") + member("x", b"abcd")),
    "sparse beyond": tar(_sparse(major="", minor="", realsize="", map="9,2", size="10") + member("x", b"ab")),
    "sparse sum": tar(_sparse(major="", minor="", realsize="", map="0,3", size="10") + member("x", b"ab")),
    "sparse odd": tar(_sparse(major="", minor="", realsize="", map="0,3,1", size="10") + member("x", b"abc")),
    "sparse text": tar(_sparse(major="", minor="", realsize="", map="0,x", size="10") + member("x", b"abc")),
    "sparse 0.0": tar(pax({"GNU.sparse.size": "10", "GNU.sparse.numblocks": "1"}) + member("x", b"abc")),
    "sparse map cut off": tar(_sparse() + member("x", b"3\n0\n")),
    "sparse map endless": tar(_sparse() + member("x", b"1" * 4096)),
    "sparse map too long": tar(_sparse() + member("x", b"99999999\n" + b"0\n" * 600)),
    "sparse map leading zero": tar(_sparse() + member("x", b"01\n00\n1\n".ljust(512, b"\0") + b"a")),
    "sparse directory": tar(_sparse(major="", minor="", realsize="", map="", size="0") + header("x", DIR)),
    "old sparse overlap": tar(
        header("x", b"S", size=2, magic=b"ustar  \0", tail=bytes(57) + b"%011o\0%011o\0" % (5, 2) * 2) + bytes(512)
    ),
}


@pytest.mark.parametrize("case", sorted(AMBIGUOUS))
def test_an_ambiguous_or_damaged_archive_is_refused(case: str) -> None:
    with pytest.raises(ImageError):
        read(AMBIGUOUS[case])


def test_a_comment_for_all_entries_is_harmless() -> None:
    assert only(tar(pax({"comment": "a commit"}, b"g") + member("x"))).name == b"x"


def test_extended_headers_are_refused_at_one_byte_more_than_the_limit() -> None:
    for kind, limit in ((b"x", PAX_LIMIT), (b"g", PAX_LIMIT), (b"L", LONG_NAME_LIMIT), (b"K", LONG_NAME_LIMIT)):
        with pytest.raises(ImageError, match="larger than"):
            read(tar(header("x", kind, size=limit + 1)))
        with pytest.raises(ImageError, match="cut off"):  # taken, and then there is nothing
            read(header("x", kind, size=limit))
    fits = record(b"comment", b"a" * (PAX_LIMIT - 17))
    assert len(fits) == PAX_LIMIT
    assert only(tar(raw_pax(fits) + member("x"))).name == b"x"


def test_every_truncation_is_an_error_or_an_end() -> None:
    content = tar(pax({"path": "p" * 200}) + member("x", b"data" * 300), member("y"))
    whole = len(read(content))
    for cut in range(1, len(content), 97):
        with contextlib.suppress(ImageError):
            assert len(read(content[:cut])) <= whole
