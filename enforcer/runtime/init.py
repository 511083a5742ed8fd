"""pid 1 of a container whose profile says `run.init`: it forwards signals to the payload and reaps what is left to it.

It runs under the same capabilities, Landlock rules and system call filter as the payload, keeps no descriptor, and cannot be
traced or read by it (it is not dumpable, and /proc hides it). Needs: rt_sigprocmask, rt_sigtimedwait, wait4, kill, exit_group.
"""

from __future__ import annotations

import os

from enforcer.linux import syscalls

SIGCHLD = 17
_SIG_SETMASK = 2
_ALL = b"\xff" * 8
_SIGNALED = 128
_SIGINFO_SIZE = 128


def reap(payload: int) -> int:
    """Return 0 in the payload; in pid 1, never return."""
    if payload == 0:
        return 0
    status = 125
    try:
        syscalls.call("rt_sigprocmask", _SIG_SETMASK, _ALL, None, len(_ALL))
        os.closerange(0, 256)
        status = _serve(payload)
    finally:
        os._exit(status)


def _serve(payload: int) -> int:
    while True:
        ended = _collect(payload)
        if ended is not None:
            return ended
        info = syscalls.buffer(_SIGINFO_SIZE)
        signal = syscalls.raw(syscalls.number("rt_sigtimedwait"), _ALL, info, None, len(_ALL))
        code = int.from_bytes(info.raw[8:12], "little", signed=True)
        if signal > 0 and signal != SIGCHLD and code <= 0:  # what the terminal sends reaches the payload by itself
            try:
                os.kill(payload, signal)
            except OSError:  # it has ended, or taken another uid where its profile lets it: pid 1 stays
                continue


def _collect(payload: int) -> int | None:
    """Reap whatever has ended; the exit code when the payload did."""
    ended = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        if pid == payload:
            ended = exit_code(status)


def exit_code(status: int) -> int:
    """Turn a wait status into an exit code as a shell does: the process's own, or 128 and the signal's number."""
    return _SIGNALED + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
