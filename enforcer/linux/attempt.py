"""Try something in a child process, so that whatever it changes ends with the child.

A child has a few seconds (SIGALRM), dies with its parent (PR_SET_PDEATHSIG) and prints nothing.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NoReturn

from enforcer.linux.syscalls import call
from enforcer.plan.namespaces import CLONE_NEWNS, CLONE_NEWUSER

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 5
PR_SET_PDEATHSIG = 1
MS_REC = 0x4000
MS_PRIVATE = 0x40000


def holds(action: Callable[[], object]) -> bool:
    """Whether `action` returns without an exception in a child of its own, in time."""
    child = start(action)
    return os.waitpid(child, 0)[1] == 0


def start(action: Callable[[], object]) -> int:
    """Fork a child that runs `action` and exits 0, or 1 after an exception; returns its pid, which the caller waits for."""
    parent = os.getpid()
    child = os.fork()
    return child or _run(action, parent)


def _run(action: Callable[[], object], parent: int) -> NoReturn:
    status = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.alarm(SECONDS)
        call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # In a new pid namespace the parent is outside and reads as 0; elsewhere another value means it is already gone.
        if os.getppid() in (parent, 0):
            action()
            status = 0
    finally:
        # Nothing of the parent may run here: no traceback, no exit handler, no buffered output written twice.
        os._exit(status)


def stop(child: int) -> None:
    """End a child that `start` made, and wait for it."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def start_in_user_namespace() -> int:
    """A child that waits in a new user namespace without maps, until `stop` or its alarm. Returns when it is there.

    Raises OSError when no user namespace can be made.
    """
    read_end, write_end = os.pipe()

    def inside() -> None:
        call("unshare", CLONE_NEWUSER)
        os.write(write_end, b"x")
        signal.pause()

    child = start(inside)
    os.close(write_end)
    ready = os.read(read_end, 1)
    os.close(read_end)
    if not ready:
        stop(child)
        raise OSError(0, "no user namespace", "unshare")
    return child


def enter_user_namespace() -> None:
    """Become root of a new user namespace that maps the caller's own ids and no others. Only for a child."""
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        write(f"/proc/self/{name}", text)


def enter_mount_namespace(more: int = 0) -> None:
    """Enter new user and mount namespaces (and those of `more`, CLONE_NEW*), with nothing shared with the host's mounts."""
    enter_user_namespace()
    call("unshare", CLONE_NEWNS | more)
    call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)


def write(path: str, text: str) -> None:
    """Write a kernel file in one write(2). Raises OSError; a short write is one, too."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if os.write(descriptor, text.encode()) != len(text):
            raise OSError(0, "short write", path)
    finally:
        os.close(descriptor)
