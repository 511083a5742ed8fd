"""Images made by hand for tests: tars with any header one likes, OCI layouts, docker archives, and a fingerprint of a tree."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

OCI = "application/vnd.oci.image."
REG, HARD, SYM, CHAR, BLOCK, DIR, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"


def header(
    name: bytes | str, kind: bytes = REG, *, size: int = 0, link: bytes | str = b"", mode: int = 0o644, **fields: bytes
) -> bytes:
    """One ustar header block. fields: "uid", "gid", "mtime", "magic", "prefix", "size_field", … as raw bytes."""
    block = bytearray(512)
    for start, text in ((0, os.fsencode(name)[:100]), (100, b"%07o" % mode), (157, os.fsencode(link)[:100])):
        block[start : start + len(text)] = text
    block[108:124] = (fields.get("uid", b"0000000\0") + fields.get("gid", b"0000000\0")).ljust(16, b"\0")
    block[124:136] = fields.get("size_field", b"%011o\0" % size)
    block[136:148] = fields.get("mtime", b"00000000000\0")
    block[156:157] = kind
    block[257:265] = fields.get("magic", b"ustar\x0000")
    prefix = fields.get("prefix", b"")
    block[345 : 345 + len(prefix)] = prefix
    tail = fields.get("tail", b"")  # from byte 329 on: device numbers, GNU's sparse map
    block[329 : 329 + len(tail)] = tail
    block[148:156] = b" " * 8
    block[148:156] = fields.get("checksum", b"%06o\0 " % sum(block))
    return bytes(block)


def member(name: bytes | str, data: bytes = b"", kind: bytes = REG, link: bytes | str = b"", **fields: bytes) -> bytes:
    """A header, its data and the padding; a pax header before them when a name is too long for a header."""
    given = {"path": os.fsencode(name), "linkpath": os.fsencode(link)}
    long: dict[bytes | str, bytes | str] = {key: value for key, value in given.items() if len(value) > 100}
    head = (pax(long) if long else b"") + header(name, kind, size=len(data), link=link, **fields)
    return head + data + bytes(-len(data) % 512)


def pax(records: dict[bytes | str, bytes | str], kind: bytes = b"x") -> bytes:
    """A pax extended header."""
    return raw_pax(b"".join(record(os.fsencode(key), os.fsencode(value)) for key, value in records.items()), kind)


def record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return b"%d" % length + body


def raw_pax(content: bytes, kind: bytes = b"x") -> bytes:
    return member("PaxHeaders/x", content, kind)


def tar(*members: bytes) -> bytes:
    """The members and the end of the archive."""
    return b"".join(members) + bytes(1024)


def python_tar(*entries: tuple[str, Any], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar as Python's tarfile writes it: (name, bytes for a file, None for a directory, str for a symbolic link)."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=form) as archive:
        for name, what in entries:
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = (0o644, 1) if isinstance(what, bytes) else (0o755, 1)
            info.type = tarfile.REGTYPE if isinstance(what, bytes) else tarfile.DIRTYPE if what is None else tarfile.SYMTYPE
            info.linkname = what if isinstance(what, str) else ""
            info.size = len(what) if isinstance(what, bytes) else 0
            archive.addfile(info, io.BytesIO(what) if isinstance(what, bytes) else None)
    return output.getvalue()


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def image(
    *layers: bytes, codec: str = "gzip", config: dict[str, Any] | None = None, diff_ids: list[str] | None = None
) -> dict[str, bytes]:
    """The files of an OCI layout with one image named "v1". layers: uncompressed tars, the lowest first."""
    files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    compressed = [compress(layer, codec) for layer in layers]
    suffix = f"+{codec}" if codec else ""
    config_bytes = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids or [sha256(layer) for layer in layers]},
        }
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "config": descriptor(OCI + "config.v1+json", config_bytes),
        "layers": [descriptor(f"{OCI}layer.v1.tar{suffix}", layer) for layer in compressed],
    }
    manifest_bytes = json.dumps(manifest).encode()
    named = descriptor(OCI + "manifest.v1+json", manifest_bytes) | {"annotations": {"org.opencontainers.image.ref.name": "v1"}}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [named]}).encode()
    for content in (config_bytes, manifest_bytes, *compressed):
        files[f"blobs/sha256/{sha256(content)[7:]}"] = content
    return files


def compress(content: bytes, codec: str) -> bytes:
    if codec == "gzip":
        return gzip.compress(content, mtime=0)
    if codec == "zstd":
        import zstandard  # noqa: PLC0415  few tests need it

        return zstandard.compress(content)
    return content


def descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(content), "size": len(content)}


def saved(*layers: bytes, name: str = "shop/web:1") -> dict[str, bytes]:
    """The files of a docker archive with one image."""
    rootfs = {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    files = {f"{sha256(config)[7:]}.json": config}
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    files |= dict(zip(names, layers, strict=True))
    manifest = [{"Config": f"{sha256(config)[7:]}.json", "RepoTags": [name], "Layers": names}]
    return files | {"manifest.json": json.dumps(manifest).encode()}


def write(files: dict[str, bytes], directory: Path) -> str:
    """Write the files into a directory; return its path."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(directory)


def archive(files: dict[str, bytes], path: Path) -> str:
    """Write the files into one tar; return its path."""
    path.write_bytes(tar(*(member(name, content) for name, content in files.items())))
    return str(path)


def fingerprint(tree: Path, *, skip: Path | None = None) -> str:
    """A digest of all below, except `skip`: names, types, modes, owners, times, link targets, attributes and content."""
    total = hashlib.sha256()
    for directory, names, files in os.walk(tree):
        names[:] = sorted(name for name in names if skip is None or os.path.join(directory, name) != str(skip))
        for name in (".", *names, *sorted(files)):
            total.update(_line(os.path.join(directory, name)))
    return total.hexdigest()


def _line(path: str) -> bytes:
    found = os.lstat(path)
    content = b""
    if stat.S_ISREG(found.st_mode):
        with open(path, "rb") as stream:
            content = stream.read()
    elif stat.S_ISLNK(found.st_mode):
        content = os.fsencode(os.readlink(path))
    facts = (found.st_mode, found.st_uid, found.st_gid, found.st_ino, found.st_nlink, found.st_mtime_ns, found.st_ctime_ns)
    attributes = [(name, os.getxattr(path, name, follow_symlinks=False)) for name in os.listxattr(path, follow_symlinks=False)]
    return repr((path, facts, sorted(attributes), hashlib.sha256(content).hexdigest())).encode()
