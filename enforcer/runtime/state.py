"""Which containers run, as files that are locked while their supervisor lives.

`ROOT/containers/N` belongs to the container that has the N-th range of host ids. It is claimed (created, locked) and its
content (what will be made: id, name, cgroups) written before anything else is made; the lock ends with the supervisor, however
it ends. Whoever finds a file that is not locked removes what it names: after a kill -9 the next command puts things right.
This module is on the launch path.
"""

from __future__ import annotations

import fcntl
import os
import select

from enforcer.errors import HostError
from enforcer.linux import cgroups, syscalls
from enforcer.runtime import record

_MODE = 0o700
_LIMIT = 1 << 20
_SIGKILL, _SECONDS = 9, 2.0


def root(uid: int) -> str:
    """Return the directory for run-time state: /run/enforcer, or the user's own run-time directory."""
    if uid == 0:
        return "/run/enforcer"
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
    return f"{base}/enforcer" if os.path.isdir(base) else f"/tmp/enforcer-{uid}"  # noqa: S108  (owner and mode are checked)  # nosec B108


def directory(path: str) -> str:
    """Make a directory that is the caller's alone, or see that it is (CVE-2021-41103).

    Raises HostError when it is someone else's, or open to others.
    """
    try:
        os.makedirs(path, mode=_MODE, exist_ok=True)
        status = os.stat(path, follow_symlinks=False)
    except OSError as error:
        raise HostError(f"cannot make the directory: {error.strerror}", where=path) from error
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise HostError(
            "the directory can be entered by others",
            where=path,
            why=f"its owner is {status.st_uid} and its mode {status.st_mode & 0o7777:04o}; it must be {os.geteuid()} and 0700",
            hint="remove it, or: chown and chmod 0700",
        )
    return path


class Claim:
    """One container's place: `index` is also the number of its id range. Held until `release` or the process's end."""

    def __init__(self, path: str, index: int, descriptor: int) -> None:
        self.path = path
        self.index = index
        self.descriptor = descriptor

    def write(self, fields: list[tuple[str, str]]) -> None:
        """Say what is about to be made, or is."""
        os.pwrite(self.descriptor, record.Record(fields).encode() + b"\0end=1", 0)

    def release(self) -> None:
        """Give the place back, once nothing it names is left."""
        os.unlink(self.path)
        os.close(self.descriptor)


def claim(path: str, count: int, name: str) -> Claim:
    """Claim the first free place of `count`. One claim at a time: names are unique too.

    Raises HostError when the name is in use or no place is left.
    """
    guard = os.open(f"{path}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        taken = _reconcile(path)
        if name and name in taken.values():
            raise HostError(f"the name {name!r} is in use by another container", hint="choose another --name, or stop that one")
        index = next((n for n in range(count) if n not in taken), None)
        if index is None:
            raise HostError(f"all {count} places for containers are taken", hint="stop some, or widen the id range")
        place = _take(f"{path}/{index}", index)
        place.write([("name", name)])
        return place
    finally:
        os.close(guard)


def _take(path: str, index: int) -> Claim:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return Claim(path, index, descriptor)


def _reconcile(path: str) -> dict[int, str]:
    """Remove what dead supervisors left; the places and names of the living."""
    living = {}
    for entry in os.listdir(path):
        if entry.isdigit():
            name = _living(f"{path}/{entry}")
            if name is not None:
                living[int(entry)] = name
    return living


def _living(path: str) -> str | None:
    """Return the name of the container whose file this is; None when it is dead, or has just given its place back."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _content(descriptor).one("name")
        fields = _content(descriptor)
        try:
            remove(fields)
        except HostError:  # something of it cannot be removed now: the place stays taken, and other launches go on
            return fields.one("name")
        if os.path.exists(path):  # else it was released meanwhile; nobody else unlinks, since we hold the guard
            os.unlink(path)
        return None
    finally:
        os.close(descriptor)


def _content(descriptor: int) -> record.Record:
    content = os.pread(descriptor, _LIMIT, 0).partition(b"\0end=1")[0]
    try:
        return record.decode(content)
    except ValueError as error:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        raise HostError("the record of a container is damaged", where=path, why=str(error), hint="remove it") from error


def remove(fields: record.Record) -> None:
    """Remove what a container's record names: its first process, with all the others of its pid namespace, and its cgroups.

    Raises HostError when something of it stays.
    """
    _end(fields.one("pid"), fields.one("started"))
    remove_groups(fields.all("cgroup"))


def started(pid: int) -> str:
    """Return when a process was started, in clock ticks since boot (proc(5), stat): with it the pid is never another's."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[19].decode()


def _end(pid: str, when: str) -> None:
    """End a process that outlived its supervisor: a payload may clear PR_SET_PDEATHSIG for itself."""
    if not pid:
        return
    try:
        _kill(int(pid), when)
    except (FileNotFoundError, ProcessLookupError):  # it has ended by itself
        return
    except OSError as error:
        raise HostError(f"process {pid} of a container cannot be ended: {error.strerror}", hint=f"kill -9 {pid}") from error


def _kill(pid: int, when: str) -> None:
    process = os.pidfd_open(pid)
    try:
        if started(pid) != when:
            return
        syscalls.call("pidfd_send_signal", process, _SIGKILL, None, 0)
        if not select.select([process], [], [], _SECONDS)[0]:
            raise HostError(f"process {pid} of a container does not end", hint=f"see /proc/{pid}/stack")
    finally:
        os.close(process)


def remove_groups(groups: list[str]) -> None:
    """Remove control groups, and whatever still runs in them."""
    cgroups.remove_all(groups)
