"""What a launch may leave on a host: mounts, cgroups, network namespaces, links, nft tables, state, files and processes.

And what it may change there: devices, users and their subordinate ids. A change shows as a new trace.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "enforcer-tests-"
SESSION = "ENFORCER_TESTS_SESSION"  # the environment variable that marks the session's processes; its value is a directory
STATE, STORE = Path("/run/enforcer"), Path("/var/lib/enforcer")  # of whoever does not say otherwise, which every test does
ACCOUNTS = ("/etc/passwd", "/etc/group", "/etc/subuid", "/etc/subgid")


@dataclass(frozen=True, slots=True, order=True)
class Trace:
    """One thing found on the host. certain: only this session can have made it."""

    kind: str
    name: str
    certain: bool = False


def find() -> list[Trace]:
    """Everything that carries enforcer's or the session's name now; the session's own directory is not a trace."""
    return [*_mounts(), *_cgroups(), *_network(), *_files(), *_processes(), *_devices(), *_accounts()]


def _mounts() -> Iterator[Trace]:
    """Mounts of our own mount namespace: field 5 of proc_pid_mountinfo(5) is the mount point, field 4 the root."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if "enforcer" in line:
            yield Trace("mount", line.split(" ")[4])


def _cgroups() -> Iterator[Trace]:
    for directory, below, _ in os.walk("/sys/fs/cgroup"):
        yield from (Trace("cgroup", f"{directory}/{name}") for name in below if "enforcer" in name)


def _network() -> Iterator[Trace]:
    for directory, kind in (("/run/netns", "network namespace"), ("/sys/class/net", "link")):
        if Path(directory).is_dir():
            yield from (Trace(kind, name) for name in os.listdir(directory) if name.startswith("enf"))
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin")
    if nft:
        tables = subprocess.run([nft, "list", "tables"], capture_output=True, text=True, check=False).stdout
        yield from (Trace("nft table", line) for line in tables.splitlines() if "enforcer" in line)


def _files() -> Iterator[Trace]:
    """Containers' state, and what stands directly in the directories for temporary files; pytest tidies its own."""
    session = Path(os.environ[SESSION])
    for state in (STATE, session / "state"):
        yield from (Trace("state", str(path), certain=state != STATE) for path in state.glob("containers/[0-9]*"))
    for directory in (STATE, STORE):
        yield from (Trace("file", str(path)) for path in directory.glob("*"))
    for directory in ("/tmp", "/var/tmp"):
        for path in Path(directory).glob("*enforcer*"):
            if not path.name.startswith(PREFIX):
                yield Trace("file", str(path))
    for path in session.iterdir():
        if path.name not in {"store", "state"} and not path.name.startswith("pytest-of-"):
            yield Trace("file", str(path), certain=True)


def _processes() -> Iterator[Trace]:
    """Processes that inherited the session's mark, other than its own (which end after us), and those in containers."""
    mark = f"{SESSION}={os.environ[SESSION]}\0".encode()
    own, here = _ancestors(), Path("/proc/self/ns/user").readlink()
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            marked = mark in (directory / "environ").read_bytes() + b"\0"
            confined = (directory / "ns/user").readlink() != here
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:  # it ended, or is not ours to read
            continue
        if (marked or confined) and int(directory.name) not in own:
            yield Trace("process", f"{directory.name} {command}", certain=marked)


def _devices() -> Iterator[Trace]:
    """The nodes of /dev with owner and mode: a runtime that is handed the host's own may give it to a container's user."""
    for path in Path("/dev").iterdir():
        status = path.lstat()
        if path.is_char_device() or path.is_block_device():
            yield Trace("device", f"{path} {status.st_uid}:{status.st_gid} {status.st_mode:o}")


def _accounts() -> Iterator[Trace]:
    for path in map(Path, ACCOUNTS):
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        yield from (Trace("account", f"{path}: {line}") for line in lines)


def _ancestors() -> frozenset[int]:
    """Process ids from this process up to the first."""
    found = [os.getpid()]
    while found[-1] > 1:
        found.append(int(Path(f"/proc/{found[-1]}/stat").read_text().rpartition(")")[2].split()[1]))
    return frozenset(found)
