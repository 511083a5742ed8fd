"""Plans that were made before: a plan is used again only while everything it was made from is still the same.

An entry holds what it depends on (contents of profiles by sha256, images and code by their stat), the launch record and the
launch program. It stands in a directory that is the caller's alone, and is written whole or not at all. On the launch path.
"""

from __future__ import annotations

import os
import struct

from enforcer.errors import HostError
from enforcer.linux import syscalls
from enforcer.plan.encoding import Program
from enforcer.runtime import record

TYPE_CHECKING = False  # typing would cost a launch 5 ms
if TYPE_CHECKING:
    from enforcer.runtime.record import Record

try:
    from _sha2 import sha256  # type: ignore[import-not-found]  # Python 3.12 on; hashlib would load OpenSSL
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256

MAGIC = b"ENFORCER-PLAN-1\n"
_LENGTHS = struct.Struct("<II")
_DIGEST_SIZE = 32
_PROFILE_LIMIT = 1 << 20
_ENTRIES_LIMIT = 512
ABSENT = "absent"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
_ID_FILES = ("/etc/subuid", "/etc/subgid", "/etc/passwd", "/usr/bin/newuidmap", "/usr/bin/newgidmap")


class Entry:
    """A plan ready to be launched. dependencies: lines "content SHA256 PATH", "stat IDENTITY PATH", "real DIGEST PATH"."""

    __slots__ = ("_decoded", "dependencies", "program", "record")

    def __init__(self, dependencies: list[str], record: Record, program: bytes) -> None:
        self.dependencies = dependencies
        self.record = record
        self.program = program
        self._decoded: Program | None = None

    def decoded(self) -> Program:
        """Return the program, decoded once. Raises ValueError when it is not one of this version."""
        self._decoded = self._decoded or Program(self.program)
        return self._decoded

    def encode(self) -> bytes:
        """Lay the entry out, with its own digest in front."""
        text = "\0".join(self.dependencies).encode("utf-8", "surrogateescape")
        fields = self.record.encode()
        return seal(_LENGTHS.pack(len(text), len(fields)) + text + fields + self.program)


def seal(body: bytes) -> bytes:
    """Put the digest of what is kept in front of it."""
    return MAGIC + bytes(sha256(body).digest()) + body


def unseal(content: bytes) -> bytes:
    """Return what `seal` was given. Raises ValueError for anything that it did not write."""
    start = len(MAGIC) + _DIGEST_SIZE
    body = content[start:]
    if not content.startswith(MAGIC) or sha256(body).digest() != content[len(MAGIC) : start]:
        raise ValueError("not a plan or anything else that is kept here, or a damaged one")
    return body


def decode(content: bytes) -> Entry:
    """Read an entry. Raises ValueError for anything that `encode` did not write."""
    body = unseal(content)
    text, fields = _LENGTHS.unpack_from(body)
    at = _LENGTHS.size
    dependencies = body[at : at + text].decode("utf-8", "surrogateescape").split("\0")
    return Entry(dependencies, record.decode(body[at + text : at + text + fields]), body[at + text + fields :])


def key(words: list[str]) -> str:
    """Name the entry for one way of asking."""
    return str(sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest())


def caller() -> list[str]:
    """What the host's answers depend on: the boot, ids, capabilities, namespaces and cgroups of this process, id files."""
    capabilities = syscalls.buffer(24)
    syscalls.call("capget", (0x20080522).to_bytes(4, "little") + bytes(4), capabilities)
    namespaces = [os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "user", "cgroup", "net")]
    ids = [str(number) for number in (os.geteuid(), os.getegid(), *sorted(os.getgroups()))]
    contents = map(_content, (BOOT_ID, "/proc/self/cgroup", "/proc/sys/user/max_user_namespaces"))
    return [*ids, capabilities.raw.hex(), *namespaces, *contents, *map(_identity, _ID_FILES)]


def real_of(path: str) -> str:
    """Return "real DIGEST PATH": where the path leads now, symbolic links followed, and what kind of file is there."""
    return f"real {_real(path)} {path}"


def stat_of(path: str) -> str:
    """Return "stat IDENTITY PATH" as it is now."""
    return f"stat {_identity(path)} {path}"


def content_dependency(path: str, content: bytes) -> str:
    """Return the dependency on the very bytes that were read and used."""
    return f"content {sha256(content).hexdigest()} {path}"


def _content(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ABSENT
    try:
        return str(sha256(os.read(descriptor, _PROFILE_LIMIT + 1)).hexdigest())
    except OSError:
        return ABSENT
    finally:
        os.close(descriptor)


def _identity(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return ABSENT
    times = (status.st_mtime_ns, status.st_ctime_ns)
    parts = (status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_size, *times)
    return ".".join(map(str, parts))


def _real(path: str) -> str:
    real = os.path.realpath(path)
    try:
        kind = f"{os.stat(real).st_mode & 0o170000:o}"
    except OSError:
        kind = ABSENT
    return str(sha256(f"{kind} {real}".encode("utf-8", "surrogateescape")).hexdigest())


_KINDS = {"content": _content, "stat": _identity, "real": _real}


def _holds(dependency: str) -> bool:
    kind, value, path = dependency.split(" ", 2)
    return value == _KINDS[kind](path)


def load(directory: str, name: str) -> Entry | None:
    """Return the entry if it is there, whole, and everything it was made from is unchanged."""
    content = read(directory, name)
    if content is None:
        return None
    try:
        entry = decode(content)
        entry.decoded()
    except ValueError:
        return None
    return entry if all(map(_holds, entry.dependencies)) else None


def read(directory: str, name: str) -> bytes | None:
    """Return a kept file, sealed; None when it is not there. Raises HostError when others could have written it."""
    try:
        descriptor = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise HostError("what is cached can be changed by others", where=f"{directory}/{name}", hint="remove it")
        return os.read(descriptor, status.st_size)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def save(directory: str, name: str, content: bytes) -> None:
    """Keep an entry: written under another name, then renamed. A full disk only means that the plan is made again."""
    temporary = f"{directory}/.{name}.{os.getpid()}"
    try:
        _prune(directory)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            written = os.write(descriptor, content)
        finally:
            os.close(descriptor)
        if written == len(content):
            os.rename(temporary, f"{directory}/{name}")
        else:
            os.unlink(temporary)
    except OSError:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _prune(directory: str) -> None:
    """Keep the directory small: the oldest entries go."""
    entries = sorted((entry.stat().st_mtime_ns, entry.path) for entry in os.scandir(directory))
    for _, path in entries[: max(0, len(entries) - _ENTRIES_LIMIT)]:
        os.unlink(path)
