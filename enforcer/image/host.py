"""The image `host`: this machine's /usr, read-only, on a small root of its own that holds no user data and no secret.

The root (the skeleton) is a directory in the store, named by the digest of everything that is in it. /usr is not copied and not
hashed: it is bound read-only.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
from dataclasses import dataclass

from enforcer.errors import ImageError
from enforcer.image import store as stores

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

FILE_LIMIT = 4 << 20  # bytes of one copied file
ENTRIES_LIMIT = 20_000

_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_EMPTY = ("dev", "etc", "home", "mnt", "opt", "proc", "run", "srv", "sys", "tmp", "usr", "var", "var/tmp", "etc/ssl")
_MODES = {"tmp": 0o1777, "var/tmp": 0o1777}

# What programs in /usr need of /etc, as data. Never here: shadow, ssl/private, machine-id, anything of one user or service that
# may hold a password or token (npmrc, pip.conf, gitconfig, apt/auth.conf).
_ETC = (
    "ImageMagick-*", "alternatives", "ca-certificates.conf", "debian_version", "ethertypes", "fonts", "gai.conf", "ghostscript",
    "host.conf", "java-*", "libreoffice", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias", "localtime", "magic",
    "magic.mime", "mime.types",
    "networks", "os-release", "papersize", "pki/ca-trust/extracted", "pki/tls/certs", "protocols", "python3*", "rpc",
    "services", "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone", "xml",
)  # fmt: skip

_GENERATED = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n"
    b"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    b"nonroot:x:65532:65532:nonroot:/home/nonroot:/usr/sbin/nologin\n",
    "etc/group": b"root:x:0:\ntty:x:5:\nnogroup:x:65534:\nnonroot:x:65532:\n",
    "etc/hosts": b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
    "etc/nsswitch.conf": b"passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
    b"networks: files\nprotocols: files\nservices: files\nethers: files\nrpc: files\n",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """One file, directory or symbolic link of the skeleton. content: a file's bytes or a link's target."""

    path: str
    mode: int
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """directory: absolute, in the store. binds: (host source, target). inputs: what was read to make it."""

    digest: str
    directory: str
    binds: tuple[tuple[str, str], ...]
    inputs: tuple[str, ...]


def find_skeleton(store: str, root: str = "/") -> Skeleton:
    """Return the skeleton for this machine as it is now, made if it is not in the store yet.

    root: where the machine's files are read; tests give a tree of their own.
    Raises ImageError when the machine has no /usr or its /etc is beyond all measure.
    """
    if not os.path.isdir(os.path.join(root, "usr")):
        raise ImageError("this machine has no /usr", where=root, hint="use rootfs:, oci: or an archive")
    pieces, binds = _base(root)
    inputs = [root]
    pieces.update({piece.path: piece for pattern in _ETC for piece in _copies(root, pattern, inputs)})
    ordered = tuple(pieces[path] for path in sorted(pieces))
    digest = _digest(ordered, binds)
    directory = stores.host_path(store, digest)
    if not os.path.isdir(directory):
        _make(store, digest, directory, ordered)
    return Skeleton(digest, directory, binds, tuple(sorted(set(inputs))))


def _base(root: str) -> tuple[dict[str, Piece], tuple[tuple[str, str], ...]]:
    pieces = {path: Piece(path, stat.S_IFDIR | _MODES.get(path, 0o755)) for path in _EMPTY}
    pieces["root"] = Piece("root", stat.S_IFDIR | 0o700)
    pieces["home/nonroot"] = Piece("home/nonroot", stat.S_IFDIR | 0o755)
    pieces["etc/mtab"] = Piece("etc/mtab", stat.S_IFLNK | 0o777, b"/proc/self/mounts")
    pieces.update({path: Piece(path, stat.S_IFREG | 0o644, content) for path, content in _GENERATED.items()})
    binds = [(os.path.join(root, "usr"), "/usr")]
    for name in _MERGED:
        place = os.path.join(root, name)
        if os.path.islink(place):
            pieces[name] = Piece(name, stat.S_IFLNK | 0o777, os.fsencode(os.readlink(place)))
        elif os.path.isdir(place):  # a machine whose /usr is not merged
            pieces[name] = Piece(name, stat.S_IFDIR | 0o755)
            binds.append((place, "/" + name))
    return pieces, tuple(binds)


def _copies(root: str, pattern: str, inputs: list[str]) -> list[Piece]:
    """Read what matches a pattern of _ETC, with the directories above it."""
    above, _, last = f"etc/{pattern}".rpartition("/")
    try:
        names = fnmatch.filter(os.listdir(os.path.join(root, above)), last)
    except OSError:
        return []
    inputs.append(os.path.join(root, above))
    pieces: list[Piece] = []
    for name in names:
        pieces += _copy(root, f"{above}/{name}", inputs)
    if pieces:
        parts = above.split("/")
        pieces += [Piece("/".join(parts[:n]), stat.S_IFDIR | 0o755) for n in range(1, len(parts) + 1)]
    return pieces


def _copy(root: str, path: str, inputs: list[str]) -> list[Piece]:
    place = os.path.join(root, path)
    if len(inputs) > ENTRIES_LIMIT:
        raise ImageError(f"more than {ENTRIES_LIMIT} files in /etc to make the image 'host' of", where=place)
    found = os.lstat(place)
    if stat.S_ISLNK(found.st_mode):  # no input of its own: a link changes only with its directory
        return [Piece(path, stat.S_IFLNK | 0o777, os.fsencode(os.readlink(place)))]
    if not found.st_mode & stat.S_IROTH:
        return []  # not for everyone on this machine: not for a container
    inputs.append(place)
    if stat.S_ISDIR(found.st_mode):
        pieces = [Piece(path, stat.S_IFDIR | 0o755)]
        for name in sorted(os.listdir(place)):
            pieces += _copy(root, f"{path}/{name}", inputs)
        return pieces
    content = _content(place) if stat.S_ISREG(found.st_mode) else None
    return [] if content is None else [Piece(path, stat.S_IFREG | 0o644 | found.st_mode & 0o111, content)]


def _content(place: str) -> bytes | None:
    """Read a file; None for one that is too large to be configuration, or that holds a private key whatever its mode says."""
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read(FILE_LIMIT + 1)
    return None if len(content) > FILE_LIMIT or b"PRIVATE KEY-----" in content else content


def _digest(pieces: tuple[Piece, ...], binds: tuple[tuple[str, str], ...]) -> str:
    total = hashlib.sha256(b"enforcer host skeleton 1\n")
    for piece in pieces:
        content = hashlib.sha256(piece.content).hexdigest()
        total.update(b"%s\0%o %s\n" % (os.fsencode(piece.path), piece.mode, content.encode()))
    for source, target in binds:
        total.update(os.fsencode(f"bind {source}\0{target}\n"))
    return f"sha256:{total.hexdigest()}"


def _make(store: str, digest: str, directory: str, pieces: tuple[Piece, ...]) -> None:
    with stores.locked(store), stores.unfinished(store, f"host-{digest[7:]}") as place:
        if os.path.isdir(directory):  # made while we waited for the lock
            return
        os.mkdir(place, 0o755)
        for piece in pieces:
            _write(os.path.join(place, piece.path), piece)
        os.chmod(place, 0o755)  # noqa: S103  the container's root directory; the store above it is 0700
        stores.publish(place, directory)


def _write(path: str, piece: Piece) -> None:
    if stat.S_ISLNK(piece.mode):
        os.symlink(piece.content, os.fsencode(path))
        return
    if stat.S_ISDIR(piece.mode):
        os.mkdir(path)
    else:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(piece.content)
    os.chmod(path, stat.S_IMODE(piece.mode))
    if piece.path == "home/nonroot" and os.geteuid() == 0:
        os.chown(path, 65532, 65532)
