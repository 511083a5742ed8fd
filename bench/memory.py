"""Memory of what stays on the host while one container runs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.peers import Peer

PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Memory:
    """KiB of each process that stays beside the payload, the one that was started first, its last descendant last.

    pss: shared pages counted by share. rss: in full. lean: whether Python, if it is Python, was started without `site`.
    """

    pss: tuple[int, ...]
    rss: tuple[int, ...]
    lean: bool


def resident(peer: Peer, payload: str) -> Memory:
    """Start `peer`, whose payload's process is called `payload`, and read smaps_rollup of every process but the payload's."""
    quiet = subprocess.DEVNULL
    prefix, place = peer.place()
    with subprocess.Popen([*prefix, *peer.argv], stdin=quiet, stdout=quiet, stderr=quiet, **place) as process:
        pid = _payload(process, payload)
        try:
            time.sleep(0.5)  # what only the start needed is gone by now
            return _sum([other for other in _tree(process.pid) if other != pid])
        finally:
            os.kill(pid, signal.SIGKILL)


def _payload(process: subprocess.Popen[bytes], name: str) -> int:
    """The payload's process id on the host, once it runs."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        for pid in _tree(process.pid):
            if _read(pid, "cmdline").split(b"\0")[0] == name.encode():
                return pid
        time.sleep(0.01)
    process.kill()
    message = f"the payload did not start, exit code {process.wait()}"
    raise TimeoutError(message)


def _read(pid: int, file: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes()
    except OSError:  # it ended
        return b""


def _tree(root: int) -> list[int]:
    """A process and all its descendants."""
    found = [root]
    for pid in found:
        found.extend(int(child) for child in b" ".join(_children(pid)).split())
    return found


def _children(pid: int) -> list[bytes]:
    return [_read(pid, f"task/{task}/children") for task in _tasks(pid)]


def _tasks(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _sum(pids: list[int]) -> Memory:
    first = _read(pids[0], "cmdline").split(b"\0")
    return Memory(_field(pids, b"Pss:"), _field(pids, b"Rss:"), lean=b"-S" in first)


def _field(pids: list[int], name: bytes) -> tuple[int, ...]:
    """One line of proc_pid_smaps_rollup(5), in KiB, for each process that has it."""
    lines = (line.split() for pid in pids for line in _read(pid, "smaps_rollup").splitlines())
    return tuple(int(words[1]) for words in lines if words[0] == name)
